"""Messages, and how bodies become values."""

from __future__ import annotations

from uuid import uuid4

from callboard_brokers import AckStatus, Message, SourceType
from callboard_validation import Codec

from .handle._envelope import content_type_of

__all__ = [
    "AckStatus",
    "SourceType",
    "StreamMessage",
    "decode_message",
    "encode_message",
    "gen_cor_id",
]

StreamMessage = Message


def decode_message(message: Message) -> object:
    """Return the plain value of a body, by its content type.

    Raises:
        DecodeError: The body is not what its content type says.
    """
    return Codec().decode(message.body, content_type_of(message))


def encode_message(message: object, serializer: object = None) -> tuple[bytes, str | None]:
    """Return the body that a value becomes, and its content type; a *serializer* is not needed."""
    del serializer
    return Codec().encode(message)


def gen_cor_id() -> str:
    """Return a correlation id that no other message has."""
    return str(uuid4())
