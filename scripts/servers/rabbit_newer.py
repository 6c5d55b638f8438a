"""A RabbitMQ from 4.3 on, of Debian's unstable suite: beside the machine's own, and not installed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping

from servers import sid
from servers.machine import STATE, Absent
from servers.rabbit_node import Node

NAME = "A newer RabbitMQ"
PREFIX = "CALLBOARD_RABBIT_NEWER"

_PORT, _DISTRIBUTION, _EPMD = 26672, 26673, 26676
_ADDRESSES = {
    "CALLBOARD_RABBIT_NEWER": f"amqp://guest:guest@127.0.0.1:{_PORT}/",
    "CALLBOARD_RABBIT_NEWER_PROXY": "127.0.0.1:26677",  # where a proxy for it has to listen
}
_OLDEST = (4, 3)
"""What the tests of this server ask for came with this version."""
_ROOT = STATE / "rabbit-newer"
_ERLANG = _ROOT / "usr" / "lib" / "erlang"
_RABBIT = _ROOT / "usr" / "lib" / "rabbitmq"
_NODE = Node(
    key="rabbit_newer",
    port=_PORT,
    distribution=_DISTRIBUTION,
    epmd=_EPMD,
    programs=_RABBIT / "bin",
    erlang=_ERLANG,
)

control = _NODE.control
down = _NODE.stop


def up() -> bool:
    """Start it unless it answers already; return whether that was needed.

    Raises:
        Absent: It cannot be had here.
    """
    needed = not _NODE.answers()
    if needed:
        if not _ROOT.exists():
            _unpack()
        _NODE.start()
    return needed


def addresses() -> Mapping[str, str]:
    """Say where it is."""
    return _ADDRESSES


def _unpack() -> None:
    sid.unpack("rabbitmq-server", ["rabbitmq-server", "erlang-*", "lib*"], _ROOT)
    [folder] = (_RABBIT / "lib").glob("rabbitmq_server-*")
    version = re.findall(r"\d+", folder.name)
    if tuple(map(int, version[:2])) < _OLDEST:
        shutil.rmtree(_ROOT)
        raise Absent(f"Debian's unstable suite has RabbitMQ {'.'.join(version)} only")
    [runtime] = _ERLANG.glob("erts-*")
    sid.start_by_their_loader([*(runtime / "bin").iterdir()], _ROOT)
    sid.start_by_their_loader([*_ERLANG.glob("lib/os_mon-*/priv/bin/*")], _ROOT)
    for script in (_ERLANG / "bin" / "erl", runtime / "bin" / "erl"):
        script.write_text(
            script.read_text().replace("ROOTDIR=/usr/lib/erlang", f"ROOTDIR={_ERLANG}")
        )
