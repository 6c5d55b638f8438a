"""The port: what an adapter of a broker implements, and nothing more.

No decoding, no policy, no concurrency and no test double in here: these are the same for every
broker, so they live above the port.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol, TypeGuard, TypeVar, runtime_checkable

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import BrokerError
from callboard_brokers._message import Message

S_contra = TypeVar("S_contra", contravariant=True)
T_contra = TypeVar("T_contra", contravariant=True)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """What one kind of source can do; decides which checks of the conformance suite apply to it."""

    redelivers: bool = False
    """A message that is nacked, released, or left unsettled is delivered again."""
    delays: bool = False
    """`nack(delay)` holds a message back for so long."""
    counts_deliveries: bool = False
    """`Delivery.deliveries` grows with every nack."""
    keeps_rejected: bool = False
    """What this source rejects is kept where it can be found."""
    groups: bool = False
    """Readers of one group share its messages."""
    fans_out: bool = False
    """Every group gets every message."""
    persistent: bool = False
    """A named group keeps its messages while nobody reads."""
    ordered_by_key: bool = False
    """One reader gets the messages of a key in the order of publishing, redelivered ones aside."""
    keys: bool = False
    """`Message.key` travels."""
    headers: bool = False
    """Headers of text, the content type and the ids travel."""
    binary_headers: bool = False
    """Headers of bytes travel, and arrive as bytes."""
    backpressure: bool = False
    """`publish` waits while a reader is too far behind."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What may wait in an adapter, beside what its reader has received and not settled.

    So twice as many messages are unsettled at the broker at most. A message whose body is longer
    than *bytes* comes nevertheless, alone.

    Raises:
        ValueError: Nothing may wait: then nothing would come.
    """

    messages: int
    bytes: int = 16 * 2**20

    def __post_init__(self) -> None:
        if self.messages < 1 or self.bytes < 1:
            raise ValueError(f"cannot subscribe with {self}: give at least one of each")


class Subscription(Protocol):
    """A source that is being read."""

    async def receive(self, limit: int, max_bytes: float = inf, /) -> Sequence[Delivery]:
        """Wait for at least one delivery, and return at most *limit*, in order.

        The one by which their bodies come to *max_bytes* is the last: so many are exceeded by one
        message at most. Nothing is lost if it is cancelled.

        Raises:
            ConnectionClosed: The subscription has been left.
        """
        ...


class Connection(Protocol[S_contra, T_contra]):
    """An open connection. The loss of the broker is a state that it mends by itself."""

    @property
    def lost_at(self) -> float | None:
        """Since when the broker cannot be reached, by `anyio.current_time`; None: it can."""
        ...

    def subscribe(
        self, source: S_contra, capacity: Capacity, /
    ) -> AbstractAsyncContextManager[Subscription]:
        """Read *source*; as much as *capacity* may wait until it is received.

        Entering starts it, with the tasks that it needs; leaving flushes the settlements, gives
        back what is unsettled, and closes it. Deliveries that are settled later are stale.
        """
        ...

    async def publish(self, message: Message, target: T_contra, /) -> object:
        """Return the broker's receipt once it has *message*; None where it gives none.

        If cancelled, it may or may not have it.

        Raises:
            ConnectionClosed: The connection has been left.
            DestinationError: *target* can't be published to: never, or, if it is `Unroutable`, now.
            PublishFailed: The broker did not take it; if it is `Unpublishable`, it never will.
        """
        ...

    async def ping(self) -> None:
        """Return once the broker has answered.

        Raises:
            ConnectionLost: It has not.
            ConnectionClosed: The connection has been left.
        """
        ...


class Adapter(Protocol[S_contra, T_contra]):
    """A broker that can be connected to; *S* and *T* are its records of a source and a target."""

    def features(self, source: S_contra, /) -> Features:
        """Return what *source* can do; it needs no connection."""
        ...

    def connect(self) -> AbstractAsyncContextManager[Connection[S_contra, T_contra]]:
        """Open a connection; leaving it closes its subscriptions' way to the broker."""
        ...


@runtime_checkable
class Preparing(Protocol[S_contra, T_contra]):
    """A connection that has to have something there before anything can be read or published."""

    async def prepare(self, sources: Sequence[S_contra], targets: Sequence[T_contra], /) -> None:
        """Have there what these need: queues, groups, topics. It may be called again, with more.

        It is done again after a reconnect. A source that was not prepared is, when it is read.
        What may not be made, and may come to be, is for whoever reads or publishes there to say.

        Raises:
            DestinationError: One cannot be there.
            TopologyError: Something is there and different, or is missing that was not to be made.
        """
        ...


@runtime_checkable
class Requesting(Protocol[T_contra]):
    """A connection that can wait for replies."""

    async def request(self, message: Message, target: T_contra, timeout: float, /) -> Message:  # noqa: ASYNC109 - a time-out on the wire, not a scope
        """Publish *message* and return the reply to it; requests may overlap.

        Raises:
            RequestTimeout: No reply within *timeout*.
            DestinationError: Nobody can reply.
        """
        ...


def can_request(connection: Connection[S_contra, T]) -> TypeGuard[Requesting[T]]:
    """Return whether *connection* is `Requesting`; `isinstance` would forget the type of target."""
    return isinstance(connection, Requesting)


@runtime_checkable
class BatchPublishing(Protocol[T_contra]):
    """A connection that publishes several messages at once."""

    async def publish_batch(self, messages: Sequence[Message], target: T_contra, /) -> object:
        """Return the broker's receipt once it has all of *messages*, in order; see `publish`."""
        ...


def can_batch(connection: Connection[S_contra, T]) -> TypeGuard[BatchPublishing[T]]:
    """Return whether *connection* is `BatchPublishing`."""
    return isinstance(connection, BatchPublishing)


class Kept(Protocol):
    """What an address held when it was opened, to be looked through by a person or a tool."""

    async def read(self, limit: int, /) -> Sequence[Message]:
        """Return the next *limit* at most, the oldest first; none: that was all. They stay."""
        ...

    async def remove(self, messages: Sequence[Message], /) -> None:
        """Return once *messages*, which were read here, are kept no more.

        Raises:
            BrokerError: Some still are.
        """
        ...


@runtime_checkable
class Revisiting(Protocol):
    """A connection that can look through what is kept, without taking it away from there."""

    def revisit(self, address: str, /) -> AbstractAsyncContextManager[Kept]:
        """Open what is kept at *address*; by leaving, all that was not removed stays, in order.

        Entering raises:
            DestinationError: There is no such address; or, if it is `Unroutable`, nothing is kept.
        """
        ...


class Confirmation(Protocol):
    """What becomes of one message that was sent."""

    async def wait(self) -> object:
        """Return the receipt, or raise as `publish` does. If cancelled, the sending goes on."""
        ...

    def then(self, call: Callable[[BrokerError | None], None], /) -> None:
        """Call once with the failure, or None; at once if it is known. *call* may not raise.

        It may be called outside of any task.
        """
        ...


class Arrived:
    """The `Confirmation` of what is there already. To wait for it is no checkpoint."""

    __slots__ = ("_receipt",)

    def __init__(self, receipt: object = None) -> None:
        self._receipt = receipt

    async def wait(self) -> object:
        """Return the receipt."""
        return self._receipt

    def then(self, call: Callable[[BrokerError | None], None], /) -> None:
        """Call at once."""
        call(None)


ARRIVED: Final = Arrived()
"""Confirms without a receipt; known by its identity, so that nobody has to wait for it."""


@runtime_checkable
class Sending(Protocol[T_contra]):
    """A connection that takes more messages while the broker has not confirmed the last ones."""

    async def send(self, message: Message, target: T_contra, /) -> Confirmation:
        """Hand *message* over, in order; wait only while the client has no room for it.

        What is known at once is raised, as by `publish`; the rest is for the confirmation.
        """
        ...


def can_send(connection: Connection[S_contra, T]) -> TypeGuard[Sending[T]]:
    """Return whether *connection* is `Sending`."""
    return isinstance(connection, Sending)


@runtime_checkable
class Reaching(Protocol[T_contra]):
    """A connection that knows whether a target can be published to, before anything is."""

    async def reach(self, target: T_contra, /) -> None:
        """Return if *target* can be published to; create what is missing only as `publish` would.

        Raises:
            DestinationError: It can't be: never, or, if it is `Unroutable`, now.
            ConnectionLost: Nobody can say.
        """
        ...


@runtime_checkable
class Flushing(Protocol):
    """A connection that may publish in the background."""

    async def flush(self) -> None:
        """Return when everything that was published has arrived, or failed."""
        ...


@runtime_checkable
class StoppingIntake(Protocol):
    """A subscription that can stop taking before it is left, while what was taken is handled."""

    async def stop_intake(self) -> None:
        """Take nothing more from the broker, and give back what nobody has received; settle on.

        `receive` raises `ConnectionClosed` from now on.
        """
        ...


@runtime_checkable
class Revocable(Protocol):
    """A subscription whose deliveries may have to be given back: to the next member of a group."""

    def on_recall(self, give_back: Callable[[], None], /) -> None:
        """Have *give_back* called when that is so; it releases at once what nobody has begun.

        What is being handled is waited for, as long as the broker allows.
        """
        ...


@runtime_checkable
class Blaming(Protocol):
    """A subscription that a broker gives to another when the event loop has stood still too long.

    What its handler blocks the loop with is delivered again, to somebody who is blocked in turn.
    """

    def on_standstill(self, who: Callable[[], Sequence[Delivery]], /) -> None:
        """Have *who* called, in another thread, when that is so; it says what keeps the loop."""
        ...

    def blamed(self, deliveries: Sequence[Delivery], /) -> Sequence[Delivery]:
        """Return those of what was received that have done it twice: not to be handled again."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A subscription that counts failures, to wait longer each time or to give up in the end."""

    def count_failure(self, delivery: Delivery, delay: float | None, /) -> float | None:
        """Count a failure of *delivery*, which its reader keeps, so that no later message passes it.

        Return after how many seconds to try it again: *delay*, or the usual time if that is None.
        Return None if it is not to be kept: then it is nacked, and the broker gives it up.
        """
        ...


@runtime_checkable
class GivingUp(Protocol):
    """A subscription of a broker that delivers a message no more in the end, and keeps it nowhere."""

    def on_given_up(self, bury: Callable[[Delivery, BrokerError], Awaitable[None]], /) -> None:
        """Have *bury* called with each such message, one after another; it settles it.

        Until then they are only told, as `MessageGivenUp`.
        """
        ...


@runtime_checkable
class Transactional(Protocol[T_contra]):
    """A subscription whose outputs are published with the settlement of what they came from."""

    @property
    def transactional(self) -> bool:
        """Whether this source is read so."""
        ...

    def enlist(self, delivery: Delivery, outputs: Sequence[tuple[Message, T_contra]], /) -> None:
        """Publish *outputs* if, when, and only if *delivery* is done with for good.

        Both happen at once, or neither does. They are added to what was enlisted for *delivery*
        before; a nack, a release, and whatever makes the delivery stale forget all of it.

        Raises:
            BrokerError: *delivery* is settled already.
            DestinationError: A target can never be published to.
            Unpublishable: A message can never be published.
        """
        ...
