"""From values to messages: the body encoded, and what travels beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from secrets import token_hex
from typing import Any, Final, TypeAlias, get_args

from callboard.declare._options import PublishOptions
from callboard_brokers import Headers, Message
from callboard_validation import JSON, Codec, Encoded, encoder

Encode: TypeAlias = Callable[[object], Encoded]
Wrap: TypeAlias = Callable[[object, Message], Message]
"""Makes the message that carries a result, given what it answers or follows."""


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

    def aim(self, target: Any) -> Any:
        """Return where it goes, given where the results of its handler go."""
        return target


def aimed(result: object, target: Any) -> Any:
    """Return where *result* goes, given where results go."""
    return result.aim(target) if isinstance(result, Response) else target


class _Process:
    """The source of ids of this process: a random part, then a count.

    A random id for each message would cost more than the rest of its envelope. What is random is
    so in each process: a child by `fork` would else go on where its parent was, beside it.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._prefix, self._numbers = token_hex(8), count(1)

    def identify(self) -> str:
        """Return an id that no other message has, of this process or another."""
        return f"{self._prefix}-{next(self._numbers):x}"


_process: Final = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.renew)


def identities() -> Callable[[], str]:
    """Return the source of ids for messages."""
    return _process.identify


def envelope(
    value: object,
    options: PublishOptions,
    encode: Callable[[object, str | None], Encoded],
    identify: Callable[[], str],
) -> Message:
    """Return the message that carries *value*, published of one's own accord."""
    body, content_type = encode(value, options.content_type)
    message_id = options.message_id or identify()
    return Message(
        None if value is None else body,
        headers=options.headers,
        content_type=content_type,
        message_id=message_id,
        correlation_id=options.correlation_id or message_id,
        reply_to=options.reply_to,
    )


def content_type_of(message: Message) -> str | None:
    """Return how the body of *message* is decoded: what has no body at all, as None is encoded."""
    return JSON if message.tombstone else message.content_type


def result_encoder(annotation: object, codec: Codec) -> Encode:
    """Return what encodes the results of a handler with this return annotation.

    One that may return a `Response` has no type that its body could be validated by.
    """
    if isinstance(annotation, str) or any(
        isinstance(each, type) and issubclass(each, Response)
        for each in (annotation, *get_args(annotation))
    ):
        return codec.encode
    return encoder(annotation, codec)


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
        return Message(
            None if result is None else body,
            key=key,
            headers=headers,
            content_type=content_type,
            message_id=identify(),
            correlation_id=correlation_id,
            reply_to=reply_to,
        )

    return wrap
