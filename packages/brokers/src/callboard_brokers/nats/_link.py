"""The way to the servers: what was subscribed to, and who waits for an answer."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar
from uuid import uuid4

from anyio import current_time, move_on_after, sleep

from callboard_brokers._errors import (
    AccessRefused,
    BrokerError,
    ConnectionClosed,
    ConnectionLost,
)
from callboard_brokers.events import PublicationFailed
from callboard_brokers.kit import Journal, Known, Reach, Signal, brief, time_left
from callboard_brokers.nats._client import Client
from callboard_brokers.nats._config import NatsOptions
from callboard_brokers.nats._message import NatsRecord, publication
from callboard_brokers.nats._parser import Sink

T = TypeVar("T")
CLOSE: Final = 5.0
SWEEP: Final = 0.25
"""Seconds between two looks at who has waited too long."""


class Asked(Known[T]):
    """What becomes of a message that was published with a place to answer to.

    *read* returns what the answer says, or raises; what *passes* is no answer.
    """

    __slots__ = ("_read", "deadline", "passes", "subject")

    def __init__(
        self,
        subject: str,
        seconds: float,
        read: Callable[[NatsRecord], T],
        passes: Callable[[NatsRecord], bool] = lambda _: False,
    ) -> None:
        super().__init__()
        self.subject = subject
        # Not anyio's, which asks each time what it runs on; that is asyncio, whose time it is.
        self.deadline = get_running_loop().time() + seconds
        self.passes = passes
        self._read = read

    def answer(self, record: NatsRecord) -> None:
        """Take the answer."""
        try:
            self.end(self._read(record))
        except BrokerError as error:
            self.fail(error)
        except (KeyError, TypeError, ValueError) as error:
            self.fail(BrokerError(f"cannot read the answer of {self.subject!r}: {brief(error)}"))

    def fail(self, error: BrokerError) -> None:
        """End it without an answer."""
        self.end(None, error)


class Link:
    """A connection that mends itself: what was subscribed to is, again; who waits, hears of it.

    Attributes:
        watchers: Called when the link is lost and when it is there again.
        generation: How often it was there.
    """

    def __init__(self, servers: Sequence[str], options: NatsOptions, journal: Journal) -> None:
        self.servers = servers
        self.options = options
        self.journal = journal
        self.reach = Reach[None](",".join(map(_without_secrets, servers)), journal)
        self.client = Client(self._lose, self._find, self._refuse)
        self._changed = Signal()
        self.watchers: set[Callable[[], None]] = {self._changed.set}
        self.generation = 0
        self.write = self.client.write
        self.inbox = f"{options.inbox_prefix}.{uuid4().hex}"
        self._answers = f"{self.inbox}.".encode()
        self.closed = False
        self._subscribed: dict[bytes, tuple[str, str, Callable[[BrokerError], None]]] = {}
        self._asked: dict[bytes, Asked[object]] = {}
        self._count = 0

    async def open(self) -> None:
        """Connect, trying again while no server can be reached.

        Raises:
            AccessRefused: A server was reached and turned us away.
        """
        await self.client.connect(self.servers, self.options)
        self.subscribe(f"{self.inbox}.*", "", self._answered, lambda _: None)
        self._find()

    async def close(self) -> None:
        """Hang up, and let nobody wait any more."""
        self.closed = True
        self._fail(ConnectionClosed("this connection to NATS was left; connect again"))
        self._tell()
        await self.client.close()

    async def up(self) -> None:
        """Return once there is a link.

        Raises:
            ConnectionClosed: There will be none any more.
        """
        while self.closed or self.reach.lost_at is not None:
            self.check_open()
            await self._changed.wait()

    def is_at(self, generation: int) -> bool:
        """Whether it is the link of that *generation*, and there."""
        return self.generation == generation and self.reach.lost_at is None and not self.closed

    async def settled(self, seconds: float) -> None:
        """Return when the server has taken all that was written, and all that it sent is here.

        Or when it is lost, or has not answered within *seconds*.
        """
        with suppress(ConnectionLost):
            await self.client.ping(seconds)

    def check_open(self) -> None:
        """Refuse to go on after the end.

        Raises:
            ConnectionClosed: The connection has been left.
        """
        if self.closed:
            raise ConnectionClosed("this connection to NATS was left; connect again")

    async def watch(self) -> None:
        """See to it that nobody waits for longer than he said, until cancelled."""
        while True:
            await sleep(SWEEP)
            now = current_time()
            late = [token for token, asked in self._asked.items() if asked.deadline <= now]
            for token in late:
                asked = self._asked.pop(token)
                asked.fail(ConnectionLost(f"{asked.subject!r} has not answered in time"))

    def subscribe(
        self, subject: str, queue: str, sink: Sink, refused: Callable[[BrokerError], None]
    ) -> bytes:
        """Have *sink* get what comes on *subject*, after a loss as well; return the id of that."""
        number = self.client.subscribe(subject, queue, sink)
        self._subscribed[number] = (subject, queue, refused)
        return number

    def unsubscribe(self, number: bytes) -> None:
        """Have the server send no more; what it has sent still comes, until `forget`."""
        if self._subscribed.pop(number, None) and self.reach.lost_at is None:
            self.write(b"UNSUB %b\r\n" % number)

    def forget(self, number: bytes) -> None:
        """Let nothing come any more."""
        self.client.sinks.pop(number, None)

    def ask(self, subject: str, header: bytes, body: bytes, asked: Asked[T]) -> str:
        """Publish what *asked* is to be answered by; return where that is to go to."""
        reply = self.expect(asked)
        self.write(publication(subject.encode(), reply, header, body))
        return reply.decode()

    def expect(self, asked: Asked[T]) -> bytes:
        """Return where an answer to *asked* is to go to."""
        self._count += 1
        token = b"%d" % self._count
        self._asked[token] = asked  # type: ignore[assignment]  # pyright: ignore[reportArgumentType] - nobody here looks at the result
        return self._answers + token

    def _answered(self, subject: bytes, reply: bytes, header: bytes, body: bytes) -> None:
        token = subject[len(self._answers) :]
        asked = self._asked.get(token)
        if asked is not None:
            record = NatsRecord(subject, reply, header, body)
            if not asked.passes(record):
                del self._asked[token]
                asked.answer(record)

    def _find(self) -> None:
        self.generation += 1
        if self.generation > 1:
            for number, (subject, queue, _) in self._subscribed.items():
                self.write(b"SUB %b %b %b\r\n" % (subject.encode(), queue.encode(), number))
        self.reach.found()
        self._tell()

    def _lose(self, error: Exception) -> None:
        if not self.closed:
            self.reach.lose(error)
            self._fail(ConnectionLost(f"the connection to {self.reach.address} was lost"))
            self._tell()

    def _tell(self) -> None:
        for watcher in [*self.watchers]:
            watcher()

    def _fail(self, error: BrokerError) -> None:
        asked, self._asked = self._asked, {}
        for each in asked.values():
            each.fail(error)

    def _refuse(self, text: str) -> None:
        """Tell whom it concerns that he may not publish or read there."""
        error = AccessRefused(f"the NATS server says: {text}")
        subject = [*text.split('"'), ""][1]
        if "subscription" in text.lower():
            for name, _, refused in [*self._subscribed.values()]:
                if name == subject:
                    refused(error)
            return
        waiting = [each for each in self._asked.values() if each.subject == subject]
        for asked in waiting:
            asked.fail(error)
        if not waiting:
            self.journal.tell(PublicationFailed(subject, text))


def _without_secrets(server: str) -> str:
    return server.rpartition("@")[2].rpartition("://")[2]


@asynccontextmanager
async def linked(
    servers: Sequence[str], options: NatsOptions, journal: Journal
) -> AsyncGenerator[Link]:
    """Open a link to one of *servers*."""
    link = Link(servers, options, journal)
    try:
        await link.open()
        yield link
    finally:
        with move_on_after(time_left(CLOSE), shield=True):
            await link.close()
