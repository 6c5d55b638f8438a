"""A Unix socket at which an application shows its tree: a line of JSON asks, one answers."""

from __future__ import annotations

import json
import os
import socket
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketListener, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from callboard_actors import Child, Node

from ._errors import DeclarationError
from ._observer import Observer, Sample

__all__ = ["Inspection", "View", "look"]

_LONGEST = 4096
_PATIENCE = 5.0


@dataclass
class View:
    """What an application answered."""

    tree: Node
    samples: dict[str, Sample]


class Inspection:
    """Serves at *path*, which only the owner of the process may open."""

    def __init__(self, path: Path, observer: Observer) -> None:
        self._path = path
        self._observer = observer

    async def run(self, child: Child) -> None:
        """Be a child of the application's supervisor.

        Raises:
            DeclarationError: The path is in use.
        """
        await anyio.to_thread.run_sync(_make_way, self._path)
        # Bound in a thread: it looks at the file system, which blocks.
        bound = await anyio.to_thread.run_sync(_bind, self._path)
        await self._serve(bound, child)

    async def _serve(self, bound: socket.socket, child: Child) -> None:
        listener = await SocketListener.from_socket(bound)
        try:
            async with listener:
                with anyio.CancelScope() as scope:
                    child.on_stop(scope.cancel)
                    child.ready()
                    await listener.serve(self._answer)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.Path(self._path).unlink(missing_ok=True)

    async def _answer(self, stream: SocketStream) -> None:
        try:
            async with stream:
                with anyio.move_on_after(_PATIENCE):
                    line = await BufferedByteReceiveStream(stream).receive_until(b"\n", _LONGEST)
                    await stream.send(json.dumps(self._reply(line), default=str).encode() + b"\n")
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound, OSError):
            return  # whoever asked has gone, or does not speak the protocol
        except anyio.BrokenResourceError:
            return

    def _reply(self, line: bytes) -> dict[str, Any]:
        if b'"tree"' not in line:
            return {"error": 'ask {"show": "tree"}'}
        samples = {path: asdict(sample) for path, sample in self._observer.samples.items()}
        return {"tree": asdict(self._observer.tree()), "samples": samples}


def look(path: Path) -> View:
    """Ask the application at *path*.

    Raises:
        OSError: Nobody answers.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_PATIENCE)
        client.connect(str(path))
        client.sendall(b'{"show": "tree"}\n')
        with client.makefile("rb") as answer:
            line = answer.readline()
    if not line:
        raise ConnectionResetError("it closed the connection")
    told = json.loads(line)
    return View(_node(told["tree"]), {k: Sample(**v) for k, v in told["samples"].items()})


def _node(told: dict[str, Any]) -> Node:
    told["children"] = tuple(map(_node, told["children"]))
    return Node(**told)


def _bind(path: Path) -> socket.socket:
    """Listen at *path*; never open to others, not even for the moment before a chmod."""
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen()
    listener.setblocking(False)
    return listener


def _make_way(path: Path) -> None:
    """Remove the socket that a dead process left; leave alone whatever else is there."""
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise DeclarationError(f"inspect={str(path)!r} is no socket; choose another path")
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise DeclarationError(f"inspect={str(path)!r} is in use by a process; choose another path")
