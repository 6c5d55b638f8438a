"""PostgreSQL as Debian has it, one server, which keeps nothing: it need not outlive its machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from servers.machine import STATE, fail, install, run, running, serve, wait_for

NAME = "PostgreSQL"
PREFIX = "CALLBOARD_POSTGRES"

_PORT = 25432
_ADDRESSES = {
    "CALLBOARD_POSTGRES": f"postgresql://postgres:postgres@127.0.0.1:{_PORT}/postgres",
    "CALLBOARD_POSTGRES_PROXY": "127.0.0.1:25433",  # where a proxy for it has to listen
}
_USER = "postgres"
"""Debian's, for the server refuses to run as root."""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "port": str(_PORT),
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "32MB",
}


def up() -> bool:
    """Start PostgreSQL unless it answers already; return whether that was needed."""
    needed = not _answers()
    if needed:
        _start()
    return needed


def down() -> bool:
    """Stop PostgreSQL if it was started here; return whether it ran."""
    process = _process()
    if process is not None:
        os.kill(process, signal.SIGINT)  # it ends the connections that are open
        wait_for(lambda: _process() is None, "PostgreSQL to stop", "postgres")
    if (STATE / "postgres.data").exists():
        shutil.rmtree((STATE / "postgres.data").read_text(), ignore_errors=True)
    for name in ("postgres.pid", "postgres.data"):
        (STATE / name).unlink(missing_ok=True)
    return process is not None


def addresses() -> Mapping[str, str]:
    """Say where it is."""
    return _ADDRESSES


def _start() -> None:
    """Run a fresh server in the background; its data is in a temporary folder."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="callboard-postgres-"))
    (STATE / "postgres.data").write_text(str(folder))
    data, password = str(folder / "data"), folder / "password"
    password.write_text("postgres\n")
    if os.getuid() == 0:
        for each in (folder, password):
            shutil.chown(each, _USER)
    made = ["--no-sync", "--no-locale", "-E", "UTF8", "-U", "postgres", "-A", "scram-sha-256"]
    run([*_unprivileged(), str(programs / "initdb"), "-D", data, *made, "--pwfile", str(password)])
    said = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    serve([*_unprivileged(), str(programs / "postgres"), "-D", data, *said], "postgres", _answers)


def _unprivileged() -> Sequence[str]:
    """Return what runs a program as somebody who is not root, from a folder that he may enter."""
    if os.getuid() != 0:
        return []
    user = ["--reuid", _USER, "--regid", _USER, "--clear-groups"]
    return ["env", "--chdir=/", "setpriv", *user]


def _programs() -> Path:
    """Have the server, the newest that Debian's folders hold; it is on nobody's path."""
    if not (found := _found()):
        install("pg_ctl", "postgresql")
        found = _found()
    if not found:
        fail("there is no PostgreSQL in /usr/lib/postgresql")
    return max(found, key=lambda each: int(re.sub(r"\D", "", each.parent.name)))


def _found() -> Sequence[Path]:
    at = shutil.which("initdb")
    elsewhere = [] if at is None else [Path(at).resolve().parent]
    return [*(each.parent for each in Path("/usr/lib/postgresql").glob("*/bin/initdb")), *elsewhere]


def _process() -> int | None:
    return running("postgres", r"(?:\S*/postgres|postgres) -D")


def _answers() -> bool:
    """Whether a PostgreSQL asks who connects for a password; one that is not up yet refuses it."""
    user = b"user\x00postgres\x00\x00"
    try:
        with socket.create_connection(("127.0.0.1", _PORT), timeout=2) as connection:
            connection.sendall(struct.pack(">ii", 8 + len(user), 3 << 16) + user)
            return connection.recv(1) == b"R"
    except OSError:
        return False
