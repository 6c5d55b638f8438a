"""A message: bytes and what travels with them, as received or as to be published.

One class serves all brokers. Its metadata may be read lazily, since most handlers look at few
headers or none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from inspect import isawaitable
from traceback import format_exception_only
from types import MappingProxyType
from typing import (
    Any,
    Final,
    Generic,
    Protocol,
    Self,
    TypeAlias,
    TypedDict,
    Unpack,
    overload,
    runtime_checkable,
)

from typing_extensions import TypeVar

from callboard_brokers._errors import NotReceived
from callboard_brokers._settlement import AckStatus, Settlement, Settles, SourceType

R_co = TypeVar("R_co", covariant=True, default=Any)
"""The record of the client; Any where nothing is said of it, so that a function of one broker's
messages goes where any may come."""
T = TypeVar("T")
HeaderValue: TypeAlias = str | bytes | int | float | bool | datetime | None
"""What brokers carry in a header; those of texts only write others as text, and don't read them."""
Headers: TypeAlias = Mapping[str, HeaderValue]

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
UNREADABLE: Final = "callboard-unreadable"
"""The header that stands for metadata that could not be read, and says why."""
_STATUS: Final = {
    Settlement.ACK: AckStatus.ACKED,
    Settlement.NACK: AckStatus.NACKED,
    Settlement.REJECT: AckStatus.REJECTED,
}
UNDECODED: Final = object()
"""Stands for a body that nobody has decoded yet."""


class _Changes(TypedDict, total=False):
    headers: Headers
    reply_to: str | None
    path: Mapping[str, str]
    pairs: Sequence[tuple[str, bytes | None]]


class Metadata:
    """What travels beside a body; not to be changed once made."""

    __slots__ = (
        "content_type",
        "correlation_id",
        "headers",
        "message_id",
        "pairs",
        "path",
        "reply_to",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - the record that keeps other signatures short
        self,
        headers: Headers | None = None,
        content_type: str | None = None,
        message_id: str | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        path: Mapping[str, str] | None = None,
        pairs: Sequence[tuple[str, bytes | None]] = (),
    ) -> None:
        self.headers: Headers = headers or _NOTHING
        self.content_type = content_type
        self.message_id = message_id
        self.correlation_id = correlation_id
        self.reply_to = reply_to
        self.path: Mapping[str, str] = path or _NOTHING
        self.pairs = pairs
        """The headers as they were on the wire, ids among them, where `headers` can't say it all:
        null ones, repeated ones, and their order. May be empty."""

    def but(self, **changes: Unpack[_Changes]) -> Metadata:
        """Return it with *changes*."""
        other = Metadata.__new__(Metadata)  # `copy` takes five times as long
        for name in Metadata.__slots__:
            setattr(other, name, getattr(self, name))
        for name, value in changes.items():
            setattr(other, name, value)
        return other


class Binding(Protocol):
    """What the reader of a subscription adds to its messages."""

    def decode(self, message: Message, as_: Any = UNDECODED, /) -> object:
        """Return the value of *message*'s body, or what brings it; as a type, if one is given."""
        ...

    async def reject(self, message: Message, /) -> None:
        """Bring *message* to where rejected messages go, and settle it."""
        ...


@runtime_checkable
class Keeping(Binding, Protocol):
    """A `Binding` of one who tries again what is nacked, rather than give it to the broker."""

    def keep(self, delivery: Settles, delay: float | None, /) -> bool:
        """Say whether *delivery*, which is nacked, stays here; it is called by that.

        *delay* is how long to wait before the next try; None leaves it to who tries.
        """
        ...


class Message(Generic[R_co]):
    """Bytes and what travels with them: received from a broker, or to be published.

    `raw_message` is the record of the broker's client; None in a message of one's own making.
    Adapters make theirs by `received`, and give *metadata* instead of headers and ids, or *load*,
    which reads them from `raw_message` when they are first asked for. Whatever came over the wire,
    asking never raises: of what *load* can't read there is a header `callboard-unreadable`, and
    nothing else.

    A *body* of None is no body at all: the message is a `tombstone`, which Kafka tells from one with
    an empty body. To whoever reads the body it is empty.

    A received message is settled by `ack`, `nack` or `reject`; the first one wins, later ones do
    nothing, so a handler that settles by hand and a policy that settles at the end live together.
    `delivery` is set by the delivery that brings the message (None: it was not received), and
    `binding` by whoever reads the subscription.
    """

    __slots__ = (
        "_decoded",
        "_load",
        "_metadata",
        "address",
        "binding",
        "body",
        "delivery",
        "key",
        "raw_message",
        "tombstone",
    )

    def __init__(  # noqa: PLR0913 - the parts of a message, by name
        self,
        body: bytes | None,
        *,
        address: str = "",
        key: bytes | None = None,
        headers: Headers | None = None,
        content_type: str | None = None,
        message_id: str | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        path: Mapping[str, str] | None = None,
        raw_message: R_co | None = None,
        metadata: Metadata | None = None,
        load: Callable[[R_co], Metadata] | None = None,
    ) -> None:
        self.body = b"" if body is None else body
        self.tombstone = body is None
        self.address = address
        self.key = key
        self.raw_message: R_co = raw_message  # type: ignore[assignment] # None is seen only by its maker
        self.delivery: Settles | None = None
        self.binding: Binding | None = None
        self._decoded: object = UNDECODED
        self._load = load
        self._metadata = metadata
        if metadata is None and load is None:
            self._metadata = Metadata(
                dict(headers) if headers else None,
                content_type,
                message_id,
                correlation_id,
                reply_to,
                path,
            )

    @classmethod
    def received(  # noqa: PLR0913, PLR0917 - by position is faster, and every message comes by here
        cls,
        raw_message: Any,
        body: bytes | None,
        address: str,
        key: bytes | None = None,
        load: Callable[[Any], Metadata] | None = None,
        metadata: Metadata | None = None,
    ) -> Self:
        """Make a message of *raw_message*, a record that a broker's client has received.

        For adapters; it costs half of what the constructor does. *metadata* comes before *load*.
        """
        self = cls.__new__(cls)
        self.body = b"" if body is None else body
        self.tombstone = body is None
        self.address = address
        self.key = key
        self.raw_message = raw_message
        self.delivery = self.binding = None
        self._decoded = UNDECODED
        self._load = load
        self._metadata = metadata
        return self

    @classmethod
    def made(cls, body: bytes | None, metadata: Metadata, key: bytes | None = None) -> Self:
        """Make a message to be published; it costs half of what the constructor does."""
        self = cls.__new__(cls)
        self.body = b"" if body is None else body
        self.tombstone = body is None
        self.address = ""
        self.key = key
        self.raw_message = self.delivery = self.binding = self._load = None  # type: ignore[assignment] # as above
        self._decoded = UNDECODED
        self._metadata = metadata
        return self

    def __repr__(self) -> str:
        name, size = type(self).__name__, len(self.body)
        return f"<{name} {self.message_id!r} of {self.address!r}, {size} bytes>"

    @property
    def metadata(self) -> Metadata:
        """Everything that travels beside the body."""
        if self._metadata is None:
            self._metadata = self._loaded()
        return self._metadata

    @property
    def headers(self) -> Headers:
        """Headers as the broker carries them; may be empty."""
        return (self._metadata or self.metadata).headers

    def header(self, name: str) -> HeaderValue:
        """Return the header by that *name*; None if there is none."""
        return self.headers.get(name)

    @property
    def content_type(self) -> str | None:
        """The media type of the body; None if the sender did not say."""
        return (self._metadata or self.metadata).content_type

    @property
    def message_id(self) -> str | None:
        """What the sender calls this message; None if it did not say."""
        return (self._metadata or self.metadata).message_id

    @property
    def correlation_id(self) -> str | None:
        """What ties messages together that belong together; None if the sender did not say."""
        return (self._metadata or self.metadata).correlation_id

    @property
    def reply_to(self) -> str | None:
        """The address that waits for an answer; None if nobody does."""
        return (self._metadata or self.metadata).reply_to

    @property
    def path(self) -> Mapping[str, str]:
        """The parameters that the source's address template found in `address`; may be empty."""
        return (self._metadata or self.metadata).path

    @property
    def processed(self) -> bool:
        """Whether it has been settled."""
        return self.delivery is not None and self.delivery.settled

    @property
    def attempt(self) -> int:
        """Which try this is, from 1: how often it was delivered, or kept and tried again, in all.

        Where the broker does not count, it begins anew with 1 in each process.
        """
        return getattr(self.delivery, "deliveries", None) or 1

    def committed(self) -> AckStatus | None:
        """How it has been settled; None: it has not, or it was given back."""
        settlement = self.delivery.settlement if self.delivery is not None else None
        return None if settlement is None else _STATUS.get(settlement)

    @property
    def deliveries(self) -> int | None:
        """How often it was delivered, 1 the first time; None: it is settled, or nobody counts."""
        return self.delivery.deliveries if self.delivery is not None else None

    @property
    def source_type(self) -> SourceType:
        """Whether it was subscribed to, or asked for."""
        return SourceType.RESPONSE if self.delivery is None else SourceType.CONSUME

    def clear_cache(self) -> None:
        """Forget the value of the body: it is decoded anew when it is asked for."""
        self._decoded = UNDECODED

    @overload
    async def decode(self) -> object: ...
    @overload
    async def decode(self, *, as_: type[T]) -> T: ...
    async def decode(self, *, as_: Any = UNDECODED) -> Any:
        """Return the body's value, decoded once by whoever reads the subscription.

        Without a reader that decodes, these are the bytes themselves. With *as_*, it is validated
        into that type, each time.
        """
        if self.binding is None:
            return self.body
        if as_ is not UNDECODED:
            value = self.binding.decode(self, as_)
            return await value if isawaitable(value) else value
        if self._decoded is UNDECODED:
            value = self.binding.decode(self)
            self._decoded = await value if isawaitable(value) else value
        return self._decoded

    def value(self) -> object:
        """Return what `decode` has returned; to be asked after that."""
        return self._decoded

    async def ack(self) -> None:
        """Settle as handled.

        Raises:
            NotReceived: This message did not come from a broker.
        """
        self._received().settle(Settlement.ACK)

    async def nack(self, delay: float | None = None) -> None:
        """Settle as failed: it is handled again after *delay*, in seconds; None: the usual time.

        Raises:
            NotReceived: This message did not come from a broker.
        """
        self._received().settle(Settlement.NACK, delay)

    async def reject(self) -> None:
        """Settle as hopeless: it goes to the dead letters.

        Raises:
            NotReceived: This message did not come from a broker.
        """
        delivery = self._received()
        if self.binding is None or delivery.settled:
            delivery.settle(Settlement.REJECT)
        else:
            await self.binding.reject(self)

    def _loaded(self) -> Metadata:
        if self._load is None:
            return Metadata()
        try:
            return self._load(self.raw_message)
        except Exception as error:  # noqa: BLE001 - one record must never stop a subscription
            # Not by `str`, which may be what fails next.
            return Metadata({UNREADABLE: "".join(format_exception_only(error)).strip()})

    def _received(self) -> Settles:
        if self.delivery is None:
            raise NotReceived(
                f"the message to {self.address!r} was not received from a broker,"
                " so there is nothing to settle"
            )
        return self.delivery


def asking(message: Message, reply_to: str, correlation_id: str | None) -> Message:
    """Return *message* as a request, whose answer is to go to *reply_to*."""
    given = message.metadata
    metadata = Metadata(
        given.headers, given.content_type, given.message_id, correlation_id, reply_to
    )
    return Message.made(None if message.tombstone else message.body, metadata, message.key)


def forwarding(
    message: Message,
    headers: Headers,
    without: Collection[str] = (),
    *,
    reply_to: str | None = None,
) -> Message:
    """Return the received *message* as it came, to be published again, with more *headers*.

    Every header of it is kept, null, binary and repeated ones too, in their order, but for those
    that *headers* replace, and those *without* which it is to be. An answer to it goes *reply_to*;
    None: nobody waits for one any more.
    """
    metadata, new = message.metadata, {*headers, *without}
    old = {name: value for name, value in metadata.headers.items() if name not in new}
    return Message(
        None if message.tombstone else message.body,
        key=message.key,
        metadata=metadata.but(
            headers={**old, **headers},
            reply_to=reply_to,
            path={},
            pairs=[pair for pair in metadata.pairs if pair[0] not in new],
        ),
    )


class BatchMessage(Message[tuple[R_co, ...]]):
    """Several messages that are handled as one; never empty.

    The address, the headers and the ids are those of the first; `raw_message` holds the records of
    all. The body is empty: the bodies are those of the *parts*.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[Message[R_co]]) -> None:
        super().__init__(
            b"",
            address=parts[0].address,
            key=parts[0].key,
            raw_message=tuple(part.raw_message for part in parts),
            load=lambda _: parts[0].metadata,
        )
        self.parts = parts

    @property
    def batch_headers(self) -> Sequence[Headers]:
        """The headers of each part."""
        return [part.headers for part in self.parts]
