"""The broker in this process: nothing to install, nothing to start.

Subscribers without a group each get every message; those of one group share its messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Final, TypeAlias

from callboard_brokers import Message
from callboard_brokers.events import Notify
from callboard_brokers.memory import (
    DeadLetter,
    Memory,
    MemoryRecord,
    MemorySource,
    MemoryTarget,
    Templates,
)

from ._broker import Broker
from .declare._broker_kind import BrokerKind
from .declare._options import BrokerOptions, PublisherOptions, PublishOptions, SubscriberOptions
from .declare._publisher import Publisher
from .declare._route import Route
from .declare._router import Router
from .declare._subscriber import Subscriber
from .declare._takes import part, sends, takes
from .testing import TestBroker

__all__ = [
    "DeadLetter",
    "MemoryBroker",
    "MemoryMessage",
    "MemoryPublisher",
    "MemoryRoute",
    "MemoryRouter",
    "MemorySource",
    "MemoryTarget",
    "TestMemoryBroker",
]

MemoryMessage: TypeAlias = Message[MemoryRecord]
TestMemoryBroker = TestBroker


@dataclass(frozen=True, kw_only=True)
class MemoryBrokerOptions(BrokerOptions):
    """What a `MemoryBroker` can be told."""

    capacity: int = 10_000
    """How many messages a group holds before its publishers have to wait."""


@dataclass(frozen=True)
class MemorySubscriberOptions(SubscriberOptions, MemorySource):
    """An address or template, and how its messages are handled."""


@dataclass(frozen=True)
class MemoryPublisher(PublisherOptions, MemoryTarget):
    """Where results are published to; given to a `MemoryRoute`, it is declared with that."""


@dataclass(frozen=True)
class MemoryRouteOptions(MemorySubscriberOptions):
    """An address or template, and what is published of the results."""

    _: KW_ONLY
    publishers: Sequence[MemoryPublisher] = ()


@dataclass(frozen=True)
class MemoryPublishOptions(PublishOptions, MemoryTarget):
    """An address, and what travels beside the body."""


@dataclass(frozen=True, kw_only=True)
class MemoryRequestOptions(MemoryPublishOptions):
    """An address, and how long to wait for an answer from there."""

    timeout: float = 30.0


MEMORY: Final = BrokerKind(
    name="memory",
    answer=MemoryTarget,
    dead_letter=lambda address, _: MemoryTarget(address, keep=True),
    where=lambda source, _: {"x-group": source.group},
    routing=Templates,
)


class MemoryRoute(Route):
    """A handler of an address, to be declared by `MemoryRouter(handlers=[...])`."""

    @sends(MemoryRouteOptions)
    def __init__(self, call: object, options: MemoryRouteOptions) -> None:
        publishers = [(part(each, MemoryTarget), each) for each in options.publishers]
        super().__init__(call, part(options, MemorySource), options, publishers)


class MemoryRouter(Router, kind=MEMORY):
    """Subscribers and publishers of a broker in memory."""

    @takes(MemorySubscriberOptions)
    def subscriber(self, options: MemorySubscriberOptions) -> Subscriber[MemoryMessage]:
        """Handle the messages of an address by the function or actor class below."""
        return self.declared.subscriber(part(options, MemorySource), options)

    @takes(MemoryPublisher)
    def publisher(self, options: MemoryPublisher) -> Publisher[MemoryTarget]:
        """Publish to an address what the function or actor class below returns."""
        return self.declared.publisher(part(options, MemoryTarget), options)


class MemoryBroker(Broker[MemoryTarget], MemoryRouter):
    """A broker in this process, with everything that is declared on it."""

    _memory: Memory

    @takes(MemoryBrokerOptions)
    def __init__(self, options: MemoryBrokerOptions) -> None:
        def make(*, notify: Notify) -> Memory:
            self._memory = Memory(capacity=options.capacity, notify=notify)
            return self._memory

        super().__init__(make, options)

    @sends(MemoryPublishOptions)
    async def publish(self, message: object, options: MemoryPublishOptions) -> None:
        """Send *message*; return when every group that reads the address has it."""
        await self.out.publish(message, options, options)

    @sends(MemoryRequestOptions)
    async def request(self, message: object, options: MemoryRequestOptions) -> MemoryMessage:
        """Send *message* and return the answer, its body by `await answer.decode()`.

        Raises:
            RequestTimeout: None came in time.
            RequestFailed: The handler has failed.
        """
        return await self.out.request(message, options, options, options.timeout)

    def unread(self, address: str) -> int:
        """Return how many messages of *address* wait for their readers."""
        return self._current.unread(address)

    def dead_letters(self, address: str | None = None) -> Sequence[DeadLetter]:
        """Return the last rejected messages without a dead letter address, the oldest first."""
        return self._current.dead_letters(address)

    @property
    def _current(self) -> Memory:
        """The memory that messages go through: under a test broker, that one's."""
        runtime = self.slot.runtime
        adapter = runtime.adapter if runtime is not None else self._memory
        return adapter if isinstance(adapter, Memory) else self._memory
