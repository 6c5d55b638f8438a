"""Where to read, and where to write, on RabbitMQ; no client is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime, timedelta
from ssl import SSLContext
from typing import Any, Final

from callboard_brokers._errors import DestinationError
from callboard_brokers.kit import hinted, seconds_until
from callboard_brokers.rabbit._queues import (
    Arguments,
    Binding,
    ExchangeType,
    QueueType,
    RabbitExchange,
    RabbitQueue,
    binding,
)

_KEYLESS: Final = frozenset({ExchangeType.FANOUT, ExchangeType.HEADERS})
_OFFSET: Final = "x-stream-offset"
_OFFSETS: Final = ("first", "last", "next")
LONGEST: Final = 45 * 86_400.0
"""Seconds that a message may wait: milliseconds are counted by 32 bits there."""
_INTERVAL: Final = re.compile(r"\d+[YMDhms]")


@hinted()
@dataclass(frozen=True, slots=True)
class Channel:
    """How a subscriber's channel is opened; every subscriber has one of its own.

    With *prefetch_count* at most so many of its messages are unsettled; None: as many as its
    mailbox and its workers hold. Without *publisher_confirms*, as the broker's default, what is
    published is handed over, and nobody says whether it has arrived. The others are as they stand,
    and are refused otherwise.
    """

    prefetch_count: int | None = None
    global_qos: bool = False
    channel_number: int | None = None
    publisher_confirms: bool = True
    on_return_raises: bool = True

    def __post_init__(self) -> None:
        if self.prefetch_count is not None and not 1 <= self.prefetch_count <= 65535:
            raise DestinationError(
                f"prefetch_count={self.prefetch_count}: give 1 to 65535, or None"
            )
        for option, (value, why) in _SETTLED.items():
            if getattr(self, option) != value:
                raise DestinationError(
                    f"{option}={getattr(self, option)!r}: it is always {value}, since {why}"
                )


_SETTLED: Final[Mapping[str, tuple[object, str]]] = {
    "global_qos": (False, "quorum queues refuse another, and a channel has one consumer"),
    "channel_number": (
        None,
        "each subscriber has a channel of its own, and a new one if it breaks",
    ),
    "on_return_raises": (True, "what no queue gets is an error; may it be lost, mandatory=False"),
}
"""What a channel cannot be told, how it is, and why."""


@dataclass(frozen=True, slots=True)
class RabbitSource:
    """A queue to read, bound to *exchange* if one is given.

    Those who read one queue share its messages; of a stream everybody gets everything, from
    `consume_args={"x-stream-offset": "first"}` on, or from now on.
    """

    queue: str | RabbitQueue
    exchange: str | RabbitExchange | None = None
    _: KW_ONLY
    channel: Channel | None = None
    consume_args: Arguments = field(default_factory=dict[str, Any], hash=False)

    def __post_init__(self) -> None:
        if isinstance(self.queue, str):
            object.__setattr__(self, "queue", RabbitQueue(self.queue))
        object.__setattr__(self, "exchange", _exchange(self.exchange))
        _check_offset(self)
        exchange = self.bound_to
        if self.binding.names and (
            exchange is None or (exchange.declare and exchange.chooses != ExchangeType.TOPIC)
        ):
            raise DestinationError(
                f"the routing key {self.binding.text!r} of the queue {self.reads.name!r} has names in"
                " braces, which stand for words only where a topic exchange looks at them: give one"
            )

    def __eq__(self, other: object) -> bool:
        """Whether it is the same by the routing key too."""
        return isinstance(other, RabbitSource) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash((self.queue, self.exchange, self.channel))

    @property
    def _parts(self) -> tuple[object, ...]:
        return self.queue, self.binding, self.exchange, self.channel, self.consume_args

    @property
    def reads(self) -> RabbitQueue:
        """The queue."""
        return self.queue if isinstance(self.queue, RabbitQueue) else RabbitQueue(self.queue)

    @property
    def bound_to(self) -> RabbitExchange | None:
        """The exchange to bind it to; None: RabbitMQ's own, which leads to every queue."""
        found = _exchange(self.exchange)
        return found if found is not None and found.name else None

    @property
    def addresses(self) -> Sequence[str]:
        """Where what it reads is published to: the routing key, if the exchange looks at that."""
        exchange = self.bound_to
        return [self.reads.name if exchange and exchange.chooses in _KEYLESS else self.binding.text]

    @property
    def binding(self) -> Binding:
        """What the routing key of a message looks like, with its parameters."""
        return binding(self.reads.routing_key or self.reads.name)

    @property
    def offset(self) -> Any:
        """Where in a stream to begin; None: at what comes next."""
        return self.consume_args.get(_OFFSET)

    @property
    def is_stream(self) -> bool:
        """Whether messages stay where they are when they are read."""
        return self.reads.queue_type is QueueType.STREAM

    @property
    def address(self) -> str:
        """What the log calls it."""
        return self.reads.name

    def prefixed(self, prefix: str, /) -> RabbitSource:
        """Return it with *prefix* in front of the queue's name and routing key."""
        return replace(self, queue=self.reads.prefixed(prefix))


@dataclass(frozen=True)
class RabbitTarget:
    """A queue, or an exchange and a *routing_key*, to publish to.

    A *mandatory* message that no queue gets is an error; without, it is gone. With *persist*, it
    outlives a restart of the server, if its queue is durable. It expires *expiration* seconds
    after it was published. *timeout* seconds may pass until the server has it; None: as many as
    it takes, while it can be reached.
    """

    queue: str | RabbitQueue = ""
    exchange: str | RabbitExchange | None = None
    _: KW_ONLY
    routing_key: str = ""
    mandatory: bool = True
    persist: bool = True
    priority: int | None = None
    expiration: float | timedelta | None = None
    timestamp: datetime | None = None
    content_encoding: str | None = None
    message_type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    timeout: float | None = None
    delay: float | timedelta | None = None
    """Seconds for which it waits on the server, in a queue of its own, rounded up to three digits."""
    at: datetime | None = None
    """Until when it waits there."""

    def __post_init__(self) -> None:
        # What is only named here is for others to declare.
        object.__setattr__(self, "exchange", _exchange(self.exchange, declare=False))
        if "{" in self.key or not (self.key or self.through):
            raise DestinationError(
                f"cannot publish to queue={self.queue!r}, exchange={self.through!r},"
                f" routing_key={self.routing_key!r}: give a queue, or an exchange and its routing"
                " key, and none with braces"
            )
        if not self.through and self.queue and self.routing_key not in {"", _name(self.queue)}:
            raise DestinationError(
                f"cannot publish to queue={_name(self.queue)!r} by routing_key={self.routing_key!r}:"
                " without an exchange, the routing key is the name of the queue; give one of them, or"
                " an exchange"
            )

    @property
    def through(self) -> str:
        """The name of the exchange; "" is RabbitMQ's own."""
        return self.exchange.name if isinstance(self.exchange, RabbitExchange) else ""

    @property
    def key(self) -> str:
        """The routing key."""
        if isinstance(self.queue, str):
            return self.routing_key or self.queue
        bound = self.through and self.queue.routing_key
        return self.routing_key or bound or self.queue.name

    @property
    def address(self) -> str:
        """What the log and the documents call it."""
        return self.key or self.through

    def prefixed(self, prefix: str, /) -> RabbitTarget:
        """Return it with *prefix* in front of the queue's name and the routing key."""
        queue = self.queue
        queue = (
            queue.prefixed(prefix) if isinstance(queue, RabbitQueue) else queue and prefix + queue
        )
        return replace(
            self, queue=queue, routing_key=self.routing_key and prefix + self.routing_key
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitOptions:
    """How to speak to the server; what is given here comes before what its address says."""

    virtualhost: str | None = None
    ssl_context: SSLContext | None = field(default=None, repr=False)
    """For addresses of amqps; None: one with the system's authorities."""
    external: bool = False
    """Be known by the certificate of the *ssl_context*, and not by a password."""
    client_properties: Arguments = field(default_factory=dict[str, Any])
    """What the server shows of this connection."""
    app_id: str | None = None
    """What messages say of who has sent them."""
    heartbeat: int = 10
    """A server that has been silent for three times so many seconds is taken for dead."""
    timeout: float = 10.0
    """Seconds that one attempt to connect may take."""
    default_channel: Channel = Channel()
    """That of every source which says nothing of its own."""
    unconfirmed: int = 1000
    """How many messages may be on their way to the server; more wait."""


def wait_of(target: RabbitTarget) -> float | None:
    """Return how many seconds what is published to *target* has to wait; None: it says nothing.

    Raises:
        DestinationError: There is no such wait.
    """
    if target.delay is None and target.at is None:
        return None
    if target.expiration is not None:
        raise DestinationError(
            f"cannot publish to {target.address!r} with expiration={target.expiration!r} and a delay:"
            " what waits would expire there, and RabbitMQ forgets it for what has waited"
        )
    seconds = seconds_until(target.address, target.delay, target.at)
    if seconds is not None and seconds > LONGEST:
        raise DestinationError(
            f"cannot publish to {target.address!r} in {seconds / 86_400:.0f} days: RabbitMQ counts up"
            f" to {LONGEST / 86_400:.0f}"
        )
    return seconds


def _exchange(given: str | RabbitExchange | None, *, declare: bool = True) -> RabbitExchange | None:
    return RabbitExchange(given, declare=declare) if isinstance(given, str) else given


def _name(queue: str | RabbitQueue) -> str:
    return queue if isinstance(queue, str) else queue.name


def _check_offset(source: RabbitSource) -> None:
    """Refuse to begin anywhere but in a stream, or at what is no place in one."""
    if (offset := source.offset) is None:
        return
    if not source.is_stream:
        raise DestinationError(
            f"the {source.reads.queue_type} queue {source.reads.name!r} has {_OFFSET}={offset!r}:"
            " what is read is gone from it; only a stream can be read from anywhere on"
        )
    named = isinstance(offset, str) and (offset in _OFFSETS or _INTERVAL.fullmatch(offset))
    if not named and (isinstance(offset, bool) or not isinstance(offset, int | datetime)):
        raise DestinationError(
            f"the stream {source.reads.name!r} is read from {_OFFSET}={offset!r}; give one of"
            f" {', '.join(_OFFSETS)}, a number, a datetime, or how long ago, such as '1h'"
        )
