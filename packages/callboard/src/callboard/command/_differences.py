"""What Callboard calls otherwise than FastStream, and what it does otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from callboard._absent import OPTIONS
from callboard_brokers.kit import left_out
from callboard_brokers.nats import KvWatch, ObjWatch
from callboard_brokers.rabbit import RabbitExchange, RabbitQueue

RENAMED: Final = {
    "faststream": "callboard",
    "faststream.FastStream": "callboard.App",
    "faststream.app.FastStream": "callboard.App",
    "faststream.annotations.FastStream": "callboard.annotations.App",
    "faststream.asgi.AsgiFastStream": "callboard.asgi.AsgiApp",
    "faststream.asgi.app.AsgiFastStream": "callboard.asgi.AsgiApp",
    "faststream.confluent": "callboard.kafka",
    "fast_depends.Depends": "callboard.Depends",
    "fast_depends.Provider": "callboard.Provider",
    "fast_depends.inject": "callboard.apply_types",
    "fast_depends.msgspec.MsgSpecSerializer": "callboard.MsgSpecSerializer",
    "fast_depends.pydantic.PydanticSerializer": "callboard.PydanticSerializer",
}
"""Names of FastStream, with their modules. A longer one goes before a shorter one."""


@dataclass(frozen=True)
class Difference:
    """Something that behaves differently, and how it is recognised in a module."""

    says: str
    names: frozenset[str] = field(default_factory=frozenset[str])
    """One of these names is used."""
    call: str = ""
    """Or something of this name is called ..."""
    has: str = ""
    """... with this keyword,"""
    lacks: str = ""
    """... without this one,"""
    of: str = ""
    """... in a module that imports something from here."""


def _names(*names: str) -> frozenset[str]:
    return frozenset(names)


_OF_CLASSES: Final = {
    kind.__name__: left_out(kind) for kind in (RabbitQueue, RabbitExchange, KvWatch, ObjWatch)
}
DIFFERENCES: Final = (
    Difference(
        "settles after the handler and its outputs (at least once), where Kafka's offsets were "
        "committed before it ran; for the old way: ack_policy=AckPolicy.ACK_FIRST",
        call="subscriber",
        lacks="ack_policy",
        of="faststream.kafka",
    ),
    Difference(
        "settles after the handler and its outputs (at least once), where Kafka's offsets were "
        "committed before it ran; for the old way: ack_policy=AckPolicy.ACK_FIRST",
        call="subscriber",
        lacks="ack_policy",
        of="faststream.confluent",
    ),
    Difference(
        "max_workers keeps the order by key and at-least-once; for no order at all: "
        'ordered_by="none"',
        call="subscriber",
        has="max_workers",
    ),
    Difference(
        "Rabbit: takes as many unsettled messages as its workers and mailbox hold, not all that "
        "there are; another number: mailbox=",
        call="subscriber",
        lacks="channel",
        of="faststream.rabbit",
    ),
    Difference(
        "Rabbit: messages are persistent unless persist=False, and one that no queue takes is an "
        "error unless mandatory=False",
        call="publish",
        lacks="persist",
        of="faststream.rabbit",
    ),
    Difference(
        "a request waits for 30 s on every broker unless timeout= says otherwise, and raises "
        "RequestFailed if the handler has failed",
        call="request",
        lacks="timeout",
    ),
    Difference(
        "a nack comes back after a back-off that grows, and its key waits meanwhile; it came back "
        "at once",
        names=_names("NACK_ON_ERROR", "NackMessage"),
    ),
    Difference(
        "a nack comes back after a back-off that grows, and its key waits meanwhile; it came back "
        "at once",
        call="nack",
    ),
    Difference(
        "what an ExceptionMiddleware has handled is settled by the subscriber's policy and logged; "
        "it was acknowledged in silence",
        names=_names("ExceptionMiddleware"),
    ),
    Difference(
        "the nearest value wins, a message's before the broker's before the application's; global "
        "values came first",
        call="set_local",
    ),
    Difference(
        "publish returns when everything that it has caused is settled; groups, redelivery and "
        "delays are those of the real broker",
        names=_names("TestKafkaBroker", "TestRabbitBroker", "TestNatsBroker", "TestRedisBroker"),
    ),
    Difference(
        "a batch is split where it does not fit, so this error is never raised",
        names=_names("BatchBufferOverflowException"),
    ),
    Difference(
        "Confluent's client is not used: the same classes work on aiokafka, and config= becomes "
        "keywords",
        call="KafkaBroker",
        of="faststream.confluent",
    ),
    Difference("give the broker to App(broker), or call add_broker", call="set_broker"),
    Difference("retry= was removed in 0.7; see Retry", call="subscriber", has="retry"),
    Difference("no_ack= is ack_policy=AckPolicy.MANUAL", call="subscriber", has="no_ack"),
    *(
        Difference(line, call=call, has=name)
        for call, lines in {**OPTIONS, **_OF_CLASSES}.items()
        for name, line in lines.items()
    ),
)
