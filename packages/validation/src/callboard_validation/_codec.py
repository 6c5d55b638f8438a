"""Between values and bodies by content type: the rules that every producer and consumer shares.

A codec knows content types, not types: `decoder` and `encoder` add those, and go past the codec
where a body is JSON, so that a type is validated from the bytes in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from types import NoneType
from typing import Any, Final, TypeAlias

from pydantic_core import from_json

from ._errors import DecodeError, DefinitionError, EncodeError, clipped
from ._msgspec import decode_messagepack, encode_json, encode_messagepack, json_writer

Encoded: TypeAlias = tuple[bytes, str | None]
"""A body and its content type; None for bytes that nothing is known of."""

_RAW: Final = (bytes, bytearray)  # a union would be made anew for each body
_Pair: TypeAlias = tuple[Callable[[object], bytes], Callable[[bytes], object]]

JSON = "application/json"
TEXT = "text/plain"
MESSAGEPACK = "application/msgpack"
BINARY = "application/octet-stream"
HOW_TO_ADD = "add it with Codec().with_content_type(content_type, encode, decode)"


def _encode_text(value: object) -> bytes:
    return str(value).encode()


_BUILT_IN: Mapping[str, _Pair] = {
    JSON: (encode_json, from_json),
    TEXT: (_encode_text, bytes.decode),
    MESSAGEPACK: (encode_messagepack, decode_messagepack),
}


class Codec:
    """Encodes and decodes by content type: JSON, text, MessagePack, bytes, and what you add.

    Immutable: `with_content_type` returns another codec, so one may be shared by everybody.
    """

    __slots__ = ("_pairs",)

    def __init__(self) -> None:
        self._pairs = _BUILT_IN

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self._pairs)}>"

    def with_content_type(
        self,
        content_type: str,
        encode: Callable[[object], bytes],
        decode: Callable[[bytes], object],
    ) -> Codec:
        """Return a codec that knows *content_type* too.

        Both functions are pure; whatever they raise becomes an `EncodeError` or a `DecodeError`.
        Parameters such as `; charset=` do not count when a body's content type is looked up.

        Raises:
            DefinitionError: The content type is taken.
        """
        name = _bare(content_type)
        if not name or name in self._pairs:
            raise DefinitionError(
                f"content type {content_type!r} "
                + ("has a codec already; register another name" if name else "is empty")
            )
        codec = Codec()
        codec._pairs = {**self._pairs, name: (encode, decode)}
        return codec

    def known(self, content_type: str) -> str | None:
        """Return the name under which *content_type* is known, None if it is not.

        Parameters and case do not count; what ends in `+json` is JSON.
        """
        if content_type in self._pairs:
            return content_type  # as most are written
        name = _bare(content_type)
        if name in self._pairs:
            return name
        return JSON if name.endswith("+json") else None

    def encode(self, value: object, content_type: str | None = None) -> Encoded:
        """Turn *value* into a body and its content type.

        None becomes an empty body of JSON, which no value has; bytes pass as they are, of no content
        type, text becomes `text/plain`, anything else JSON.
        A *content_type* that is given decides instead, for None and bytes as a mere label.

        Raises:
            EncodeError: The value cannot be encoded, or the content type is unknown.
        """
        kind: type = type(value)
        try:
            if content_type is None:
                write, content_type = _untold(kind)
            else:
                write = self._writing(value, content_type)
            return write(value), content_type
        except EncodeError:
            raise
        except Exception as error:
            raise EncodeError(str(error), value) from error

    def decode(self, body: bytes, content_type: str | None = None) -> object:
        """Turn *body* into plain values.

        `text/plain` becomes a str, JSON what `json.loads` would give; an empty body of JSON or
        MessagePack is None. A body without content type is tried as JSON and stays bytes if it is
        none; one of an unknown type stays bytes.

        Raises:
            DecodeError: The body is not what its content type says.
        """
        if content_type is None:
            try:
                return from_json(body)
            except ValueError:
                return body
        name = self.known(content_type)
        if name is None:
            return body
        if not body and name != TEXT:
            return None
        try:
            return self._pairs[name][1](body)
        except Exception as error:
            raise DecodeError(str(error), body, content_type) from error

    def _writing(self, value: object, content_type: str) -> Callable[[Any], bytes]:
        """Return what encodes *value* as *content_type*, which for None and bytes is a label."""
        if value is None or isinstance(value, _RAW):
            kind: type = type(value)
            return _untold(kind)[0]
        name = self.known(content_type)
        if name is None:
            text = f"content type {clipped(content_type)} is unknown; {HOW_TO_ADD}"
            raise EncodeError(text, value)
        return self._pairs[name][0]


@lru_cache(1_024)
def _untold(kind: Any) -> tuple[Callable[[Any], bytes], str | None]:
    """Return what encodes values of exactly this class if nothing is said, and what that is called.

    Kept, since whoever publishes a value tells its class anew each time.
    """
    if kind is NoneType:
        return lambda _: b"", JSON
    if issubclass(kind, _RAW):
        return bytes, None
    # A str that is also an Enum belongs to a model's world: it is JSON like its siblings.
    if issubclass(kind, str) and not issubclass(kind, Enum):
        return _encode_text, TEXT
    return json_writer(kind), JSON


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
