"""What queues and exchanges are like, and how they are bound; no client is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias
from uuid import uuid4

from callboard_brokers._errors import DestinationError
from callboard_brokers.kit import Template, hinted

Arguments: TypeAlias = Mapping[str, Any]
"""What AMQP calls a table: of texts, bytes, numbers, dates, lists, and other tables."""


_SERVER: Final = {
    "robust": "robust= is to be taken out: what is declared is there again after a reconnect",
    "timeout": "timeout= is to be taken out: it is declared for as long as the server can be reached",
    "passive": "passive=True is declare=False",
}
"""Options of the client that are left out, and why."""


class QueueType(StrEnum):
    """How a queue keeps its messages."""

    CLASSIC = "classic"
    QUORUM = "quorum"
    STREAM = "stream"


class ExchangeType(StrEnum):
    """How an exchange chooses the queues of a message; the last three need a plugin."""

    DIRECT = "direct"
    TOPIC = "topic"
    FANOUT = "fanout"
    HEADERS = "headers"
    X_CONSISTENT_HASH = "x-consistent-hash"
    X_MODULUS_HASH = "x-modulus-hash"
    X_DELAYED_MESSAGE = "x-delayed-message"


_QUEUES: Final = frozenset({QueueType.CLASSIC, QueueType.QUORUM})
_QUORUM, _STREAM = frozenset({QueueType.QUORUM}), frozenset({QueueType.STREAM})
_ARGUMENTS: Final[Mapping[str, tuple[str, frozenset[QueueType]]]] = {
    "dead_letter_exchange": ("x-dead-letter-exchange", _QUEUES),
    "dead_letter_routing_key": ("x-dead-letter-routing-key", _QUEUES),
    "dead_letter_strategy": ("x-dead-letter-strategy", _QUORUM),
    "delivery_limit": ("x-delivery-limit", _QUORUM),
    "delayed_retry_type": ("x-delayed-retry-type", _QUORUM),
    "delayed_retry_min": ("x-delayed-retry-min", _QUORUM),
    "delayed_retry_max": ("x-delayed-retry-max", _QUORUM),
    "message_ttl": ("x-message-ttl", _QUEUES),
    "expires": ("x-expires", _QUEUES),
    "max_length": ("x-max-length", _QUEUES),
    "max_length_bytes": ("x-max-length-bytes", _QUEUES | _STREAM),
    "overflow": ("x-overflow", _QUEUES),
    "max_priority": ("x-max-priority", frozenset({QueueType.CLASSIC})),
    "single_active_consumer": ("x-single-active-consumer", _QUEUES | _STREAM),
    "max_age": ("x-max-age", _STREAM),
    "max_segment_size_bytes": ("x-stream-max-segment-size-bytes", _STREAM),
}
"""What each of these options is called on the wire, and which queues have it."""
_NAMED: Final = re.compile(r"\{([^{}]*)\}")
_GIVEN_BY_US: Final = re.compile(r"callboard\.[0-9a-f]{32}\Z")
_SECONDS: Final = ("message_ttl", "expires", "delayed_retry_min", "delayed_retry_max")


@hinted(**_SERVER)
@dataclass(frozen=True, slots=True)
class RabbitQueue:
    """A queue, made if it is missing; without *declare* it has to be there.

    Quorum queues and streams are durable, and neither exclusive nor deleted automatically. A
    *routing_key* binds it to the exchange of its source; the name does if that is empty. In
    `logs.{level}` a name in braces stands for one word, and becomes a parameter of the path.
    Times are in seconds. What has no field of its own goes into *arguments*. Two that differ in
    nothing but the routing key are equal: they are one queue. One without a name gets one that no
    other has, and has to be exclusive or deleted automatically.
    """

    name: str
    queue_type: QueueType | Literal["classic", "quorum", "stream"] = QueueType.CLASSIC
    durable: bool = True
    exclusive: bool = False
    declare: bool = True
    auto_delete: bool = False
    arguments: Arguments = field(default_factory=dict[str, Any], hash=False)
    bind_arguments: Arguments = field(default_factory=dict[str, Any], hash=False)
    routing_key: str = field(default="", compare=False)
    _: KW_ONLY
    dead_letter_exchange: str | None = None
    """Where rejected, expired and surplus messages go; "" is the default exchange."""
    dead_letter_routing_key: str | None = None
    """None: the message keeps its own."""
    dead_letter_strategy: Literal["at-most-once", "at-least-once"] | None = None
    delivery_limit: int | None = None
    """How often a message may come again, before it goes to the dead letters."""
    delayed_retry_type: Literal["disabled", "all", "failed", "returned"] | None = None
    """Which messages the server holds back before they come again; from 4.3 on."""
    delayed_retry_min: float | None = None
    delayed_retry_max: float | None = None
    message_ttl: float | None = None
    expires: float | None = None
    """Seconds without use, after which the queue is deleted."""
    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: Literal["drop-head", "reject-publish", "reject-publish-dlx"] | None = None
    max_priority: int | None = None
    single_active_consumer: bool | None = None
    max_age: str | None = None
    """How long a stream keeps its messages, such as "7D"."""
    max_segment_size_bytes: int | None = None

    def __post_init__(self) -> None:
        if not self.name and self.declare and (self.exclusive or self.auto_delete):
            # Not the server's: that one would be another after each reconnection.
            object.__setattr__(self, "name", f"callboard.{uuid4().hex}")
        _check_name("queue", self.name)
        try:
            kind = QueueType(self.queue_type)
        except ValueError as error:
            raise DestinationError(
                f"the queue {self.name!r} has queue_type={self.queue_type!r}; give one of {[*QueueType]}"
            ) from error
        object.__setattr__(self, "queue_type", kind)
        if kind is not QueueType.CLASSIC and (
            self.exclusive or self.auto_delete or not self.durable
        ):
            raise DestinationError(
                f"the {kind} queue {self.name!r} must be durable, and neither exclusive nor"
                " auto_delete: RabbitMQ has no other"
            )
        for option, (_, kinds) in _ARGUMENTS.items():
            if getattr(self, option) is not None and kind not in kinds:
                raise DestinationError(
                    f"the {kind} queue {self.name!r} has {option}={getattr(self, option)!r}, which"
                    f" is for: {', '.join(sorted(kinds))}"
                )
        binding(self.routing_key)

    @property
    def given_name(self) -> str:
        """Its name, if whoever declares it has given one; else ""."""
        return _GIVEN_BY_US.sub("", self.name)

    @property
    def declared(self) -> dict[str, Any]:
        """All arguments, as they are on the wire."""
        given: dict[str, Any] = {"x-queue-type": str(self.queue_type), **self.arguments}
        for option, (name, _) in _ARGUMENTS.items():
            value = getattr(self, option)
            if value is not None:
                given[name] = round(value * 1000) if option in _SECONDS else value
        return given

    def prefixed(self, prefix: str, /) -> RabbitQueue:
        """Return it with *prefix* in front of its name, and of its routing key if it has one."""
        key = self.routing_key and prefix + self.routing_key
        return replace(self, name=prefix + self.name, routing_key=key)


@hinted(**_SERVER)
@dataclass(frozen=True, slots=True)
class RabbitExchange:
    """An exchange, made if it is missing; without *declare* it has to be there.

    The one without a name is RabbitMQ's own: it leads to the queue by the name of the routing key.
    *bind_to* is an exchange whose messages come to this one too, by *routing_key*.
    """

    name: str = ""
    type: ExchangeType | str = ExchangeType.DIRECT
    durable: bool = True
    auto_delete: bool = False
    declare: bool = True
    arguments: Arguments = field(default_factory=dict[str, Any], hash=False)
    bind_to: RabbitExchange | None = None
    bind_arguments: Arguments = field(default_factory=dict[str, Any], hash=False)
    routing_key: str = ""
    _: KW_ONLY
    delayed_type: ExchangeType = ExchangeType.DIRECT
    """How an `x-delayed-message` exchange chooses."""

    def __post_init__(self) -> None:
        if self.name:
            _check_name("exchange", self.name)
        if self.type not in {*ExchangeType} and not str(self.type).startswith("x-"):
            raise DestinationError(
                f"the exchange {self.name!r} has type={self.type!r}; give one of"
                f" {[str(each) for each in ExchangeType]}, or what a plugin has, which begins with x-"
            )

    @property
    def chooses(self) -> str:
        """How it chooses the queues of a message, once that is due."""
        return self.delayed_type if self.type == ExchangeType.X_DELAYED_MESSAGE else self.type

    @property
    def declared(self) -> dict[str, Any]:
        """All arguments, as they are on the wire."""
        if self.type != ExchangeType.X_DELAYED_MESSAGE:
            return dict(self.arguments)
        return {"x-delayed-type": str(self.delayed_type), **self.arguments}


class Binding(Template):
    """The routing key by which a queue is bound to a topic exchange.

    A word is what stands between dots, and may be empty. A name in braces stands for a word or a part
    of it, RabbitMQ's own `*` for a word, and `#` for any number of them.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        words = ("(?:\\.[^.]*)*" if word == "#" else _word(word) for word in self.text.split("."))
        object.__setattr__(self, "_pattern", re.compile("".join(words), re.DOTALL))

    def match(self, address: str) -> Mapping[str, str] | None:
        """Return the parameters that a routing key has, may be none; None if it does not match."""
        found = self._pattern.fullmatch(f".{address}")
        return None if found is None else found.groupdict()


def _word(word: str) -> str:
    parts = _NAMED.split(word)
    text = "".join(
        f"(?P<{each}>[^.]+)" if n % 2 else re.escape(each) for n, each in enumerate(parts)
    )
    return r"\." + ("[^.]*" if word == "*" else text)


def binding(key: str) -> Binding:
    """Return the template of a routing key; RabbitMQ's own wildcards may stand in it as well."""
    return Binding(key or "*")


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not name or len(name.encode()) > 255 or "{" in name:
        raise DestinationError(
            f"{name!r} cannot be the name of a {what}: give a text of up to 255 bytes, without braces"
        )
