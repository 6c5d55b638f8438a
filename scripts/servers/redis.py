"""Redis, one node, which also speaks TLS; as Debian has it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping, Sequence

from servers.machine import STATE, install, issue_certificates, running, serve, wait_for

NAME = "Redis"
PREFIX = "CALLBOARD_REDIS"

_PORT, _TLS = 26379, 26380
_CERTIFICATES = STATE / "redis.certificates"
_PLAIN = {
    "CALLBOARD_REDIS": f"127.0.0.1:{_PORT}",  # without a password; and alice, alice-secret
    "CALLBOARD_REDIS_PROXY": "127.0.0.1:26381",  # where a proxy for it has to listen
}
_OURS = {
    "CALLBOARD_REDIS_TLS": f"127.0.0.1:{_TLS}",
    "CALLBOARD_REDIS_CERTIFICATES": str(_CERTIFICATES),  # ca.crt
}
"""What works with a Redis that this script has started, and whose authority it has made."""


def up() -> bool:
    """Start Redis unless it answers already; return whether that was needed."""
    needed = not _answers(_PORT)
    if needed:
        _start()
    return needed


def down() -> bool:
    """Stop Redis if it was started here; return whether it ran."""
    process = _process()
    if process is not None:
        os.kill(process, signal.SIGTERM)
        wait_for(lambda: _process() is None, "Redis to stop", "redis")
    if (STATE / "redis.data").exists():
        shutil.rmtree((STATE / "redis.data").read_text(), ignore_errors=True)
    for name in ("redis.pid", "redis.data"):
        (STATE / name).unlink(missing_ok=True)
    return process is not None


def addresses() -> Mapping[str, str]:
    """Say where it is."""
    return {**_PLAIN, **(_OURS if _process() is not None else {})}


def _start() -> None:
    """Run a fresh node in the background; its data is in a temporary folder."""
    install("redis-server", "redis-server")
    issue_certificates(_CERTIFICATES)
    data = tempfile.mkdtemp(prefix="callboard-redis-")
    (STATE / "redis.data").write_text(data)
    serve(["redis-server", *_told(data)], "redis", lambda: _answers(_PORT))


def _told(data: str) -> Sequence[str]:
    settings = {
        "bind": "127.0.0.1",
        "port": str(_PORT),
        "dir": data,
        "appendonly": "yes",
        "save": "",
        "tls-port": str(_TLS),
        "tls-cert-file": str(_CERTIFICATES / "server.crt"),
        "tls-key-file": str(_CERTIFICATES / "server.key"),
        "tls-ca-cert-file": str(_CERTIFICATES / "ca.crt"),
        "tls-auth-clients": "optional",
    }
    user = ["--user", "alice", "on", ">alice-secret", "~*", "&*", "+@all"]
    return [*(word for key, value in settings.items() for word in (f"--{key}", value)), *user]


def _process() -> int | None:
    return running("redis", "redis-server")


def _answers(port: int) -> bool:
    """Whether a Redis answers there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
    except OSError:
        return False
