"""From values to messages: the body encoded, and what travels beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from typing import Any, Final, TypeAlias, get_args
from uuid import uuid4

from callboard.declare._codec import AnyCodec
from callboard.declare._options import PublishOptions
from callboard_brokers import UNDECODED, Headers, Message, Metadata
from callboard_brokers.kit import hinted
from callboard_validation import (
    JSON,
    OWN,
    Codec,
    Encoded,
    Serializer,
    caster,
    decoder,
    encoder,
)

Encode: TypeAlias = Callable[[object], Encoded]
Wrap: TypeAlias = Callable[[object, Message], Message]
"""Makes the message that carries a result, given what it answers or follows."""


@hinted()
class Response:
    """What a handler returns to say more than a body.

    Headers, a correlation id of its own, a *key* where brokers have them (None: that of the message
    it follows from).
    """

    __slots__ = ("body", "correlation_id", "headers", "key")

    def __init__(
        self,
        body: object,
        *,
        headers: Headers | None = None,
        correlation_id: str | None = None,
        key: str | bytes | None = None,
    ) -> None:
        self.body = body
        self.headers = headers
        self.correlation_id = correlation_id
        self.key = key.encode() if isinstance(key, str) else key

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.body!r:.80}>"

    def aim(self, target: Any) -> Any:
        """Return where it goes, given where the results of its handler go."""
        return target

    def place(self, target: Any) -> Any:
        """Return where it goes among others that go to *target*, whatever its key."""
        return target

    def over(self, options: PublishOptions) -> PublishOptions:
        """Return *options* with what this says of them."""
        if self.headers is None and self.correlation_id is None:
            return options
        return replace(
            options,
            headers={**(options.headers or {}), **(self.headers or {})},
            correlation_id=self.correlation_id or options.correlation_id,
        )


def aimed(result: object, target: Any) -> Any:
    """Return where *result* goes, given where results go."""
    return result.aim(target) if isinstance(result, Response) else target


class _Process:
    """The source of ids of this process, which look like UUIDs: a random part, then a count.

    A random id for each message would cost more than the rest of its envelope. What is random is
    so in each process: a child by `fork` would else go on where its parent was, beside it.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._ids = map(f"{str(uuid4())[:24]}%012x".__mod__, count(1))

    def identify(self) -> str:
        """Return an id that no other message has, of this process or another."""
        return next(self._ids)


_process: Final = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.renew)


def identities() -> Callable[[], str]:
    """Return the source of ids for messages."""
    return _process.identify


def envelopes(  # noqa: PLR0913, PLR0917 - by position, which is faster; for each message
    values: Iterable[object],
    options: PublishOptions,
    encode: Callable[[object, str | None], Encoded],
    identify: Callable[[], str],
    key: bytes | None = None,
    correlate: Callable[[], str] | None = None,
) -> list[Message]:
    """Return the messages that carry *values*, published of one's own accord.

    What *options* say of all is looked at once. Without *correlate*, the correlation id of one that
    is told none is its own id.
    """
    told, correlation_id, reply_to = options.content_type, options.correlation_id, options.reply_to
    headers = dict(options.headers) if options.headers else None
    message_id, make, made = options.message_id, Message.made, list[Message]()
    for value in values:
        body, content_type = encode(value, told)
        own = message_id or identify()
        tied = correlation_id or (own if correlate is None else correlate())
        metadata = Metadata(headers, content_type, own, tied, reply_to)
        made.append(make(None if value is None else body, metadata, key))
    return made


def content_type_of(message: Message) -> str | None:
    """Return how the body of *message* is decoded: what has no body at all, as None is encoded."""
    return JSON if message.tombstone else message.content_type


def decoded(message: Message, codec: Codec, as_: Any = UNDECODED) -> object:
    """Return the value of the body of *message*; as a type, if one is given."""
    content_type = content_type_of(message)
    if as_ is UNDECODED:
        return codec.decode(message.body, content_type)
    value: object = decoder(as_, codec)(message.body, content_type)
    return value


def encoding(codec: AnyCodec) -> Callable[..., Any]:
    """Return what encodes values by *codec*; it is to be awaited if that is the user's own."""
    if isinstance(codec, Codec):
        return codec.encode

    async def encode(value: object, content_type: str | None = None) -> Encoded:
        if value is None:  # no body at all
            return b"", content_type or JSON
        body, its_type = await codec.encode(value, None)
        return body, content_type or its_type

    return encode


def result_encoder(
    annotation: object, codec: AnyCodec, serializer: Serializer = OWN
) -> Callable[[object], Any]:
    """Return what encodes the results of a handler with this return annotation.

    One that may return a `Response` has no type that its body could be validated by.
    """
    if isinstance(annotation, str) or any(
        isinstance(each, type) and issubclass(each, Response)
        for each in (annotation, *get_args(annotation))
    ):
        return encoding(codec)
    if isinstance(codec, Codec):
        return encoder(annotation, codec, serializer=serializer)
    cast, encode = caster(annotation, serializer), encoding(codec)

    async def encode_as(value: object) -> Encoded:
        encoded: Encoded = await encode(cast(value))
        return encoded

    return encode_as


def unencoded(value: object, content_type: str | None = None) -> Any:
    """Leave *value* as it is, for middlewares to see; what makes the message encodes it."""
    return value, content_type


def ensure_response(value: object) -> Response:
    """Return *value* if it is a `Response`, else one with this body."""
    return value if isinstance(value, Response) else Response(value)


def wrapping(
    encode: Encode,
    identify: Callable[[], str],
    headers: Headers | None = None,
    reply_to: str | None = None,
) -> Wrap:
    """Return what makes the message of a result: it keeps the key and correlation of its cause.

    The key, so that order by key survives a pipeline. *headers* are those of every message; those
    of a `Response` come over them.
    """
    common = dict(headers) if headers else None

    def wrap(result: object, cause: Message) -> Message:
        headers: Headers | None = common
        key, correlation_id = cause.key, cause.correlation_id
        if isinstance(result, Response):
            headers = {**(common or {}), **(result.headers or {})}
            correlation_id = result.correlation_id or correlation_id
            key = result.key if result.key is not None else key
            result = result.body
        body, content_type = encode(result)
        metadata = Metadata(headers, content_type, identify(), correlation_id, reply_to)
        return Message.made(None if result is None else body, metadata, key)

    return wrap
