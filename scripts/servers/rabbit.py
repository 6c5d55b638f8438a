"""RabbitMQ as Debian has it, with TLS and all that is tested on one version alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex

from servers.machine import STATE, install, issue_certificates
from servers.rabbit_node import Node

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
"""
_PLUGINS = "rabbitmq_auth_mechanism_ssl,rabbitmq_consistent_hash_exchange,rabbitmq_management,rabbitmq_stream"
_NODE = Node(
    key="rabbit",
    port=_PORT,
    distribution=_DISTRIBUTION,
    epmd=_EPMD,
    programs=Path("/usr/lib/rabbitmq/bin"),
    config=_CONFIG,
    plugins=_PLUGINS,
)

control = _NODE.control
down = _NODE.stop


def up() -> bool:
    """Start RabbitMQ unless it answers already; return whether that was needed."""
    needed = not _NODE.answers()
    if needed:
        install("rabbitmqctl", "rabbitmq-server")
        issue_certificates(_CERTIFICATES)
        _NODE.start()
        control("add_user", _CLIENT, token_hex())
        control("clear_password", _CLIENT)
        control("set_permissions", _CLIENT, ".*", ".*", ".*")
    return needed


def addresses() -> Mapping[str, str]:
    """Say where it is."""
    return {**_PLAIN, **(_OURS if _NODE.process() is not None else {})}
