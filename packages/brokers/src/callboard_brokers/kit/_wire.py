"""Headers and ids as pairs of a name and bytes, for brokers that carry nothing else.

A text is sent as UTF-8, and bytes that are UTF-8 are read as text. So that headers of bytes come
back as bytes whatever they hold, those that could be taken for text are listed in a header of
their own. Reading never raises, whatever somebody has sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import chain
from typing import Final
from urllib.parse import unquote

from callboard_brokers._errors import Unpublishable
from callboard_brokers._message import Metadata

__all__ = ["RESERVED", "from_pairs", "text_of", "to_pairs"]

_IDS: Final = ("content-type", "message_id", "correlation_id", "reply_to")
_BINARY: Final = "callboard-binary"
RESERVED: Final = frozenset({*_IDS, _BINARY})
"""Names of headers that stand for something else; a header of one's own by such a name is that."""


def to_pairs(metadata: Metadata, address: str = "") -> list[tuple[str, bytes | None]]:
    """Return everything of *metadata* but its path; may be empty. *address* is for the error.

    What came as pairs goes on as it came; only nobody may answer it, unless we say so.

    Raises:
        Unpublishable: A value is of a wrong type, or text that cannot be written as UTF-8.
    """
    pairs = [pair for pair in metadata.pairs if pair[0] != "reply_to"]
    there = {name for name, _ in pairs}
    ids = (metadata.content_type, metadata.message_id, metadata.correlation_id, metadata.reply_to)
    said = ((name, text) for name, text in zip(_IDS, ids, strict=True) if text is not None)
    binary: list[str] = []
    for name, value in chain(metadata.headers.items(), said):
        if name not in there:
            _written(name, name, address)
            pairs.append((name, _written(name, value, address)))
            if isinstance(value, bytes) and isinstance(_read(value), str):
                binary.append(name.replace("%", "%25").replace(",", "%2C"))
    if binary:
        pairs.append((_BINARY, ",".join(binary).encode()))
    return pairs


def from_pairs(
    pairs: Iterable[tuple[str | bytes, bytes | None]], path: Mapping[str, str] | None = None
) -> Metadata:
    """Return what `to_pairs` was given, and *path*; of a repeated name the last counts.

    A list of binary headers that is no text was not written by us: it is a header like any other.
    """
    named = [
        (name if isinstance(name, str) else name.decode(errors="replace"), value)
        for name, value in pairs
    ]
    raw = {name: value or b"" for name, value in named}
    binary: set[str] = set()
    if _BINARY in raw:  # one for each time that the message was sent
        for listed in [_read(value or b"") for name, value in named if name == _BINARY]:
            if isinstance(listed, str):
                binary.update(map(unquote, listed.split(",")))
                raw.pop(_BINARY, None)
    headers = {name: value if name in binary else _read(value) for name, value in raw.items()}
    content_type, message, correlation, reply = (_id(headers.pop(name, None)) for name in _IDS)
    return Metadata(headers, content_type, message, correlation, reply, path, named)


def text_of(value: object) -> str:
    """Return the value of a header as a broker carries it that has texts only.

    Raises:
        TypeError: A header has no such values.
    """
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, str | int | float):
        return "" if value is None else str(value)
    raise TypeError(f"{type(value).__name__} is none of text, bytes, numbers, dates and None")


def _written(name: str, value: object, address: str) -> bytes:
    try:
        return value if isinstance(value, bytes) else text_of(value).encode()
    except (TypeError, ValueError) as error:
        raise Unpublishable(f"cannot write the header {name!r} for {address!r}: {error}") from error


def _read(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _id(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
