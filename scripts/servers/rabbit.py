"""RabbitMQ as Debian has it, one node, with a name, ports and an epmd of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex

from servers.machine import (
    STATE,
    fail,
    install,
    issue_certificates,
    run,
    running,
    start,
    wait_for,
)

NAME = "RabbitMQ"
PREFIX = "CALLBOARD_RABBIT"

_PORT, _DISTRIBUTION, _MANAGEMENT, _STREAMS, _EPMD, _TLS = 25672, 25673, 25674, 25675, 25676, 25678
_CERTIFICATES = STATE / "rabbit.certificates"
_PLAIN = {
    "CALLBOARD_RABBIT": f"amqp://guest:guest@127.0.0.1:{_PORT}/",
    "CALLBOARD_RABBIT_PROXY": "127.0.0.1:25677",  # where a proxy for it has to listen
    "CALLBOARD_RABBIT_MANAGEMENT": f"http://guest:guest@127.0.0.1:{_MANAGEMENT}",
}
_OURS = {
    "CALLBOARD_RABBIT_NODE": f"127.0.0.1:{_DISTRIBUTION}",  # where `scripts/brokers rabbitmqctl` works
    "CALLBOARD_RABBIT_TLS": f"127.0.0.1:{_TLS}",  # by a password, or the certificate of the client
    "CALLBOARD_RABBIT_CERTIFICATES": str(_CERTIFICATES),  # ca.crt, client.pem
}
"""What works with a node that this script has started, and whose authority it has made."""
_CLIENT = "callboard-client"
"""The user whose name stands in the certificate of the client."""
_CONFIG = f"""\
listeners.tcp.1 = 127.0.0.1:{_PORT}
listeners.ssl.1 = 127.0.0.1:{_TLS}
ssl_options.cacertfile = {_CERTIFICATES / "ca.crt"}
ssl_options.certfile = {_CERTIFICATES / "server.crt"}
ssl_options.keyfile = {_CERTIFICATES / "server.key"}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
management.tcp.ip = 127.0.0.1
management.tcp.port = {_MANAGEMENT}
stream.listeners.tcp.1 = 127.0.0.1:{_STREAMS}
disk_free_limit.absolute = 100MB
"""
_PLUGINS = """\
[rabbitmq_auth_mechanism_ssl,rabbitmq_consistent_hash_exchange,rabbitmq_management,rabbitmq_stream].
"""
# Not the wrappers in /usr/sbin, which change the user and the folder of the logs.
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")
_EPMD_PROGRAM = "epmd"


def up() -> bool:
    """Start RabbitMQ unless it answers already; return whether that was needed."""
    needed = not _answers()
    if needed:
        _start()
    return needed


def down() -> bool:
    """Stop RabbitMQ if it was started here; return whether it ran."""
    ran = _process() is not None
    if ran:
        control("shutdown")
        wait_for(lambda: _process() is None, "RabbitMQ to stop", "rabbit")
    if (data := STATE / "rabbit.data").exists():
        # It serves this node alone, and outlives it.
        stop = [_EPMD_PROGRAM, "-port", str(_EPMD), "-kill"]
        subprocess.run(stop, capture_output=True, check=False)
        shutil.rmtree(data.read_text(), ignore_errors=True)
    for name in ("rabbit.pid", "rabbit.data"):
        (STATE / name).unlink(missing_ok=True)
    return ran


def addresses() -> Mapping[str, str]:
    """Say where it is."""
    return {**_PLAIN, **(_OURS if _process() is not None else {})}


def control(*arguments: str) -> str:
    """Run `rabbitmqctl` with the node that was started here, and return what it says."""
    if not (STATE / "rabbit.data").exists():
        fail("this script has started no RabbitMQ: scripts/brokers up")
    return run([str(_PROGRAMS / "rabbitmqctl"), "-q", *arguments], _environment())


def _start() -> None:
    """Run a fresh node in the background; all of its files are in a temporary folder."""
    install("rabbitmqctl", "rabbitmq-server")
    issue_certificates(_CERTIFICATES)
    data = Path(tempfile.mkdtemp(prefix="callboard-rabbit-"))
    (STATE / "rabbit.data").write_text(str(data))
    (data / "rabbitmq.conf").write_text(_CONFIG)
    (data / "enabled_plugins").write_text(_PLUGINS)
    start([str(_PROGRAMS / "rabbitmq-server")], "rabbit", _environment())

    def ready() -> bool:
        if _process() is None:
            fail(f"RabbitMQ ended at once; see {STATE / 'rabbit.log'}")
        return _answers()

    wait_for(ready, "RabbitMQ to answer", "rabbit")
    control("await_startup", "--timeout", "120")
    control("add_user", _CLIENT, token_hex())
    control("clear_password", _CLIENT)
    control("set_permissions", _CLIENT, ".*", ".*", ".*")


def _process() -> int | None:
    return running("rabbit", str(_PROGRAMS / "rabbitmq-server"))


def _environment() -> Mapping[str, str]:
    data = (STATE / "rabbit.data").read_text()
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": data,  # where the cookie is
        "RABBITMQ_NODENAME": "callboard@localhost",
        "RABBITMQ_DIST_PORT": str(_DISTRIBUTION),
        "RABBITMQ_MNESIA_BASE": f"{data}/mnesia",
        "RABBITMQ_LOG_BASE": f"{data}/log",
        "RABBITMQ_CONFIG_FILE": f"{data}/rabbitmq.conf",
        "RABBITMQ_CONF_ENV_FILE": f"{data}/none",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{data}/enabled_plugins",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(_EPMD),
    }


def _answers() -> bool:
    """Whether a RabbitMQ answers to the greeting of AMQP 0-9-1."""
    try:
        with socket.create_connection(("127.0.0.1", _PORT), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"  # a frame with a method
    except OSError:
        return False
