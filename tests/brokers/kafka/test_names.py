"""Names of headers that are no text: they are read all the same."""

from __future__ import annotations

import struct
from typing import Any

import aiokafka.record.default_records as records  # pyright: ignore[reportMissingTypeStubs] - it says nothing of its types
import pytest
from aiokafka.record import util  # pyright: ignore[reportMissingTypeStubs] - likewise

from callboard_brokers import Capacity, Message
from callboard_brokers.kafka import KafkaTarget
from callboard_brokers.kafka.connection import KafkaConnection

from .cluster import Cluster, client, source, take

builder: Any = records.DefaultRecordBatchBuilder
crc: Any = util.calc_crc32c
# What the adapter has put in the place of the client's own, once it is imported.
reader: Any = client.consumer.fetcher

PLAIN, GZIP = 0, 1
NAME = b"Zo\xff\xfe"


def renamed(batch: bytes) -> bytes:
    """Return *batch* with the octets of a name, and as whole as before."""
    body = batch[21:].replace(b"ZoXY", NAME)
    return batch[:17] + struct.pack(">I", crc(body)) + body


def batch(*bodies: bytes, first: int = 0, compression: int = PLAIN) -> bytes:
    """Return a batch as it is on the wire, each record with a header by the name of ZoXY."""
    made = builder(2, compression, 0, -1, -1, 0, 2**20)
    for number, body in enumerate(bodies):
        made.append(number, 0, b"k", body, [("x", b"1"), ("ZoXY", body)])
    return struct.pack(">q", first) + bytes(made.build())[8:]


def read(fetched: bytes) -> list[tuple[int, bytes, list[tuple[str, bytes]]]]:
    batches, found = (
        reader.MemoryRecords(fetched),
        list[tuple[int, bytes, list[tuple[str, bytes]]]](),
    )
    while batches.has_next():
        each = batches.next_batch()
        assert each.validate_crc()
        for record in each:
            if record.offset >= len(found):  # as the client's fetcher does
                found.append((record.offset, record.value, [*record.headers]))
    return found


def expected(name: str, *bodies: bytes) -> list[tuple[int, bytes, list[tuple[str, bytes]]]]:
    return [(at, body, [("x", b"1"), (name, body)]) for at, body in enumerate(bodies)]


def test_records_with_names_of_text_are_as_the_client_reads_them() -> None:
    fetched = batch(b"0", b"1") + batch(b"2", first=2, compression=GZIP)

    assert read(fetched) == expected("ZoXY", b"0", b"1", b"2")


def test_the_octets_of_a_name_are_written_out_and_its_record_is_read() -> None:
    fetched = batch(b"0") + renamed(batch(b"1", b"2", first=1)) + batch(b"3", first=3)

    plain, broken = (
        expected("ZoXY", b"0", b"1", b"2", b"3"),
        expected(r"Zo\xff\xfe", b"0", b"1", b"2"),
    )
    assert read(fetched) == [plain[0], *broken[1:], plain[3]]


def test_what_was_read_before_the_name_is_not_read_again() -> None:
    made = builder(2, PLAIN, 0, -1, -1, 0, 2**20)
    made.append(0, 0, None, b"0", [("x", b"1")])
    made.append(1, 0, None, b"1", [("ZoXY", b"")])
    made.append(2, 0, None, b"2", [("x", b"1")])

    found = read(renamed(bytes(made.build())))
    assert [(at, body) for at, body, _ in found] == [(0, b"0"), (1, b"1"), (2, b"2")]


@pytest.mark.anyio
@pytest.mark.broker("kafka")
@pytest.mark.slow
async def test_one_such_record_does_not_stop_its_subscription(
    connection: KafkaConnection, cluster: Cluster, address: str, topic: str
) -> None:
    await cluster.create(topic)
    async with client.AIOKafkaProducer(bootstrap_servers=address) as producer:
        # No producer of this client would send it: those of other languages do.
        written = producer.create_batch()
        written.append(key=None, value=b"bad", timestamp=None, headers=[("ZoXY", b"v")])
        written._buffer = bytearray(renamed(bytes(written._build())))
        await (await producer.send_batch(written, topic, partition=0))
    await connection.publish(Message(b"good"), KafkaTarget(topic))

    async with connection.subscribe(source(topic), Capacity(10)) as subscription:
        bad, good = await take(subscription, 2)

    assert bad.message.headers == {r"Zo\xff\xfe": "v"}
    assert good.message.body == b"good"
