"""What OpenTelemetry's conventions ask of each broker: how it calls places, and what records say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from opentelemetry.util.types import AttributeValue

from callboard.declare._subscriber import addresses_of
from callboard.instruments import Output
from callboard_brokers import Message

Attributes: TypeAlias = Mapping[str, AttributeValue]


def _as_declared(source: Any) -> Sequence[str]:
    return addresses_of(source)


def _as_addressed(_source: Any, message: Message) -> str:
    return message.address


def _as_named(target: Any) -> str:
    return str(target.address)


def _nothing(_of: Any) -> Attributes:
    return {}


@dataclass(frozen=True, kw_only=True)
class System:
    """A kind of broker, in the words of the conventions.

    Attributes:
        name: Of the system.
        reads: What a source is called, of few values: an address, several, or a template of them.
        came_to: What the place is called that a message was sent to, given the source it came by.
        readers: Says who reads a source together.
        of_message: Says more of a message that has come; None: there is no more.
        writes: What a target is called.
        of_output: Says more of what leaves; None likewise.
    """

    name: str
    reads: Callable[[Any], Sequence[str]] = _as_declared
    came_to: Callable[[Any, Message], str] = _as_addressed
    readers: Callable[[Any], Attributes] = _nothing
    of_message: Callable[[Message], Attributes] | None = None
    writes: Callable[[Any], str] = _as_named
    of_output: Callable[[Output], Attributes] | None = None


def _text(key: str | bytes) -> str:
    return key if isinstance(key, str) else key.decode(errors="replace")


def _group_of_kafka(source: Any) -> Attributes:
    return {"messaging.consumer.group.name": source.group_id} if source.group_id else {}


def _of_record(message: Message) -> Attributes:
    record: Any = message.raw_message
    said: dict[str, AttributeValue] = {
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }
    if record.key is not None:
        said["messaging.kafka.message.key"] = _text(record.key)
    if message.tombstone:
        said["messaging.kafka.message.tombstone"] = True
    return said


def _to_kafka(output: Output) -> Attributes:
    target, message = output.target, output.message
    said: dict[str, AttributeValue] = {}
    key = message.key if target.key is None else target.key
    if key is not None:
        said["messaging.kafka.message.key"] = _text(key)
    if target.partition is not None:
        said["messaging.destination.partition.id"] = str(target.partition)
    if message.tombstone or target.tombstone:
        said["messaging.kafka.message.tombstone"] = True
    return said


def _joined(exchange: str, key: str, queue: str = "") -> str:
    """Return what a place of RabbitMQ is called: what is empty, or said twice, is left out."""
    return ":".join(part for part in (exchange, "" if key == queue else key, queue) if part)


def _queue(source: Any) -> Sequence[str]:
    exchange = source.bound_to
    return [_joined(exchange.name if exchange else "", source.binding.text, source.reads.name)]


def _to_queue(source: Any, message: Message) -> str:
    record: Any = message.raw_message
    return _joined(record.exchange, record.routing_key, source.reads.name)


def _delivered(message: Message) -> Attributes:
    record: Any = message.raw_message
    return {
        "messaging.rabbitmq.destination.routing_key": record.routing_key,
        "messaging.rabbitmq.message.delivery_tag": record.delivery_tag,
    }


def _readers_of_nats(source: Any) -> Attributes:
    said = {
        "messaging.destination.subscription.name": source.consumer,
        "messaging.consumer.group.name": source.queue,
    }
    return {name: value for name, value in said.items() if value}


def _shared_group(source: Any) -> Attributes:
    return {"messaging.consumer.group.name": source.group} if source.group else {}


SYSTEMS: Final[Mapping[str, System]] = {
    "kafka": System(
        name="kafka", readers=_group_of_kafka, of_message=_of_record, of_output=_to_kafka
    ),
    "rabbit": System(
        name="rabbitmq",
        reads=_queue,
        came_to=_to_queue,
        of_message=_delivered,
        writes=lambda target: _joined(target.through, target.key),
        of_output=lambda output: {"messaging.rabbitmq.destination.routing_key": output.target.key},
    ),
    "nats": System(name="nats", readers=_readers_of_nats),
    "redis": System(name="redis", readers=_shared_group),
    "memory": System(name="memory", readers=_shared_group),
}
"""By the kinds of brokers; any other is called as its kind."""


def system_of(kind: str) -> System:
    """Return what there is to say of a *kind* of broker."""
    return SYSTEMS.get(kind) or System(name=kind)
