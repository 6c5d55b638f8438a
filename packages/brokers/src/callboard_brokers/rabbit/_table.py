"""AMQP's tables: named values of many types, as they are on the wire, and what they are to us.

Reading is total for all types that RabbitMQ knows; a table that is broken is a `ValueError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from struct import error as StructError  # noqa: N812 - a class, whatever its name looks like
from struct import pack, unpack_from
from typing import Any, Final

from callboard_brokers._message import HeaderValue

_FIXED: Final = {
    ord(kind): (f">{form}", size)
    for kind, form, size in (
        ("t", "?", 1),
        ("b", "b", 1),
        ("B", "B", 1),
        ("s", "h", 2),
        ("u", "H", 2),
        ("I", "i", 4),
        ("i", "I", 4),
        ("l", "q", 8),
        ("f", "f", 4),
        ("d", "d", 8),
    )
}
_TEXT, _BYTES, _TABLE, _LIST = b"SxFA"
_NOTHING, _TIME, _DECIMAL = b"VTD"
_OCTETS: Final = [bytes((number,)) for number in range(256)]


class Nested(str):
    """A table or a list among headers: its text, in JSON, and what it was on the wire.

    So a handler gets a header as the port has it, and who sends the message on does not change it.
    """

    __slots__ = ("wire",)
    wire: bytes


def read_table(octets: bytes) -> dict[str, Any]:
    """Return the values of a table, without its length; of a repeated name the last.

    Raises:
        ValueError: It is broken.
    """
    try:
        return _table(octets, 0, len(octets))
    except (StructError, IndexError) as error:
        raise ValueError(f"a table of {len(octets)} bytes ends too early") from error


def to_headers(values: Mapping[str, Any]) -> dict[str, HeaderValue]:
    """Return a table as headers: what they have no type for becomes text."""
    return {name: _header(value) for name, value in values.items()}


def write_table(values: Mapping[str, Any]) -> bytes:
    """Return *values* as a table, with its length.

    Raises:
        TypeError: A value has a type that there is not in AMQP.
        ValueError: A name, or a number, is too long.
    """
    octets = b"".join([short(name) + write_value(value) for name, value in values.items()])
    return pack(">I", len(octets)) + octets


def short(text: str) -> bytes:
    """Return *text* with its length, which fits in one octet.

    Raises:
        ValueError: It does not, or *text* can't be written as UTF-8.
    """
    octets = text.encode()
    size = len(octets)
    if size > 255:
        raise ValueError(f"it has {size} bytes, and 255 is the most")
    return _OCTETS[size] + octets


def write_value(value: object) -> bytes:  # noqa: C901, PLR0911 - one line for each type
    """Return *value* with its type."""
    match value:
        case Nested():
            return value.wire
        case str():
            return _long(b"S", value.encode())
        case bytes() | bytearray():
            return _long(b"x", bytes(value))
        case bool():
            return b"t\x01" if value else b"t\x00"
        case int():
            return _number(value)
        case float():
            return b"d" + pack(">d", value)
        case None:
            return b"V"
        case datetime():
            return b"T" + pack(">Q", int(value.timestamp()))
        case Mapping():
            return b"F" + write_table(value)  # pyright: ignore[reportUnknownArgumentType] - names are checked there
        case list() | tuple():
            return _long(b"A", b"".join(map(write_value, value)))  # pyright: ignore[reportUnknownArgumentType] - of anything
        case _:
            raise TypeError(f"AMQP has no type for a {type(value).__name__}")


def _number(value: int) -> bytes:
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit in 64 bits")
    return b"I" + pack(">i", value) if -(2**31) <= value < 2**31 else b"l" + pack(">q", value)


def _long(kind: bytes, octets: bytes) -> bytes:
    return kind + pack(">I", len(octets)) + octets


def _header(value: Any) -> HeaderValue:
    if isinstance(value, dict | list):
        text = Nested(json.dumps(value, default=_plain, ensure_ascii=False))
        text.wire = write_value(value)  # pyright: ignore[reportUnknownArgumentType] - of anything
        return text
    header: HeaderValue = str(value) if isinstance(value, Decimal) else value
    return header


def _plain(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _table(octets: bytes, at: int, end: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    while at < end:
        start = at + 1
        at = start + octets[at]
        name = octets[start:at].decode(errors="replace")
        values[name], at = _value(octets, at)
    return values


def _value(octets: bytes, at: int) -> tuple[Any, int]:
    """Return the value at *at*, and where the next one begins."""
    kind, at = octets[at], at + 1
    if kind in _FIXED:
        form, size = _FIXED[kind]
        return unpack_from(form, octets, at)[0], at + size
    if kind == _NOTHING:
        return None, at
    if kind == _TIME:
        return _time(unpack_from(">Q", octets, at)[0]), at + 8
    if kind == _DECIMAL:
        scale, number = unpack_from(">Bi", octets, at)
        return Decimal(number).scaleb(-scale), at + 5
    start = at + 4
    end = start + unpack_from(">I", octets, at)[0]
    if end > len(octets):
        raise IndexError(end)
    return _long_value(kind, octets, start, end), end


def _long_value(kind: int, octets: bytes, start: int, end: int) -> Any:
    if kind == _TEXT:
        return _text(octets[start:end])
    if kind == _BYTES:
        return octets[start:end]
    if kind == _TABLE:
        return _table(octets, start, end)
    if kind == _LIST:
        return _list(octets, start, end)
    raise ValueError(f"AMQP has no type {chr(kind)!r}")


def _list(octets: bytes, at: int, end: int) -> Sequence[Any]:
    values: list[Any] = []
    while at < end:
        value, at = _value(octets, at)
        values.append(value)
    return values


def _text(octets: bytes) -> str | bytes:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets


def _time(seconds: int) -> datetime | int:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return seconds  # some write milliseconds here
