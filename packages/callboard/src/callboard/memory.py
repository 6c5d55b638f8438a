"""The broker in this process: nothing to install, nothing to start.

Subscribers without a group each get every message; those of one group share its messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from callboard_brokers import DestinationError, Message
from callboard_brokers.memory import (
    DeadLetter,
    Memory,
    MemoryRecord,
    MemorySource,
    MemoryTarget,
    Templates,
)

from ._broker import Broker
from ._errors import DeclarationError
from .declare._broker_kind import BrokerKind
from .declare._options import BrokerOptions, PublisherOptions, PublishOptions, SubscriberOptions
from .declare._publisher import Publisher
from .declare._router import Router
from .declare._subscriber import Subscriber
from .declare._takes import part, sends, takes
from .testing import TestBroker

__all__ = [
    "DeadLetter",
    "MemoryBroker",
    "MemoryMessage",
    "MemorySource",
    "MemoryTarget",
    "TestMemoryBroker",
]

MemoryMessage: TypeAlias = Message[MemoryRecord]
TestMemoryBroker = TestBroker
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class MemoryBrokerOptions(BrokerOptions):
    """What a `MemoryBroker` can be told."""

    capacity: int = 10_000
    """How many messages a group holds before its publishers have to wait."""


@dataclass(frozen=True)
class MemorySubscriberOptions(SubscriberOptions, MemorySource):
    """An address or template, and how its messages are handled."""


@dataclass(frozen=True)
class MemoryPublisherOptions(PublisherOptions, MemoryTarget):
    """An address that results are published to."""


@dataclass(frozen=True)
class MemoryPublishOptions(PublishOptions, MemoryTarget):
    """An address, and what travels beside the body."""


@dataclass(frozen=True, kw_only=True)
class MemoryRequestOptions(MemoryPublishOptions):
    """An address, and how long to wait for an answer from there."""

    timeout: float = 30.0


class MemoryRouter(Router):
    """Subscribers and publishers of a broker in memory."""

    def check_address(self, address: str) -> None:
        """Refuse a template, which is no address."""
        _check(Templates().target, MemoryTarget(address))

    @takes(MemorySubscriberOptions)
    def subscriber(self, options: MemorySubscriberOptions) -> Subscriber:
        """Handle the messages of an address by the function or actor class below."""
        source = part(options, MemorySource)
        _check(Templates().source, source)
        return self.add_subscriber(source, options)

    @takes(MemoryPublisherOptions)
    def publisher(self, options: MemoryPublisherOptions) -> Publisher[MemoryTarget]:
        """Publish to an address what the function or actor class below returns."""
        target = part(options, MemoryTarget)
        _check(Templates().target, target)
        return self.add_publisher(target, options)


class MemoryBroker(Broker[MemoryTarget], MemoryRouter):
    """A broker in this process, with everything that is declared on it."""

    @takes(MemoryBrokerOptions)
    def __init__(self, options: MemoryBrokerOptions) -> None:
        self._memory = Memory(capacity=options.capacity, notify=self.hear)
        kind = BrokerKind(
            name="memory",
            answer=MemoryTarget,
            dead_letter=lambda address, _: MemoryTarget(address),
            routing=Templates,
        )
        super().__init__(self._memory, kind, options)

    @sends(MemoryPublishOptions)
    async def publish(self, message: object, options: MemoryPublishOptions) -> None:
        """Send *message*; return when every group that reads the address has it."""
        await self.send(message, options, options)

    @sends(MemoryRequestOptions)
    async def request(self, message: object, options: MemoryRequestOptions) -> MemoryMessage:
        """Send *message* and return the answer, its body by `await answer.decode()`.

        Raises:
            RequestTimeout: None came in time.
            RequestFailed: The handler has failed.
        """
        return await self.ask(message, options, options, options.timeout)

    def unread(self, address: str) -> int:
        """Return how many messages of *address* wait for their readers."""
        return self._current.unread(address)

    def dead_letters(self, address: str | None = None) -> Sequence[DeadLetter]:
        """Return the last rejected messages without a dead letter address, the oldest first."""
        return self._current.dead_letters(address)

    @property
    def _current(self) -> Memory:
        """The memory that messages go through: under a test broker, that one's."""
        adapter = self.runtime.adapter if self.runtime is not None else self._memory
        return adapter if isinstance(adapter, Memory) else self._memory


def _check(usable: Callable[[T], object], destination: T) -> None:
    try:
        usable(destination)
    except DestinationError as error:
        raise DeclarationError(str(error)) from error
