"""How messages of a stream are settled: by publishing to the subject that each came with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from callboard_brokers._delivery import Delivery
from callboard_brokers._settlement import Settlement
from callboard_brokers.nats._message import NatsRecord

_LATE: Final = 60.0
"""Seconds after which a message that should have been published by its stream is looked at again."""
_SETTLED: Final[Mapping[Settlement, bytes]] = {
    Settlement.ACK: b"",
    Settlement.NACK: b"-NAK",
    Settlement.REJECT: b"+TERM",
    Settlement.RELEASE: b"-NAK",
}


def ack_of(delivery: Delivery[NatsRecord]) -> bytes:
    """Return the subject by which *delivery* is settled."""
    return delivery.message.raw_message.reply


def sequence_of(delivery: Delivery[NatsRecord]) -> int:
    """Return where in the stream its message stands."""
    words = ack_of(delivery).split(b".")
    return int(words[5 if len(words) == 9 else 7])


def word_of(settlement: Settlement, delay: float | None) -> bytes:
    """Return what the server is told; nothing is that all is well."""
    if settlement is Settlement.NACK and delay:
        return b'-NAK {"delay": %d}' % round(delay * 1e9)
    return _SETTLED[settlement]


def settled(delivery: Delivery, settlement: Settlement, delay: float | None) -> bytes:
    """Return what is written to settle *delivery*; if the server has given it up, to pass it on."""
    if settlement is Settlement.ACK:
        return b"PUB %b 0\r\n\r\n" % ack_of(delivery)
    if isinstance(delivery.token, bytes) and settlement is not Settlement.REJECT:
        return delivery.token
    word = word_of(settlement, delay)
    return b"PUB %b %d\r\n%b\r\n" % (ack_of(delivery), len(word), word)


def extended(deliveries: Iterable[Delivery[NatsRecord]]) -> bytes:
    """Return what is written to keep *deliveries* ours for as long again."""
    return b"".join(b"PUB %b 4\r\n+WPI\r\n" % ack_of(each) for each in deliveries)


def held_back(record: NatsRecord, *, is_queue: bool) -> bytes:
    """Return what is written to see *record* no more until its stream publishes it by itself.

    A stream that works as a queue would forget it with an acknowledgement.
    """
    if not is_queue:
        return b"PUB %b 0\r\n\r\n" % record.reply
    word = word_of(Settlement.NACK, _until_due(record) + _LATE)
    return b"PUB %b %d\r\n%b\r\n" % (record.reply, len(word), word)


def _until_due(record: NatsRecord) -> float:
    """Return in how many seconds the stream publishes *record*, as far as that can be read."""
    when = dict(record.pairs()).get("Nats-Schedule") or b""
    try:
        time = datetime.fromisoformat(when.decode().removeprefix("@at "))
    except ValueError:
        return 0.0
    return max(0.0, time.timestamp() - datetime.now(UTC).timestamp())
