"""RabbitMQ under trial: competing readers of a queue, which has no keys and writes down no positions."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from signal import SIGKILL
from typing import Any, Final

import aiormq

from callboard import Message
from callboard.rabbit import RabbitBroker, RabbitQueue

from ..brokers.rabbit.server import answers
from .history import Commit
from .kind import Daemon, Kind, Letter, Settings, free_ports

__all__ = ["KIND", "RabbitNode"]

KEY: Final = "x-key"
CONFIG: Final = """\
listeners.tcp.1 = 127.0.0.1:{plain}
disk_free_limit.absolute = 100MB
"""


class RabbitKind:
    """A quorum queue that processes share, or one of the type in the options."""

    partitions = 1
    ordered = commits = False

    def __init__(self, name: str, programs: Path, erlang: Path | None = None) -> None:
        self.name = name
        self._programs, self._erlang = programs, erlang

    def broker(self, servers: str, settings: Settings) -> RabbitBroker:
        """Make a broker."""
        return RabbitBroker(servers, dead_letter=settings.dead_letters)

    def subscriber(self, broker: RabbitBroker, settings: Settings) -> Callable[[Any], Any]:
        """Return what declares a handler of the trial's letters."""
        return broker.subscriber(
            self.queue(settings),
            max_workers=settings.max_workers,
            mailbox=settings.mailbox,
            breaker=settings.breaker,
            key_header=KEY,
        )

    def queue(self, settings: Settings) -> RabbitQueue:
        """Return the queue of the trial."""
        return RabbitQueue(settings.topic, settings.options.get("queue_type", "quorum"))

    async def publish(self, broker: RabbitBroker, letter: Letter, settings: Settings) -> None:
        """Return when the server has *letter*."""
        await broker.publish(letter, settings.topic, headers={KEY: letter.key})

    def place(self, message: Message) -> tuple[int, int]:
        """Return the tag of *message*, in the one part that there is."""
        return 0, message.raw_message.delivery_tag

    def in_flight(self, settings: Settings) -> int:
        """Return what is sent ahead."""
        return settings.mailbox + settings.max_workers

    def onlooker(self, servers: str) -> AbstractAsyncContextManager[Queues]:
        """Look at the server."""
        return queues_at(servers)

    def missing(self) -> str | None:
        """Say why there can be no node of our own; None if there can."""
        if not (self._programs / "rabbitmq-server").exists():
            return f"there is no rabbitmq-server in {self._programs}, one which may be killed"
        return None

    @contextmanager
    def node_in(self, folder: Path) -> Generator[RabbitNode]:
        """Run a node, and leave nothing of it."""
        node = RabbitNode(folder, self._programs, self._erlang)
        try:
            node.start()
            yield node
        finally:
            node.stop(SIGKILL)
            node.forget()


KIND: Final = RabbitKind("rabbit", Path("/usr/lib/rabbitmq/bin"))
_: Kind = KIND


class Queues:
    """Reads what the server knows, by a client that has no part in the trial."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    async def create(self, settings: Settings) -> None:
        """Make the queue before anybody publishes."""
        queue = KIND.queue(settings)
        await self._channel.queue_declare(queue.name, durable=True, arguments=queue.declared)

    async def lag(self, settings: Settings) -> int:
        """Return how much is ready; what a process holds is that again once it has stopped."""
        told = await self._channel.queue_declare(settings.topic, passive=True)
        count: int = told.message_count
        return count

    async def commits(self, settings: Settings, mark: object) -> Sequence[Commit]:
        """Return nothing: the server keeps a queue, and no position in it."""
        del settings, mark
        return []

    async def dead_letters(self, settings: Settings) -> list[str]:
        """Return the ids of what is dead."""
        dead: list[str] = []
        while True:
            message = await self._channel.basic_get(settings.dead_letters, no_ack=True)
            if message.delivery_tag is None:
                return dead
            dead.append(Letter.model_validate_json(message.body).id)

    async def close(self, settings: Settings) -> None:
        """Delete the queues."""
        for queue in (settings.topic, settings.dead_letters):
            await self._channel.queue_delete(queue)


@asynccontextmanager
async def queues_at(servers: str) -> AsyncGenerator[Queues]:
    """Look at the server of *servers*."""
    async with aiormq.connect(servers) as connection:
        yield Queues(await connection.channel())


class RabbitNode(Daemon):
    """One server of the *programs* in a folder, with a name and an epmd of its own."""

    def __init__(self, folder: Path, programs: Path, erlang: Path | None = None) -> None:
        plain, distribution, epmd = free_ports(3)
        self.address = f"amqp://guest:guest@127.0.0.1:{plain}/"
        self._folder, self._epmd = folder, epmd
        (folder / "rabbitmq.conf").write_text(CONFIG.format(plain=plain))
        (folder / "enabled_plugins").write_text("[].")
        environment = {
            "PATH": f"{erlang}:{os.environ['PATH']}" if erlang else os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),  # where the cookie is
            "RABBITMQ_NODENAME": f"chaos{plain}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd),
        }
        server = str(programs / "rabbitmq-server")
        super().__init__([server], folder, lambda: answers("127.0.0.1", plain), environment)

    def forget(self) -> None:
        """End what outlives the server, and delete its data."""
        stop = ["epmd", "-port", str(self._epmd), "-kill"]
        subprocess.run(stop, capture_output=True, check=False)
        shutil.rmtree(self._folder / "data", ignore_errors=True)
