"""Headers and ids as pairs of a name and bytes, for brokers that carry nothing else.

A text is sent as UTF-8, and bytes that are UTF-8 are read as text. So that headers of bytes come
back as bytes whatever they hold, those that could be taken for text are listed in a header of
their own. Reading never raises, whatever somebody has sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias, TypeGuard
from urllib.parse import unquote

from callboard_brokers._errors import Unpublishable
from callboard_brokers._message import Metadata

Pair: TypeAlias = "tuple[str, bytes | None]"
"""A header as it is on the wire."""

_TYPE, _MESSAGE, _CORRELATION, _REPLY = "content-type", "message_id", "correlation_id", "reply_to"
_BINARY: Final = "callboard-binary"
RESERVED: Final = frozenset({_TYPE, _MESSAGE, _CORRELATION, _REPLY, _BINARY})
"""Names of headers that stand for something else; a header of one's own by such a name is that."""


def to_pairs(metadata: Metadata, address: str = "") -> list[Pair]:
    """Return everything of *metadata* but its path; may be empty. *address* is for the error.

    What came as pairs goes on as it came; only nobody may answer it, unless we say so.

    Raises:
        Unpublishable: A value is of a wrong type, or text that cannot be written as UTF-8.
    """
    pairs: list[Pair] = []
    name, value = _TYPE, metadata.content_type
    try:  # no loop, which would take twice as long, for each message
        if value is not None:
            pairs.append((_TYPE, value.encode()))
        name, value = _MESSAGE, metadata.message_id
        if value is not None:
            pairs.append((_MESSAGE, value.encode()))
        name, value = _CORRELATION, metadata.correlation_id
        if value is not None:
            pairs.append((_CORRELATION, value.encode()))
        name, value = _REPLY, metadata.reply_to
        if value is not None:
            pairs.append((_REPLY, value.encode()))
    except (AttributeError, TypeError, ValueError) as error:
        raise _unpublishable(name, value, error, address) from error
    if metadata.headers or metadata.pairs:
        return _with_headers(pairs, metadata, address)
    return pairs


def from_pairs(
    pairs: Sequence[tuple[str | bytes, bytes | None]], path: Mapping[str, str] | None = None
) -> Metadata:
    """Return what `to_pairs` was given, and *path*; of a repeated name the last counts.

    A list of binary headers that is no text was not written by us: it is a header like any other.
    """
    named = pairs if _are_named(pairs) else [(_name(name), value) for name, value in pairs]
    headers: dict[str, str | bytes] = {}
    for name, value in named:
        headers[name] = _read(value) if value else ""
    if _BINARY in headers:
        _restore(headers, named)
    return Metadata(
        headers,
        _id(headers.pop(_TYPE, None)),
        _id(headers.pop(_MESSAGE, None)),
        _id(headers.pop(_CORRELATION, None)),
        _id(headers.pop(_REPLY, None)),
        path,
        named,
    )


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


def _with_headers(ids: Sequence[Pair], metadata: Metadata, address: str) -> list[Pair]:
    """Return the headers of *metadata*, and *ids* after them."""
    pairs, there = _kept(metadata.pairs)
    binary: list[str] = []
    name, value = "", None
    try:
        for name, value in metadata.headers.items():
            if name not in there:
                name.encode()
                written = value.encode() if isinstance(value, str) else _written(value)
                pairs.append((name, written))
                if written is value and isinstance(_read(written), str):
                    binary.append(name.replace("%", "%25").replace(",", "%2C"))
    except (AttributeError, TypeError, ValueError) as error:
        raise _unpublishable(name, value, error, address) from error
    pairs += [pair for pair in ids if pair[0] not in there]
    if binary:
        pairs.append((_BINARY, ",".join(binary).encode()))
    return pairs


def _kept(pairs: Sequence[Pair]) -> tuple[list[Pair], Collection[str]]:
    """Return what came by the wire as it came, and its names."""
    kept = [pair for pair in pairs if pair[0] != _REPLY]
    return kept, {name for name, _ in kept}


def _written(value: object) -> bytes:
    return value if isinstance(value, bytes) else text_of(value).encode()


def _are_named(pairs: Sequence[tuple[str | bytes, bytes | None]]) -> TypeGuard[Sequence[Pair]]:
    for name, _ in pairs:  # noqa: SIM110 - a generator takes longer than the rest
        if not isinstance(name, str):
            return False
    return True


def _name(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode(errors="replace")


def _restore(headers: dict[str, str | bytes], named: Sequence[Pair]) -> None:
    """Make bytes again of the *headers* that are listed as such, and take out the lists.

    There is one list for each time that the message was sent.
    """
    lists = [_read(value or b"") for name, value in named if name == _BINARY]
    texts = [each for each in lists if isinstance(each, str)]
    listed = {unquote(name) for text in texts for name in text.split(",")}
    for name, value in named:
        if name in listed:
            headers[name] = value or b""
    if texts:
        headers.pop(_BINARY)


def _unpublishable(name: object, value: object, error: Exception, address: str) -> Unpublishable:
    why = str(error)
    if isinstance(error, AttributeError):  # it has no `encode`
        wrong = value if isinstance(name, str) else name
        why = f"{'it' if wrong is value else 'its name'} is a {type(wrong).__name__}, and no text"
    return Unpublishable(f"cannot write the header {name!r} for {address!r}: {why}")


def _read(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _id(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
