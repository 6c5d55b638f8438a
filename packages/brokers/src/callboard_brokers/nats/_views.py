"""What a record of a stream is to its reader: a message, a change of a key, or of an object."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from callboard_brokers.nats._message import NatsMessage, NatsRecord, reader
from callboard_brokers.nats._records import WAITING, KvWatch, NatsSource, ObjWatch
from callboard_brokers.nats._subject import covers

_WAITING: Final = f"{WAITING}.".encode()


def view(source: NatsSource) -> Callable[[NatsRecord], NatsMessage | None]:
    """Return what makes messages of the records of *source*; None is for nobody to see.

    A change of a key has the key as its address, and no body if it was deleted. That of an object
    has the bucket as its address, and the name as its body.
    """
    match = source.pattern.match

    def path(subject: str) -> Mapping[str, str]:
        return match(subject.removeprefix(keys)) or {}

    keys = f"$KV.{source.bucket}." if source.kind == "kv" else ""
    load = reader(path)

    def message(record: NatsRecord) -> NatsMessage:
        return NatsMessage.received(record, record.data, record.address, None, load)

    def due(record: NatsRecord) -> NatsMessage | None:
        return None if record.subject.startswith(_WAITING) else message(record)

    def change(record: NatsRecord) -> NatsMessage | None:
        is_gone = b"\r\nKV-Operation:" in record.header or b"\r\nNats-Marker-" in record.header
        if is_gone and isinstance(source.kv_watch, KvWatch) and source.kv_watch.ignore_deletes:
            return None
        key = record.address.removeprefix(keys)
        return NatsMessage.received(record, None if is_gone else record.data, key, None, load)

    def named(record: NatsRecord) -> NatsMessage | None:
        watch, info = source.obj_watch, _info(record.data)
        if info.get("deleted") and isinstance(watch, ObjWatch) and watch.ignore_deletes:
            return None
        name = str(info.get("name", "")).encode()
        return NatsMessage.received(record, name, source.bucket, None, load)

    usual = due if source.stream is not None and _is_all(source) else message
    return {"kv": change, "object": named}.get(source.kind, usual)


def _is_all(source: NatsSource) -> bool:
    """Whether *source* reads what its stream keeps back, too: it is for nobody to see."""
    return any(covers(each, f"{WAITING}.a.b") for each in source.filters or [">"])


def _info(octets: bytes) -> Mapping[str, object]:
    """Return what is said of an object; nothing if that is not to be read."""
    try:
        info = json.loads(octets)
    except ValueError:
        return {}
    return info if isinstance(info, dict) else {}  # pyright: ignore[reportUnknownVariableType] - it has texts for keys
