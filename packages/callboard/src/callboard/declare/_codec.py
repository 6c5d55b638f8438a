"""Codecs of the user's own, which do by themselves what else is done by content type."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

from callboard_brokers import Message
from callboard_validation import Codec


@runtime_checkable
class CodecProto(Protocol):
    """Makes bodies of values, and values of bodies; it may ask others, such as a registry."""

    async def encode(self, value: Any, serializer: Any, /) -> tuple[bytes, str | None]:
        """Return the body that *value* becomes, and its content type; *serializer* is None."""
        ...

    async def decode(self, message: Message, /) -> Any:
        """Return the value of the body of *message*, one by one also of a batch."""
        ...


AnyCodec: TypeAlias = Codec | CodecProto


def plain(codec: AnyCodec | None) -> Codec:
    """Return *codec* if it goes by content types, else the one that holds where nobody says."""
    return codec if isinstance(codec, Codec) else Codec()
