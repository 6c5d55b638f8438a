"""Answers to requests: one topic for all of them, told apart by their correlation ids."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager

from anyio import Event
from anyio.abc import TaskGroup

from callboard_brokers._errors import BrokerError, ConnectionClosed
from callboard_brokers._message import Message
from callboard_brokers._port import Subscription
from callboard_brokers.kit import heard

__all__ = ["Replies"]

AT_ONCE = 1000


class Replies:
    """Reads the reply topic from the first request on, and takes what is for us."""

    def __init__(self, read: Callable[[int], AbstractAsyncContextManager[Subscription]]) -> None:
        self._read = read
        self._expected: dict[str, Future[Message]] = {}
        self._ready: Event | None = None
        self._failure: BrokerError | None = None

    async def open(self, tasks: TaskGroup) -> None:
        """Return once the topic is being read, by a task among *tasks*.

        Raises:
            BrokerError: It cannot be read. The next request tries again.
        """
        if self._ready is None:
            self._ready, self._failure = Event(), None
            tasks.start_soon(self._run, self._ready)
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def expect(self, correlation: str) -> Generator[Future[Message]]:
        """Wait for the reply with this id; the first one counts."""
        reply = self._expected[correlation] = get_running_loop().create_future()
        reply.add_done_callback(heard)
        try:
            yield reply
        finally:
            del self._expected[correlation]

    def expects(self, correlation: str) -> bool:
        """Whether a request with this id waits already."""
        return correlation in self._expected

    async def _run(self, ready: Event) -> None:
        try:
            async with self._read(AT_ONCE) as subscription:
                ready.set()
                while True:
                    for delivery in await subscription.receive(AT_ONCE):
                        delivery.ack()
                        self._hand_over(delivery.message)
        except BrokerError as error:
            self._failure = error
        finally:
            self._ready = None
            ready.set()
            failure = self._failure
            if failure is None:
                failure = ConnectionClosed("the connection to Kafka was left")
            for reply in self._expected.values():
                if not reply.done():
                    reply.set_exception(failure)

    def _hand_over(self, message: Message) -> None:
        reply = self._expected.get(message.correlation_id or "")
        if reply is not None and not reply.done():
            reply.set_result(message)
