"""Exactly once between topics: whatever is interrupted, each output is found once."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest
from anyio import (
    create_task_group,
    current_time,
    fail_after,
    move_on_after,
    open_process,
    run_process,
    sleep,
    to_thread,
)

from callboard_brokers import (
    BrokerError,
    Capacity,
    Delivery,
    Message,
    MessageTooLarge,
    Transactional,
)
from callboard_brokers.kafka import Kafka, KafkaOptions, KafkaSource, KafkaTarget
from callboard_brokers.kafka._servers import Servers
from callboard_brokers.kafka._writer import Fenced, Writer
from callboard_brokers.kafka.connection import KafkaConnection, KafkaSubscription
from callboard_brokers.kit import Journal

from ...proxy import proxy
from .cluster import Cluster, bodies, client, source, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("kafka"), pytest.mark.slow]


ENDS_TRANSACTION = (26).to_bytes(2)
"""Which request this is, behind its length."""
COMMAND = [sys.executable, str(Path(__file__).with_name("transformer.py"))]


def inputs(topic: str, **options: Any) -> KafkaSource:
    return source(topic, transactional=True, **options)


async def fill(connection: KafkaConnection, topic: str, count: int, partition: int = 0) -> None:
    messages = [Message(b"%d" % n) for n in range(count)]
    await connection.publish_batch(messages, KafkaTarget(topic, partition=partition))


async def outputs(connection: KafkaConnection, topic: str, count: int) -> list[bytes]:
    """What a reader of committed records finds: *count*, and whatever comes soon after."""
    reading = source(topic, group=None, isolation_level="read_committed")
    async with connection.subscribe(reading, Capacity(1000)) as subscription:
        found = bodies(await take(subscription, count)) if count else []
        with move_on_after(0.3):
            while True:
                found += [each.message.body for each in await subscription.receive(1000)]
    return found


def transform(subscription: KafkaSubscription, deliveries: Sequence[Delivery], topic: str) -> None:
    for delivery in deliveries:
        subscription.enlist(
            delivery, [(Message(delivery.message.body), KafkaTarget(f"{topic}.out"))]
        )


async def test_outputs_and_positions_are_committed_together(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await fill(connection, topic, 10)
    async with connection.subscribe(inputs(topic), Capacity(100)) as subscription:
        assert isinstance(subscription, Transactional)
        taken = await take(subscription, 10)
        transform(subscription, taken, topic)
        for delivery in [*taken[5:], *taken[:3]]:
            delivery.ack()
        await cluster.until_committed(f"{topic}.readers", 3)
        assert await outputs(connection, f"{topic}.out", 3) == [b"0", b"1", b"2"]
        for delivery in taken[3:5]:
            delivery.ack()

    assert await cluster.committed(f"{topic}.readers") == {0: 10}
    assert await outputs(connection, f"{topic}.out", 10) == [b"%d" % n for n in range(10)]


async def test_what_was_staged_by_a_try_that_failed_is_never_sent(
    connection: KafkaConnection, topic: str
) -> None:
    await fill(connection, topic, 1)
    async with connection.subscribe(inputs(topic), Capacity(100)) as subscription:
        for body, settle in ((b"nack", "nack"), (b"release", "release"), (b"reject", "reject")):
            [delivery] = await take(subscription, 1)
            subscription.enlist(delivery, [(Message(body), KafkaTarget(f"{topic}.out"))])
            getattr(delivery, settle)()

    assert await outputs(connection, f"{topic}.out", 1) == [b"reject"]


async def test_what_was_staged_but_not_settled_is_not_sent(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(f"{topic}.out")
    await fill(connection, topic, 3)
    async with connection.subscribe(inputs(topic), Capacity(100)) as subscription:
        transform(subscription, await take(subscription, 3), topic)

    assert await outputs(connection, f"{topic}.out", 0) == []
    assert await cluster.committed(f"{topic}.readers") == {0: 0}


async def test_a_restart_goes_on_exactly_where_it_stopped(
    connection: KafkaConnection, topic: str
) -> None:
    """The position is not read before the transaction that moved it is through."""
    await fill(connection, topic, 40)
    for _ in range(4):
        async with connection.subscribe(inputs(topic), Capacity(100)) as subscription:
            taken = await take(subscription, 10)
            transform(subscription, taken, topic)
            for delivery in taken:
                delivery.ack()

    assert await outputs(connection, f"{topic}.out", 40) == [b"%d" % n for n in range(40)]


async def test_a_writer_finds_the_position_of_the_one_before_and_fences_it(
    address: str, cluster: Cluster, topic: str
) -> None:
    """Asked for right after a commit, the position alone would be stale most of the time."""
    await cluster.create(topic)
    servers, name = (
        Servers([address], KafkaOptions(), Journal(None)),
        client.TopicPartition(topic, 0),
    )
    async with client.AIOKafkaConsumer(bootstrap_servers=address, group_id=topic) as consumer:
        writers = [Writer(servers, consumer, topic, name) for _ in range(20)]
        for number, writer in enumerate(writers):
            await writer.open()
            assert writer.position == (number or None)
            await writer.write([], number + 1)

        with pytest.raises(Fenced, match="another writer"):
            await writers[0].write([], 1)
        with pytest.raises(Fenced, match="from 1 to 20"):  # whether it is told so or not
            await writers[0].write([], 1)
        for writer in writers:
            await writer.close()


async def test_a_fenced_member_sends_nothing_and_joins_again(
    address: str, kafka: Kafka, connection: KafkaConnection, topic: str
) -> None:
    await fill(connection, topic, 3)
    async with connection.subscribe(inputs(topic), Capacity(100)) as subscription:
        taken = await take(subscription, 3)
        usurper = client.AIOKafkaProducer(
            bootstrap_servers=address, transactional_id=f"callboard.{topic}.readers.{topic}.0"
        )
        async with usurper:
            transform(subscription, taken, topic)
            for delivery in taken:
                delivery.ack()
            again = await take(subscription, 3)
        assert kafka.counts["partitions.lost"] == 1
        transform(subscription, again, topic)
        for delivery in again:
            delivery.ack()

    assert await outputs(connection, f"{topic}.out", 3) == [b"0", b"1", b"2"]


async def test_an_output_that_can_never_be_sent_is_refused_at_once(
    connection: KafkaConnection, topic: str
) -> None:
    await fill(connection, topic, 1)
    async with connection.subscribe(inputs(topic), Capacity(100)) as subscription:
        [delivery] = await take(subscription, 1)
        with pytest.raises(MessageTooLarge, match="max_request_size"):
            subscription.enlist(delivery, [(Message(b"x" * 2**20), KafkaTarget(topic))])
        delivery.ack()
        with pytest.raises(BrokerError, match="settled already"):
            subscription.enlist(delivery, [(Message(b""), KafkaTarget(topic))])


async def test_an_output_that_kafka_refuses_fails_when_its_message_comes_again(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    out = KafkaTarget(f"{topic}.out")
    await cluster.create(out.topic, 1, {"max.message.bytes": "1000"})
    await fill(connection, topic, 8)
    async with connection.subscribe(inputs(topic), Capacity(100)) as subscription:
        for delivery in await take(subscription, 8):
            body = delivery.message.body
            subscription.enlist(delivery, [(Message(body * 2000 if body == b"5" else body), out)])
            delivery.ack()
        [refused, *others] = await take(subscription, 3)
        with pytest.raises(MessageTooLarge, match=r"2\d\d\d bytes.*max.message.bytes"):
            subscription.enlist(refused, [(Message(b"5" * 2000), out)])
        refused.reject()
        transform(subscription, others, topic)
        for delivery in others:
            delivery.ack()
        await cluster.until_committed(f"{topic}.readers", 8)

    assert await outputs(connection, out.topic, 7) == [b"0", b"1", b"2", b"3", b"4", b"6", b"7"]


async def test_outputs_of_one_message_are_no_larger_than_each_of_them(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    out = KafkaTarget(f"{topic}.out")
    await cluster.create(out.topic, 1, {"max.message.bytes": "1000"})
    await fill(connection, topic, 1)
    async with connection.subscribe(inputs(topic), Capacity(100)) as subscription:
        [delivery] = await take(subscription, 1)
        subscription.enlist(delivery, [(Message(body * 700), out) for body in (b"a", b"b")])
        delivery.ack()
        await cluster.until_committed(f"{topic}.readers", 1)

    assert await outputs(connection, out.topic, 2) == [b"a" * 700, b"b" * 700]


async def test_a_partition_whose_commit_hangs_does_not_double_the_outputs_of_others(
    connection: KafkaConnection, cluster: Cluster, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It happens, but the answer does not come."""
    through, hushed = os.environ["CALLBOARD_KAFKA_PROXY"], list[bytes]()
    monkeypatch.setattr("callboard_brokers.kafka._member.COMMIT", 0.5)
    await cluster.create(topic, 2)
    for partition in (0, 1):
        await fill(connection, topic, 10, partition)

    def hushes(piece: bytes) -> bool:
        if piece[4:6] != ENDS_TRANSACTION or f"{topic}.1".encode() not in piece or hushed:
            return False
        hushed.append(piece)
        return True

    async with (
        proxy(through, os.environ["CALLBOARD_KAFKA_PROXIED"]) as network,
        Kafka(through).connect() as proxied,
        proxied.subscribe(inputs(topic), Capacity(100)) as subscription,
    ):
        network.hushes = hushes
        taken = await take(subscription, 20)
        transform(subscription, taken, topic)
        for delivery in taken:
            delivery.ack()
        await sleep(2)

    assert hushed
    found = Counter(await outputs(connection, f"{topic}.out", 20))
    assert found == Counter({b"%d" % n: 2 for n in range(10)})


async def test_members_that_come_and_go_write_each_output_once(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic, 2)
    for partition in (0, 1):
        await fill(connection, topic, 150, partition)
    reading = inputs(topic, commit_interval=0.02)

    async def work(seconds: float) -> None:
        with move_on_after(seconds):
            async with connection.subscribe(reading, Capacity(20)) as subscription:
                while True:
                    taken = await subscription.receive(3)
                    transform(subscription, taken, topic)
                    await sleep(0.01)
                    for delivery in taken:
                        delivery.ack()

    async with create_task_group() as tasks:
        tasks.start_soon(work, inf)
        for _ in range(4):
            await sleep(0.4)
            tasks.start_soon(work, 0.6)
        with fail_after(60):
            while sum((await cluster.committed(f"{topic}.readers")).values()) < 300:  # noqa: ASYNC110 - of a server
                await sleep(0.1)
        tasks.cancel_scope.cancel()

    found = Counter(await outputs(connection, f"{topic}.out", 300))
    assert found == Counter({b"%d" % n: 2 for n in range(150)})


async def test_connections_cut_in_the_midst_leave_each_output_once(
    connection: KafkaConnection, topic: str
) -> None:
    await fill(connection, topic, 200)
    through = os.environ["CALLBOARD_KAFKA_PROXY"]
    options = KafkaOptions(request_timeout_ms=1000, metadata_max_age_ms=1000)
    done = set[bytes]()
    async with (
        proxy(through, os.environ["CALLBOARD_KAFKA_PROXIED"]) as network,
        Kafka(through, options).connect() as shaky,
        shaky.subscribe(inputs(topic, commit_interval=0.01), Capacity(20)) as subscription,
    ):
        while len(done) < 200:
            taken = await subscription.receive(3)
            transform(subscription, taken, topic)
            for delivery in taken:
                delivery.ack()
                done.add(delivery.message.body)
            if len(done) % 20 > 16:
                network.cut()
            await sleep(0.005)

    found = Counter(await outputs(connection, f"{topic}.out", 200))
    assert found == Counter({b"%d" % n: 1 for n in range(200)})


@pytest.mark.timeout(240)
async def test_processes_killed_between_produce_and_commit_leave_each_output_once(
    address: str, connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    kills, count = 12, 400  # so many ways to die: three transactions by four ends
    await cluster.create(topic, 2)
    for partition in (0, 1):
        await fill(connection, topic, count // 2, partition)
    ends = [
        await transformer(address, topic, 1 + n % 3, "late" if n % 4 == 3 else "kill")
        for n in range(kills)
    ]
    ends.append(await transformer(address, topic, 0, "-"))

    found = Counter(await outputs(connection, f"{topic}.out", count))
    assert ends == [-signal.SIGKILL] * kills + [0]
    assert found == Counter({b"%d" % n: 2 for n in range(count // 2)})


async def test_a_process_that_was_asleep_in_a_transaction_wakes_up_fenced(
    address: str, connection: KafkaConnection, topic: str
) -> None:
    await fill(connection, topic, 60)
    command = [*COMMAND, address, topic, "2", "stop"]
    async with await open_process(command, stdout=None, stderr=None) as sleeper:
        await to_thread.run_sync(os.waitid, os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
        assert await transformer(address, topic, 0, "-") == 0
        sleeper.send_signal(signal.SIGCONT)
        assert await sleeper.wait() == 0

    found = await outputs(connection, f"{topic}.out", 60)
    assert found == [b"%d" % n for n in range(60)]


async def transformer(address: str, topic: str, commit: int, end: str) -> int:
    """Run a process that transforms; return what it ended with."""
    command = [*COMMAND, address, topic, str(commit), end]
    return (await run_process(command, check=False, stderr=None)).returncode


async def test_a_stop_ends_in_time_though_kafka_hangs(topic: str) -> None:
    through = os.environ["CALLBOARD_KAFKA_PROXY"]
    async with proxy(through, os.environ["CALLBOARD_KAFKA_PROXIED"]) as network:
        began = current_time()
        try:
            async with Kafka(through).connect() as connection:
                await fill(connection, topic, 1)
                reading = inputs(topic, commit_interval=60)
                async with connection.subscribe(reading, Capacity(10)) as subscription:
                    [delivery] = await take(subscription, 1)
                    subscription.enlist(delivery, [(Message(b"out"), KafkaTarget(f"{topic}.out"))])
                    delivery.ack()
                    network.swallow()
                    began = current_time()
                left = current_time() - began
        finally:
            network.restore()

    assert left < 25  # a request would be waited for 40 s
