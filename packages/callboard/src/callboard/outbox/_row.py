"""A message as it stands in the table, and made of it again."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final
from zlib import crc32

from callboard._errors import DeclarationError
from callboard.declare._broker_kind import BrokerKind
from callboard.instruments import Output
from callboard_brokers import Message, Metadata

LANES: Final = 32
"""Into how many the messages are divided; those of one lane are sent by one relay at a time."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is written of a message."""

    lane: int
    ordered_by: str | None
    address: str
    body: bytes | None
    envelope: str


def written(output: Output, ordered_by: str | bytes | None, kind: BrokerKind[Any]) -> Row:
    """Return what is written of *output*; what has the same *ordered_by*, or key, keeps its order.

    Raises:
        DeclarationError: Something that is said of it can't be written.
    """
    message, target = output.message, output.target
    order = next(
        (each for each in (ordered_by, getattr(target, "key", None), message.key) if each), None
    )
    if isinstance(order, bytes):
        order = order.decode(errors="backslashreplace")
    said = {
        "headers": {name: _plain(name, value) for name, value in message.headers.items()},
        "content_type": message.content_type,
        "message_id": message.message_id,
        "correlation_id": message.correlation_id,
        "reply_to": message.reply_to,
        "key": _plain("key", message.key),
        "target": _words(target, kind),
    }
    return Row(
        crc32((order or message.message_id or "").encode(errors="replace")) % LANES,
        order,
        target.address,
        None if message.tombstone else message.body,
        json.dumps({name: value for name, value in said.items() if value}),
    )


def read(row: Mapping[str, Any], kind: BrokerKind[Any]) -> tuple[Any, Message]:
    """Return where the message of a row goes, and the message."""
    said: dict[str, Any] = json.loads(row["envelope"])
    headers = {name: _value(each) for name, each in said.get("headers", {}).items()}
    metadata = Metadata(
        headers or None,
        said.get("content_type"),
        said.get("message_id"),
        said.get("correlation_id"),
        said.get("reply_to"),
    )
    words = {name: _value(each) for name, each in said["target"].items()}
    key: Any = _value(said.get("key"))
    return _type_of(kind)(**words), Message.made(row["body"], metadata, key)


def _type_of(kind: BrokerKind[Any]) -> Any:
    target: object = kind.answer("any")
    return type(target)


def _words(target: Any, kind: BrokerKind[Any]) -> dict[str, Any]:
    """Return what is said of *target*, apart from what would be so anyhow."""
    return {
        each.name: _plain(each.name, value)
        for each in fields(_type_of(kind))
        if each.init and (value := getattr(target, each.name)) != each.default
    }


def _plain(name: str, value: object) -> Any:
    """Return *value* as JSON has it; what has a name of its own is declared elsewhere, hence named."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    match value:
        case bytes():
            return {"bytes": b64encode(value).decode()}
        case datetime():
            return {"datetime": value.isoformat()}
        case timedelta():
            return value.total_seconds()
        case _ if isinstance(named := getattr(value, "name", None), str):
            return named
        case _:
            raise DeclarationError(
                f"{name}={value!r} of a message can't be kept in an outbox; give plain values, and the"
                " names of what is declared elsewhere"
            )


def _value(plain: Any) -> Any:
    match plain:
        case {"bytes": str(text)}:
            return b64decode(text)
        case {"datetime": str(text)}:
            return datetime.fromisoformat(text)
        case _:
            return plain
