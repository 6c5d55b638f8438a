"""NATS with JetStream, one node, and one that speaks TLS; newest by Go, else as Debian has it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping

from servers.machine import (
    SERVERS,
    STATE,
    install,
    issue_certificates,
    run,
    running,
    serve,
    wait_for,
)

NAME = "NATS"
PREFIX = "CALLBOARD_NATS"

_VERSION = "2.15.2"
_PORT, _MONITOR, _TLS = 24222, 28222, 24224
_CERTIFICATES = STATE / "nats.certificates"
_PLAIN = {
    "CALLBOARD_NATS": f"127.0.0.1:{_PORT}",  # alice, alice-secret; and a key, see nats.conf
    "CALLBOARD_NATS_PROXY": "127.0.0.1:29222",  # where a proxy for it has to listen
}
_OURS = {
    "CALLBOARD_NATS_TLS": f"127.0.0.1:{_TLS}",
    "CALLBOARD_NATS_CERTIFICATES": str(_CERTIFICATES),  # ca.crt
}
"""What works with a NATS that this script has started, and whose authority it has made."""
_SERVERS = ("nats", "nats_tls")


def up() -> bool:
    """Start NATS unless it answers already; return whether that was needed."""
    needed = not _answers(_PORT)
    if needed:
        _start()
    return needed


def down() -> bool:
    """Stop NATS if it was started here; return whether it ran."""
    processes = [pid for name in _SERVERS if (pid := _process(name)) is not None]
    for pid in processes:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not any(map(_process, _SERVERS)), "NATS to stop", "nats")
    if (STATE / "nats.data").exists():
        shutil.rmtree((STATE / "nats.data").read_text(), ignore_errors=True)
    for name in ("nats.pid", "nats_tls.pid", "nats.data"):
        (STATE / name).unlink(missing_ok=True)
    return bool(processes)


def addresses() -> Mapping[str, str]:
    """Say where it is."""
    return {**_PLAIN, **(_OURS if _process("nats_tls") is not None else {})}


def _start() -> None:
    """Run fresh nodes in the background; their data is in a temporary folder."""
    issue_certificates(_CERTIFICATES)
    data = tempfile.mkdtemp(prefix="callboard-nats-")
    (STATE / "nats.data").write_text(data)
    server = [_program(), "-a", "127.0.0.1"]
    config = str(SERVERS / "nats.conf")
    store = ["-js", "-sd", data, "-c", config]
    plain = ["-p", str(_PORT), "-m", str(_MONITOR), *store]
    serve([*server, *plain], "nats", lambda: _answers(_PORT))
    certificate = [str(_CERTIFICATES / f"server.{part}") for part in ("crt", "key")]
    tls = ["--tls", "--tlscert", certificate[0], "--tlskey", certificate[1]]
    serve([*server, "-p", str(_TLS), *tls], "nats_tls", lambda: _answers(_TLS))


def _process(name: str) -> int | None:
    return running(name, "nats-server -a")


def _program() -> str:
    """Have the server: built by Go into the state folder, once for a version; else Debian's."""
    folder = STATE / f"nats-{_VERSION}"
    if not (folder / "nats-server").exists():
        if not shutil.which("go"):
            install("nats-server", "nats-server")
            return "nats-server"
        module = f"github.com/nats-io/nats-server/v2@v{_VERSION}"
        run(["go", "install", module], {**os.environ, "GOBIN": str(folder)})
    return str(folder / "nats-server")


def _answers(port: int) -> bool:
    """Whether a NATS greets whoever connects."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False
