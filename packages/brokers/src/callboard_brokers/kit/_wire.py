"""Headers and ids as pairs of a name and bytes, for brokers that carry nothing else.

A text is sent as UTF-8, and bytes that are UTF-8 are read as text. So that headers of bytes come
back as bytes whatever they hold, those that could be taken for text are listed in a header of
their own. Neither way raises, whatever somebody has sent: what cannot be text is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import unquote

from callboard_brokers._message import Metadata

__all__ = ["RESERVED", "from_pairs", "text_of", "to_pairs"]

_IDS: Final = ("content-type", "message_id", "correlation_id", "reply_to")
_BINARY: Final = "callboard-binary"
RESERVED: Final = frozenset({*_IDS, _BINARY})
"""Names of headers that stand for something else; a header of one's own by such a name is that."""


def to_pairs(metadata: Metadata) -> list[tuple[str, bytes]]:
    """Return everything of *metadata* but its path; may be empty."""
    pairs: list[tuple[str, bytes]] = []
    binary: list[str] = []
    for name, value in metadata.headers.items():
        if isinstance(value, bytes):
            if isinstance(_read(value), str):
                binary.append(name)
            pairs.append((_clean(name), value))
        else:
            pairs.append((_clean(name), _bytes(text_of(value))))
    ids = (metadata.content_type, metadata.message_id, metadata.correlation_id, metadata.reply_to)
    pairs += [
        (name, _bytes(text)) for name, text in zip(_IDS, ids, strict=True) if text is not None
    ]
    if binary:
        pairs.append((_BINARY, ",".join(map(_listed, binary)).encode()))
    return pairs


def from_pairs(
    pairs: Iterable[tuple[str | bytes, bytes | None]], path: Mapping[str, str] | None = None
) -> Metadata:
    """Return what `to_pairs` was given, and *path*; of a repeated name the last counts.

    A list of binary headers that is no text was not written by us: it is a header like any other.
    """
    raw = {
        name if isinstance(name, str) else name.decode(errors="replace"): value or b""
        for name, value in pairs
    }
    binary: set[str] = set()
    if _BINARY in raw and isinstance(listed := _read(raw[_BINARY]), str):
        binary = {unquote(name) for name in listed.split(",")}
        raw.pop(_BINARY, None)
    headers = {name: value if name in binary else _read(value) for name, value in raw.items()}
    content_type, message, correlation, reply = (_id(headers.pop(name, None)) for name in _IDS)
    return Metadata(headers, content_type, message, correlation, reply, path)


def text_of(value: object) -> str:
    """Return the value of a header as a broker carries it that has texts only."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)


def _read(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _id(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")  # half of a surrogate pair is no text


def _clean(name: str) -> str:
    return name if name.isascii() else _bytes(name).decode()


def _listed(name: str) -> str:
    """Return *name* as `unquote` reads it, without the comma that parts the names of the list."""
    return _clean(name).replace("%", "%25").replace(",", "%2C")
