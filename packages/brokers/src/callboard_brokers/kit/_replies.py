"""Requests and their replies, told apart by correlation ids."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from anyio import Event, move_on_after
from anyio.abc import TaskGroup

from callboard_brokers._errors import BrokerError, ConnectionClosed, RequestTimeout
from callboard_brokers._message import Message, asking
from callboard_brokers._port import Subscription

AT_ONCE = 1000


@dataclass(eq=False)
class Replies:
    """Reads replies from the first request on, in one subscription for all of them."""

    address: str
    """Where replies go; it stands in the requests as `reply_to`."""
    read: Callable[[], AbstractAsyncContextManager[Subscription]]
    """Subscribes to `address`. It may be shared: what nobody waits for is let pass."""
    tasks: TaskGroup
    """Where the reading runs; its end is the end of all that wait."""
    _waiting: dict[str, _Reply] = field(default_factory=dict[str, "_Reply"], init=False)
    _opened: _Reply | None = field(default=None, init=False)

    async def request(
        self,
        message: Message,
        to: str,
        publish: Callable[[Message], Awaitable[object]],
        timeout: float,  # noqa: ASYNC109 - the port's
    ) -> Message:
        """Publish *message* as a request to an address called *to*; return the first reply.

        It keeps its correlation id, unless that is missing or another request waits by it.

        Raises:
            RequestTimeout: None came within *timeout* seconds.
            BrokerError: Replies cannot be read, or the connection over which they come was lost.
        """
        correlation = message.correlation_id
        if correlation is None or correlation in self._waiting:
            correlation = uuid4().hex
        with move_on_after(timeout), self._expect(correlation) as reply:
            await self._open()
            await publish(asking(message, self.address, correlation))
            return await reply.wait()
        raise RequestTimeout(f"no reply from {to!r} within {timeout} s")

    def hand_over(self, message: Message) -> None:
        """Give *message* to the request that waits for it; else let it pass."""
        reply = self._waiting.get(message.correlation_id or "")
        if reply is not None:
            reply.give(message)

    def lose(self, error: BrokerError) -> None:
        """Fail all that wait: the replies to them cannot arrive any more."""
        for reply in self._waiting.values():
            reply.give(error)

    async def _open(self) -> None:
        if self._opened is None:
            self._opened = _Reply()
            self.tasks.start_soon(self._run, self._opened)
        await self._opened.wait()

    async def _run(self, opened: _Reply) -> None:
        failure: BrokerError = ConnectionClosed("the connection was left before the reply came")
        try:
            async with self.read() as subscription:
                opened.give(_READING)
                while True:
                    for delivery in await subscription.receive(AT_ONCE):
                        delivery.ack()
                        self.hand_over(delivery.message)
        except BrokerError as error:
            failure = error  # told to those who wait; the next request tries again
        finally:
            self._opened = None
            opened.give(failure)
            self.lose(failure)

    @contextmanager
    def _expect(self, correlation: str) -> Generator[_Reply]:
        reply = self._waiting[correlation] = _Reply()
        try:
            yield reply
        finally:
            del self._waiting[correlation]


class _Reply:
    """A message, or an error in its place; the first one counts."""

    def __init__(self) -> None:
        self._given = Event()
        self._what: list[Message | BrokerError] = []

    def give(self, what: Message | BrokerError) -> None:
        self._what = self._what or [what]
        self._given.set()

    async def wait(self) -> Message:
        await self._given.wait()
        if isinstance(what := self._what[0], BrokerError):
            raise what.with_traceback(None)
        return what


_READING = Message(b"")
"""Stands for the first turn of a subscription that has been opened."""
