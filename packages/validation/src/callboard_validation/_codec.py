"""Between values and bodies by content type: the rules that every producer and consumer shares.

A codec knows formats, not types: `decoder` and `encoder` add those, and go past the codec where a
body is JSON, so that a type is validated from the bytes in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple, TypeAlias

from pydantic_core import from_json

from ._errors import DecodeError, DefinitionError, EncodeError, ValidationError
from ._json import encode_json
from ._msgspec import decode_messagepack, encode_messagepack

__all__ = ["HOW_TO_ADD", "JSON", "TEXT", "Codec", "Encoded", "Format"]

Encoded: TypeAlias = tuple[bytes, str | None]
"""A body and its content type; None for bytes that nothing is known of, and for no value."""

JSON = "application/json"
TEXT = "text/plain"


class Format(NamedTuple):
    """How the bodies of one content type are written and read.

    Both functions are pure; whatever they raise becomes an `EncodeError` or a `DecodeError`.
    """

    content_type: str
    encode: Callable[[object], bytes]
    decode: Callable[[bytes], object]

    def write(self, value: object) -> bytes:
        """Encode *value*, or raise `EncodeError`."""
        try:
            return self.encode(value)
        except ValidationError:
            raise
        except Exception as error:
            raise EncodeError(f"{error}", type(value).__qualname__) from error

    def read(self, body: bytes) -> object:
        """Decode *body*, or raise `DecodeError`."""
        if not body and self.content_type != TEXT:
            raise DecodeError("it is empty", body, self.content_type)
        try:
            return self.decode(body)
        except ValidationError:
            raise
        except Exception as error:
            raise DecodeError(f"{error}", body, self.content_type) from error


HOW_TO_ADD = "add it with Codec().with_content_type(content_type, encode, decode)"


def _encode_text(value: object) -> bytes:
    return str(value).encode()


_TEXT = Format(TEXT, _encode_text, bytes.decode)
_BUILT_IN: Mapping[str, Format] = {
    JSON: Format(JSON, encode_json, from_json),
    TEXT: _TEXT,
    "application/msgpack": Format("application/msgpack", encode_messagepack, decode_messagepack),
}


class Codec:
    """Encodes and decodes by content type: JSON, text, MessagePack, bytes, and what you add.

    Immutable: `with_content_type` returns another codec, so one may be shared by everybody.
    """

    __slots__ = ("_formats",)

    def __init__(self) -> None:
        self._formats = _BUILT_IN

    def with_content_type(
        self,
        content_type: str,
        encode: Callable[[object], bytes],
        decode: Callable[[bytes], object],
    ) -> Codec:
        """Return a codec that knows *content_type* too.

        Parameters such as `; charset=` do not count when a body's content type is looked up.

        Raises:
            DefinitionError: The content type is taken.
        """
        name = _bare(content_type)
        if not name or name in self._formats:
            raise DefinitionError(
                f"content type {content_type!r} "
                + ("has a codec already; register another name" if name else "is empty")
            )
        codec = Codec()
        codec._formats = {**self._formats, name: Format(name, encode, decode)}
        return codec

    def find(self, content_type: str) -> Format | None:
        """Return the format of *content_type*, None if it is unknown.

        Parameters and case do not count; the suffix `+json` is JSON.
        """
        name = _bare(content_type)
        found = self._formats.get(name)
        return self._formats[JSON] if found is None and name.endswith("+json") else found

    def encode(self, value: object, content_type: str | None = None) -> Encoded:
        """Turn *value* into a body and its content type.

        None becomes an empty body and bytes pass as they are, both of no content type unless one
        is given; text becomes `text/plain`, anything else JSON.
        A *content_type* that is given decides instead, for None and bytes as a mere label.

        Raises:
            EncodeError: The value cannot be encoded, or the content type is unknown.
        """
        if value is None:
            return b"", content_type
        if isinstance(value, bytes | bytearray):
            return bytes(value), content_type
        if content_type is None:
            # A str that is also an Enum belongs to a model's world: it is JSON like its siblings.
            if isinstance(value, str) and not isinstance(value, Enum):
                return _TEXT.write(value), TEXT
            return encode_json(value), JSON
        known = self.find(content_type)
        if known is None:
            reason = f"content type {content_type!r} is unknown; {HOW_TO_ADD}"
            raise EncodeError(reason, type(value).__qualname__)
        return known.write(value), content_type

    def decode(self, body: bytes, content_type: str | None = None) -> object:
        """Turn *body* into plain values.

        `text/plain` becomes a str, JSON what `json.loads` would give; a body without content type
        is tried as JSON and stays bytes if it is none; one of an unknown type stays bytes.

        Raises:
            DecodeError: The body is not what its content type says.
        """
        if content_type is None:
            try:
                return from_json(body)
            except ValueError:
                return body
        known = self.find(content_type)
        return body if known is None else known.read(body)


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
