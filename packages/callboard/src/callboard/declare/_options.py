"""What a subscriber can be told, and how what it is not told is inherited: one pure `resolve`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from enum import Enum
from typing import (
    Any,
    Final,
    Literal,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    get_args,
    runtime_checkable,
)

from callboard._context import ContextRepo
from callboard._errors import DeclarationError, declaring
from callboard._logger import LoggerProto, logger_of
from callboard.declare._breaker import Breaker
from callboard.declare._checks import (
    check_codec,
    check_dependencies,
    check_provider,
    check_serializer,
)
from callboard.declare._codec import AnyCodec
from callboard.declare._idempotency import Idempotency
from callboard.declare._middleware import Middleware, is_hooked
from callboard.declare._policy import AckPolicy
from callboard.declare._rate import Rate
from callboard.declare._retry import Retry
from callboard.instruments import Instrument
from callboard_actors import Supervision
from callboard_brokers import Headers, Message
from callboard_di import Overrides
from callboard_validation import OWN, Codec, Serializer


class Unset(Enum):
    """The type of `UNSET`, which means: as the router or broker says."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
_BRACES: Final = frozenset("{}")
_RECORDS: Final = (("rate", Rate, "Rate(limit=...)"), ("breaker", Breaker, "Breaker()"))
OnBatchError: TypeAlias = Literal["fail", "split"]
OrderedBy: TypeAlias = Literal["key", "partition", "none"] | Callable[[Message], Hashable]


Parser: TypeAlias = Callable[..., Any]
Decode: TypeAlias = Callable[..., Any]


DEFAULT_SUPERVISION: Final = Supervision()
"""What holds where nobody says anything: this very record, so that one that is equal is a word."""


@dataclass(frozen=True, kw_only=True)
class Inherited:
    """What a subscriber inherits: from its router, else its broker, else the defaults here."""

    ack_policy: AckPolicy = AckPolicy.REJECT_ON_ERROR
    """When a message is settled, and how."""
    dead_letter: str | None = None
    """Where rejected messages go; `{address}` stands for where they came from.

    None: to the broker's own dead letters where it has them; else they are logged and counted.
    """
    retry: Retry | None = None
    """How often, and when, a message that has failed is handled again; None: as `ack_policy` says."""
    supervision: Supervision = DEFAULT_SUPERVISION
    """How often the workers may crash before the subscription gives up, and what is a crash."""

    def __post_init__(self) -> None:
        _check_inherited("a broker", self)


@dataclass(frozen=True, kw_only=True)
class BrokerOptions(Inherited):
    """What every broker can be told; the first three are inherited by its subscribers."""

    middlewares: Sequence[Middleware] = ()
    """Around every handler, the first of them outermost; an instrument among them is one."""
    dependencies: Sequence[Any] = ()
    """`Depends(...)` that run before every handler, for their effect."""
    routers: Sequence[Included] = ()
    """Those that it includes from the start."""
    instruments: Sequence[Instrument] = ()
    """What looks on while messages are handled and sent, the first of them outermost."""
    codec: AnyCodec = field(default_factory=Codec)
    """How bodies are encoded and decoded: by content type, or by what the user has made for it."""
    parser: Parser | None = None
    """Makes messages of what the client has received, `parser(record)` or, to have it made as else,
    `parser(record, original)`; the nearest holds, that of a subscriber, its router or the broker."""
    decoder: Decode | None = None
    """Makes values of bodies, `decoder(message)` or `decoder(message, original)`; the nearest holds
    that says `decoder` or `codec`."""
    apply_types: bool = True
    """False: nothing is injected and nothing validated; handlers get the decoded body."""
    serializer: Serializer | Unset | None = UNSET
    """By which library values are validated, and how: a `PydanticSerializer(pydantic_config)` or
    `MsgSpecSerializer()`; unless given, each type by its own. None: what is injected, and the body,
    stays as it was decoded."""
    context: ContextRepo | None = None
    """What handlers find by name; None: it has one of its own."""
    provider: Overrides | None = None
    """What stands in for dependencies; None: it has one of its own."""
    id_generator: Callable[[], str] | None = None
    """Makes the correlation ids of what is published without one; None: texts like UUIDs."""
    logger: LoggerProto | Unset | None = UNSET
    """Where lines go: a `logging.Logger`, or any object with a method `log(level, line)`.

    None: nowhere. Unless given: to the logger of the name `callboard.` and that of the broker.
    """
    log_level: int = logging.DEBUG
    """The level of the two lines for every message."""
    graceful_timeout: float = 25.0
    """Seconds in which a stop has to be done; what is unfinished then is cancelled."""
    description: str | None = None
    specification_url: str | Sequence[str] | None = None
    """What documents give for its address, or several; None: where it is, without secrets."""
    protocol: str | None = None
    """What documents call its protocol; None: as the broker's kind says."""
    protocol_version: str | None = None
    tags: Sequence[Any] = ()
    """Of the server in documents: `callboard.specification.Tag`s, mappings, or names."""
    reply_to: str | Sequence[str] | None = None
    """Where answers may go, whatever a message says: an address, or more, with `*` for any text.

    None: anywhere that exists. No answer ever creates its destination.
    """

    @property
    def validates(self) -> Serializer:
        """What chooses the library of a type."""
        return self.serializer if isinstance(self.serializer, Serializer) else OWN

    def __post_init__(self) -> None:
        self._part_instruments()
        super().__post_init__()
        if self.logger is not UNSET:
            object.__setattr__(self, "logger", logger_of(self.logger, "a broker"))
        check_provider(self.provider, "a broker")
        check_serializer(self.serializer, "a broker", UNSET)
        generator: object = self.id_generator
        if generator is not None and not callable(generator):
            raise DeclarationError(
                f"id_generator={generator!r} of a broker must be a function that returns an id"
            )
        given: Sequence[Any] = self.instruments
        for each in given:
            if isinstance(each, type) or not isinstance(each, Instrument):
                raise DeclarationError(
                    f"instruments=[{each!r}] of a broker: that is no instrument; give an object of a"
                    " class that is derived from callboard.instruments.Instrument"
                )

    def _part_instruments(self) -> None:
        """Take instruments out of the middlewares, where services that were migrated have them."""
        if found := _instruments_in(self.middlewares):
            others = [each for each in self.middlewares if not _is_one(each)]
            object.__setattr__(self, "middlewares", others)
            object.__setattr__(self, "instruments", [*self.instruments, *found])


@dataclass(frozen=True, kw_only=True)
class SubscriberOptions:
    """What every subscriber can be told, whatever its broker."""

    ack_policy: AckPolicy | Unset = UNSET
    max_workers: int = 1
    """How many messages are handled at a time."""
    ordered_by: OrderedBy = "key"
    """Which messages are handled one after another, and wait for one that is nacked: those of a
    key, of a partition, none, or those for which a function of the message gives the same (None: it
    waits for nobody). With one worker, all are handled in order of arrival, and the same ones wait;
    batches are ordered by partition at best."""
    key_header: str | None = None
    """The header that stands for the key of a message that has none, as where brokers carry none."""
    mailbox: int = 256
    """How many messages may wait here; with them 16 MiB. The broker keeps the rest."""
    dead_letter: str | Unset | None = UNSET
    retry: Retry | Unset | None = UNSET
    """How often, and when, a message that has failed is handled again: `Retry(attempts=5)`."""
    idempotent: Idempotency | None = None
    """How a message that comes again is known, so that it is handled once; None: it is not."""
    outbox: bool = False
    """Whether what a handler publishes by hand leaves only when it has succeeded, and before the
    message is acknowledged; else it leaves at once."""
    rate: Rate | None = None
    """How fast messages are handled at most: `Rate(limit=100)`; None: as fast as they can be."""
    retry_share: float = 0.3
    """How much of its workers' time may go to tries after the first one while other messages wait,
    and how much of its mailbox to what waits for such tries; 1: all of it."""
    breaker: Breaker | None = None
    """When to take no more, since what handlers need is away: `Breaker()`; None: never."""
    supervision: Supervision | Unset = UNSET
    middlewares: Sequence[Middleware] = ()
    """Around its handlers, inside of those of the broker and of routers; the first outermost."""
    dependencies: Sequence[Any] = ()
    """`Depends(...)` that run before the handler, for their effect."""
    batch: bool = False
    """Handle several messages at once: the handler takes `list[T]`."""
    max_records: int | None = None
    """How many a batch holds at most; None: as many as the mailbox."""
    batch_timeout: float = 0.0
    """Seconds that a batch that has begun waits to be filled; 0 takes what is there."""
    on_batch_error: OnBatchError = "fail"
    """What a failing call means for its batch: it fails as a whole, or its halves are tried, and
    halves of these ("split"), until the messages are found that fail alone. Those that are not
    valid are found before the call in any case."""
    persistent: bool = True
    """Start with the broker; False: when `start` is called, by hand."""
    codec: AnyCodec | None = None
    """How bodies are decoded here, and answers encoded; None: as its router or broker says."""
    parser: Parser | None = None
    decoder: Decode | None = None
    no_reply: bool = False
    """Do not answer, even a message that says where to."""
    title: str | None = None
    description: str | None = None
    include_in_schema: bool = True

    def __post_init__(self) -> None:
        _check_inherited("a subscriber", self)
        for name, kind, like in _RECORDS:
            given = getattr(self, name)
            if given is not None and not isinstance(given, kind):
                raise DeclarationError(f"{name}={given!r} of a subscriber must be a {like}")
        if not 0 < self.retry_share <= 1:
            raise DeclarationError(
                f"retry_share={self.retry_share!r} of a subscriber must be above 0, at most 1"
            )
        for name in ("max_workers", "mailbox"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise DeclarationError(
                    f"{name}={value!r} of a subscriber must be a whole number, at least 1"
                )
        if not callable(self.ordered_by) and self.ordered_by not in get_args(
            get_args(OrderedBy)[0]
        ):
            raise DeclarationError(
                f"ordered_by={self.ordered_by!r} of a subscriber must be 'key', 'partition', 'none'"
                " or a function of the message"
            )
        _check_batch(self)
        _check_idempotent(self)
        _check_outbox(self)

    @property
    def batch_size(self) -> int:
        """How many messages a batch holds at most."""
        return self.max_records or self.mailbox


class Included(Protocol):
    """A router, as another one or a broker includes it."""

    @property
    def declared(self) -> Any:
        """What is declared on it."""
        ...


class Declares(Protocol):
    """What declares something on the router that it is given to."""

    def declare(self, declared: Any, /) -> None:
        """Declare it among what is *declared* there."""
        ...


@dataclass(frozen=True)
class RouterOptions:
    """What holds for everything that is declared on a router."""

    prefix: str = ""
    """Stands in front of every address as it is, without a dot of its own."""
    handlers: Sequence[Declares] = ()
    """Routes: handlers with what their subscribers and publishers are told."""
    _: KW_ONLY
    routers: Sequence[Included] = ()
    """Those that it includes from the start."""
    ack_policy: AckPolicy | Unset = UNSET
    dead_letter: str | Unset | None = UNSET
    retry: Retry | Unset | None = UNSET
    supervision: Supervision | Unset = UNSET
    middlewares: Sequence[Middleware] = ()
    """Around every handler, inside of those of the broker; the first of them outermost."""
    dependencies: Sequence[Any] = ()
    """`Depends(...)` that run before every handler, for their effect."""
    codec: AnyCodec | None = None
    """How bodies are decoded and encoded here; None: as what is around it says."""
    parser: Parser | None = None
    decoder: Decode | None = None
    include_in_schema: bool | None = None
    """False: whatever is in it is left out of documents; None: as what is around it says."""

    def __post_init__(self) -> None:
        _check_inherited("a router", self)


@runtime_checkable
class Prefixed(Protocol):
    """A source or target that can be declared on a router with a prefix."""

    def prefixed(self, prefix: str, /) -> Self:
        """Return it with *prefix* in front of every address."""
        ...


D = TypeVar("D")


def prefixed(destination: D, scopes: Sequence[RouterOptions]) -> D:
    """Return *destination* as it is called outside of *scopes*, from the nearest outwards.

    Raises:
        DeclarationError: It can have no prefix.
    """
    prefix = "".join(scope.prefix for scope in reversed(scopes))
    if not prefix:
        return destination
    if not isinstance(destination, Prefixed):
        raise DeclarationError(f"{destination!r} can't have the prefix {prefix!r} of a router")
    with declaring():
        return destination.prefixed(prefix)


@dataclass(frozen=True, kw_only=True)
class PublisherOptions:
    """What every publisher can be told, whatever its broker."""

    title: str | None = None
    description: str | None = None
    schema: Any = None
    """The type of what is published, where the handler's return annotation does not say it."""
    headers: Headers | None = None
    """Headers of every message that is published."""
    reply_to: str | None = None
    """Where whoever handles them may send an answer."""
    batch: bool = False
    """Publish each element of the list that the handler returns, as a message of its own."""
    codec: AnyCodec | None = None
    """How bodies are encoded; None: as its router or broker says."""
    include_in_schema: bool = True


@dataclass(frozen=True, kw_only=True)
class PublishOptions:
    """What travels beside the body, whatever the broker."""

    headers: Headers | None = None
    correlation_id: str | None = None
    """Ties answers and follow-ups to what caused them; made where None."""
    message_id: str | None = None
    reply_to: str | None = None
    """The address that the handler's result is sent to."""
    content_type: str | None = None
    """How the body is encoded; None: as its type asks for."""


def _instruments_in(middlewares: Any) -> list[Any]:
    listed: list[Any] = [*middlewares] if isinstance(middlewares, Sequence) else []
    return [each for each in listed if _is_one(each)]


def _is_one(given: object) -> bool:
    return isinstance(given, Instrument) and not isinstance(given, type)


def _check_batch(options: SubscriberOptions) -> None:
    said = (options.max_records, options.batch_timeout, options.on_batch_error)
    if not options.batch and said != (None, 0.0, "fail"):
        raise DeclarationError(
            "max_records, batch_timeout and on_batch_error of a subscriber are about batches;"
            " give batch=True too"
        )
    if options.on_batch_error not in get_args(OnBatchError):
        raise DeclarationError(
            f"on_batch_error={options.on_batch_error!r} of a subscriber must be 'fail' or 'split'"
        )
    if options.batch and callable(options.ordered_by):
        raise DeclarationError(
            "batches hold messages of several keys, so that ordered_by= of a subscriber with"
            " batch=True is 'partition' or 'none'"
        )
    size: object = getattr(options, "max_records")  # noqa: B009 - whatever was given for it
    wait = options.batch_timeout
    if size is not None and (not isinstance(size, int) or size < 1):
        raise DeclarationError(
            f"max_records={size!r} of a subscriber must be a whole number, at least 1"
        )
    if wait < 0:
        raise DeclarationError(f"batch_timeout={wait!r} of a subscriber must be at least 0")


def _check_idempotent(options: SubscriberOptions) -> None:
    given: Any = options.idempotent
    if given is not None and not isinstance(given, Idempotency):
        raise DeclarationError(
            f"idempotent={given!r} of a subscriber must be an Idempotency(store) or None"
        )
    if given is not None and options.batch:
        raise DeclarationError(
            "a subscriber with batch=True has idempotent=, which is about messages one by one; leave"
            " one of them out"
        )


def _check_outbox(options: SubscriberOptions) -> None:
    given: object = getattr(options, "outbox")  # noqa: B009 - whatever was given for it
    if not isinstance(given, bool):
        raise DeclarationError(
            f"outbox={given!r} of a subscriber must be True or False; callboard.outbox.Outbox is given to"
            " nobody: call its publish"
        )
    if given and options.batch:
        raise DeclarationError(
            "a subscriber with batch=True has outbox=True, but some messages of a batch may fail, and"
            " nobody can tell of which the others are what was published; leave one of them out"
        )


def _check_inherited(owner: str, options: Any) -> None:
    """Refuse what is not of its type: it would show only when a message has failed."""
    for name in ("middlewares", "dependencies", "instruments", "handlers", "routers"):
        # What can be gone through only once would be there for the first that starts alone.
        if not isinstance(several := getattr(options, name, ()), Sequence):
            raise DeclarationError(f"{name}={several!r} of {owner} must be a list")
    for each in getattr(options, "middlewares", ()):
        is_hooked(each)
    check_dependencies(owner, getattr(options, "dependencies", ()))
    check_codec(owner, getattr(options, "codec", None), getattr(options, "decoder", None))
    policy, address, supervision = options.ack_policy, options.dead_letter, options.supervision
    if not isinstance(policy, AckPolicy | Unset):
        names = ", ".join(each.name for each in AckPolicy)
        raise DeclarationError(f"ack_policy={policy!r} of {owner} must be an AckPolicy: {names}")
    if not isinstance(supervision, Supervision | Unset):
        raise DeclarationError(
            f"supervision={supervision!r} of {owner} must be a Supervision(intensity, period)"
        )
    retry: object = options.retry
    if not isinstance(retry, Retry | Unset | None):
        raise DeclarationError(f"retry={retry!r} of {owner} must be a Retry(attempts=...) or None")
    if isinstance(address, str) and (not address or _BRACES & {*address.replace("{address}", "")}):
        raise DeclarationError(
            f"dead_letter={address!r} of {owner} is no address; the only thing in braces that may"
            " stand in it is {address}, for where the message came from"
        )


def nearest(name: str, layers: Sequence[object]) -> Any:
    """Return the first value of *name* that one of *layers* has, the nearest first; else None."""
    values = (getattr(layer, name, None) for layer in layers)
    return next((value for value in values if value is not None), None)


def resolve(*layers: object) -> Inherited:
    """Merge *layers*, the nearest first: the first value that is set wins."""
    merged: dict[str, Any] = {}
    for each in fields(Inherited):
        values = [getattr(layer, each.name, UNSET) for layer in layers]
        merged[each.name] = next((value for value in values if value is not UNSET), each.default)
    return Inherited(**merged)
