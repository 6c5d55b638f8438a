"""Redis under trial: one group of a stream on disk, which several processes read."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any, Final

from callboard import Message
from callboard.redis import RedisBroker, StreamSub
from callboard_brokers.redis import BinaryMessageFormatV1

from ..brokers.redis.server import Server, server_at
from .history import Commit
from .kind import Daemon, Kind, Letter, Settings, free_ports, listens

__all__ = ["KIND", "RedisNode"]

KEY: Final = "x-key"
GROUP: Final = "workers"


class RedisKind:
    """A group of a stream; the options are those of its `StreamSub`, such as `min_idle_time`."""

    name = "redis"
    partitions = 1
    ordered = commits = False

    def broker(self, servers: str, settings: Settings) -> RedisBroker:
        """Make a broker."""
        return RedisBroker(f"redis://{servers}", dead_letter=settings.dead_letters)

    def subscriber(self, broker: RedisBroker, settings: Settings) -> Callable[[Any], Any]:
        """Return what declares a handler of the trial's letters; each process is another consumer."""
        stream = StreamSub(
            self.stream(settings), group=GROUP, consumer=f"{os.getpid()}", **settings.options
        )
        return broker.subscriber(
            stream=stream,
            max_workers=settings.max_workers,
            mailbox=settings.mailbox,
            key_header=KEY,
            breaker=settings.breaker,
        )

    def stream(self, settings: Settings) -> str:
        """Return where letters are published to."""
        return f"{settings.topic}.letters"

    async def publish(self, broker: RedisBroker, letter: Letter, settings: Settings) -> None:
        """Return when the server has *letter*."""
        await broker.publish(letter, stream=self.stream(settings), headers={KEY: letter.key})

    def place(self, message: Message) -> tuple[int, int]:
        """Return where in its stream *message* is, of which there is one."""
        time, _, number = message.raw_message.id.partition(b"-")
        return 0, int(time) * 1_000_000 + int(number)

    def in_flight(self, settings: Settings) -> int:
        """Return what may be in hand, and as much again, which waits for it."""
        return 2 * (settings.mailbox + settings.max_workers)

    def onlooker(self, servers: str) -> AbstractAsyncContextManager[Streams]:
        """Look at the server."""
        return streams_at(servers)

    def missing(self) -> str | None:
        """Say why there can be no node of our own; None if there can."""
        return None if shutil.which("redis-server") else "there is no redis-server"

    @contextmanager
    def node_in(self, folder: Path) -> Generator[RedisNode]:
        """Run a node, and leave nothing of it."""
        node = RedisNode(folder)
        try:
            node.start()
            yield node
        finally:
            node.stop(SIGKILL)
            shutil.rmtree(folder / "data", ignore_errors=True)


KIND: Final = RedisKind()
_: Kind = KIND


class Streams:
    """Reads what the server knows, by words of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def create(self, settings: Settings) -> None:
        """Make the stream and its group before anybody publishes."""
        await self._server.ask("XGROUP", "CREATE", KIND.stream(settings), GROUP, "0", "MKSTREAM")

    async def lag(self, settings: Settings) -> int:
        """Return how much waits to be read or acknowledged."""
        (found,) = await self._server.ask("XINFO", "GROUPS", KIND.stream(settings))
        known = dict(zip(found[::2], found[1::2], strict=True))
        return int(known[b"pending"]) + int(known[b"lag"] or 0)

    async def commits(self, settings: Settings, mark: object) -> Sequence[Commit]:
        """Return nothing: messages are acknowledged one by one."""
        del settings, mark
        return []

    async def dead_letters(self, settings: Settings) -> list[str]:
        """Return the ids of what is dead."""
        entries = await self._server.ask("XRANGE", settings.dead_letters, "-", "+")
        bodies = [BinaryMessageFormatV1.unpack(fields[1])[0] for _, fields in entries]
        return [Letter.model_validate_json(body).id for body in bodies]

    async def close(self, settings: Settings) -> None:
        """Delete the streams."""
        await self._server.forget(settings.topic)


@asynccontextmanager
async def streams_at(servers: str) -> AsyncGenerator[Streams]:
    """Look at the server of *servers*."""
    async with server_at(servers) as server:
        yield Streams(server)


class RedisNode(Daemon):
    """One server, which has on its disk whatever it has said to have."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        (folder / "data").mkdir(exist_ok=True)
        disk = ["--dir", str(folder / "data"), "--appendonly", "yes", "--appendfsync", "always"]
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", *disk]
        super().__init__(command, folder, lambda: listens(self.address))
