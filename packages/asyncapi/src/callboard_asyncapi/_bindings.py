"""What is particular to a protocol: the bindings of channels and operations.

A record holds what is meant; what is written depends on the version of the document, since the two
generations name other versions of the bindings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

# Those of AMQP whose routing key chooses nothing.
_KEYLESS = frozenset({"fanout", "headers"})
Written: TypeAlias = dict[str, Any]


class Bindings(Protocol):
    """What writes the bindings of a channel or of an operation."""

    def written(self, generation: int, /) -> Mapping[str, Any]:
        """Return them by protocol, for a document of version 2 or 3."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaTopic:
    """A topic, as a channel."""

    topic: str

    def written(self, generation: int, /) -> Written:
        """Return the binding."""
        del generation
        return {"kafka": {"topic": self.topic, "bindingVersion": "0.4.0"}}


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaReading:
    """How a topic is read, as an operation."""

    group_id: str

    def written(self, generation: int, /) -> Written:
        """Return the binding."""
        del generation
        group = {"type": "string", "enum": [self.group_id]}
        return {"kafka": {"groupId": group, "bindingVersion": "0.4.0"}}


@dataclass(frozen=True, kw_only=True, slots=True)
class NatsSubject:
    """A subject, as a channel; who reads one *queue* shares its messages."""

    subject: str
    queue: str | None = None

    def written(self, generation: int, /) -> Written:
        """Return the binding."""
        del generation
        return {"nats": _said(subject=self.subject, queue=self.queue, bindingVersion="custom")}


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisPlace:
    """A channel, a list or a stream, and by which command it is used, as a channel."""

    channel: str
    method: Literal[
        "subscribe", "psubscribe", "lpop", "xread", "xreadgroup", "publish", "rpush", "xadd"
    ]
    group_name: str | None = None
    consumer_name: str | None = None

    def written(self, generation: int, /) -> Written:
        """Return the binding."""
        del generation
        said = _said(
            channel=self.channel,
            method=self.method,
            groupName=self.group_name,
            consumerName=self.consumer_name,
            bindingVersion="custom",
        )
        return {"redis": said}


@dataclass(frozen=True, kw_only=True, slots=True)
class AmqpQueue:
    """A queue."""

    name: str
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AmqpExchange:
    """An exchange; without a name, the server's own."""

    name: str = ""
    type: str = "direct"
    durable: bool = True
    auto_delete: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AmqpPlace:
    """A queue that is read, or an exchange that is published to, as a channel."""

    exchange: AmqpExchange = AmqpExchange()
    queue: AmqpQueue | None = None
    vhost: str = "/"
    reads: bool = False

    def written(self, generation: int, /) -> Written:
        """Return the binding; of version 2 it names both ends."""
        queue = self._queue
        if generation > 2 and self.reads and queue:
            said = _said(**{"is": "queue"}, queue=queue, bindingVersion="0.3.0")
        elif generation > 2:
            said = _said(**{"is": "routingKey"}, exchange=self._exchange, bindingVersion="0.3.0")
        else:
            shown = None if self.exchange.type in _KEYLESS else queue
            said = _said(
                **{"is": "routingKey"},
                queue=shown,
                exchange=self._exchange,
                bindingVersion="0.2.0",
            )
        return {"amqp": said}

    @property
    def _queue(self) -> Written | None:
        if (queue := self.queue) is None:
            return None
        return {
            "name": queue.name,
            "durable": queue.durable,
            "exclusive": queue.exclusive,
            "autoDelete": queue.auto_delete,
            "vhost": self.vhost,
        }

    @property
    def _exchange(self) -> Written:
        exchange = self.exchange
        if not exchange.name:
            return {"type": "default", "vhost": self.vhost}
        return {
            "name": exchange.name,
            "type": exchange.type,
            "durable": exchange.durable,
            "autoDelete": exchange.auto_delete,
            "vhost": self.vhost,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class AmqpUse:
    """How messages are published or read, as an operation."""

    routing_key: str | None = None
    persistent: bool | None = None
    mandatory: bool | None = None
    priority: int | None = None
    ack: bool | None = True

    def written(self, generation: int, /) -> Written:
        """Return the binding; the routing key is a list since version 3."""
        key = self.routing_key
        cc = [key] if key is not None and generation > 2 else key
        said = _said(
            cc=cc,
            ack=self.ack,
            deliveryMode=None if self.persistent is None else 1 + self.persistent,
            mandatory=self.mandatory,
            priority=self.priority,
            bindingVersion="0.3.0" if generation > 2 else "0.2.0",
        )
        return {"amqp": said}


def _said(**members: Any) -> Written:
    return {name: value for name, value in members.items() if value is not None}
