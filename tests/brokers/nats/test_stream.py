"""What is read by a consumer of a stream."""

from __future__ import annotations

import pytest
from anyio import create_task_group, sleep

from callboard_brokers import Capacity, Message
from callboard_brokers.events import FetchFailed
from callboard_brokers.nats import ConsumerConfig, JStream, NatsSource, NatsTarget
from callboard_brokers.nats.connection import NatsConnection

from .server import Events, Server, bodies, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("nats"), pytest.mark.slow]
MEMORY = 100


@pytest.fixture
def stream(name: str, server: Server) -> JStream:
    server.made.add(name)
    return JStream(name, [f"{name}.>"], storage="memory")


@pytest.fixture
def target(stream: JStream) -> NatsTarget:
    return NatsTarget(f"{stream.name}.x", stream=stream)


async def test_a_handler_three_times_longer_than_the_ack_wait_runs_once(
    connection: NatsConnection, stream: JStream, target: NatsTarget, server: Server
) -> None:
    source = NatsSource(target.subject, stream=stream, durable="d", ack_wait=2)
    async with connection.subscribe(source, Capacity(10)) as reading:
        await connection.publish(Message(b"in hand"), target)
        await connection.publish(Message(b"waits here"), target)
        first = (await take(reading, 1))[0]
        await sleep(6)
        second = (await take(reading, 1))[0]
        first.ack()
        second.ack()
        await server.until(stream.name, "d", lambda it: it["num_ack_pending"] == 0)
        known = await server.consumer(stream.name, "d")

    assert known["num_redelivered"] == 0
    assert known["delivered"]["consumer_seq"] == 2
    assert (first.deliveries, second.deliveries) == (1, 1)


@pytest.mark.parametrize("reply", ["", "$JS.ACK.x", "$JS.ACK.a.b.c.d.e.f.g"])
async def test_what_others_publish_to_where_a_stream_is_pushed_is_not_of_it(
    connection: NatsConnection,
    stream: JStream,
    target: NatsTarget,
    server: Server,
    events: Events,
    reply: str,
) -> None:
    where = f"pushed.{stream.name}"
    config = ConsumerConfig(deliver_subject=where)
    source = NatsSource(target.subject, stream=stream, durable="d", config=config, pull_sub=False)
    async with connection.subscribe(source, Capacity(10)) as reading:
        await server.publish(f"{where} {reply}", b"foreign")
        await server.settled()
        await connection.publish(Message(b"ours"), target)
        taken = await take(reading, 1)
        taken[0].ack()

    assert bodies(taken) == [b"ours"]
    assert not any(isinstance(each, FetchFailed) for each in events)


async def test_a_lease_is_not_extended_for_ever(
    connection: NatsConnection, stream: JStream, target: NatsTarget
) -> None:
    source = NatsSource(target.subject, stream=stream, durable="d", ack_wait=1, extend_for=1)
    async with connection.subscribe(source, Capacity(10)) as hanging:
        await connection.publish(Message(b"mine"), target)
        await take(hanging, 1)
        async with connection.subscribe(source, Capacity(10)) as other:
            assert ((await take(other, 1))[0].deliveries or 0) > 1


async def test_a_deleted_consumer_is_made_again_and_what_it_delivered_is_stale(
    connection: NatsConnection, stream: JStream, target: NatsTarget, server: Server, events: Events
) -> None:
    source = NatsSource(target.subject, stream=stream, durable="d")
    recalled: list[bool] = []
    async with connection.subscribe(source, Capacity(10)) as reading:
        reading.on_recall(lambda: recalled.append(True))  # type: ignore[union-attr] # pyright: ignore[reportAttributeAccessIssue] - of a stream
        await connection.publish(Message(b"1"), target)
        (old,) = await take(reading, 1)
        await server.ask(f"CONSUMER.DELETE.{stream.name}.d")
        await events.until(FetchFailed)
        await connection.publish(Message(b"2"), target)
        again = await take(reading, 2)

        assert bodies(again) == [b"1", b"2"]
        assert recalled
        assert old.epoch < again[0].epoch
        old.ack()
        assert [each.name for each in events].count("settle.stale") == 1


async def test_a_nameless_consumer_that_is_deleted_goes_on_where_it_was(
    connection: NatsConnection, stream: JStream, target: NatsTarget, server: Server, events: Events
) -> None:
    async with connection.subscribe(NatsSource(target.subject, stream=stream), Capacity(10)) as it:
        for n in range(2):
            await connection.publish(Message(b"%d" % n), target)
        (done, _held) = await take(it, 2)
        done.ack()
        name = (await server.ask(f"CONSUMER.NAMES.{stream.name}"))["consumers"][0]
        await server.until(stream.name, name, lambda it: it["num_ack_pending"] == 1)
        await server.ask(f"CONSUMER.DELETE.{stream.name}.{name}")
        await events.until(FetchFailed)
        await connection.publish(Message(b"2"), target)

        assert bodies(await take(it, 2)) == [b"1", b"2"]


async def test_a_nameless_consumer_ends_with_its_reader(
    connection: NatsConnection, stream: JStream, target: NatsTarget, server: Server
) -> None:
    async with connection.subscribe(NatsSource(target.subject, stream=stream), Capacity(10)):
        pass

    assert not (await server.ask(f"CONSUMER.NAMES.{stream.name}"))["consumers"]


async def test_a_deleted_ordered_consumer_repeats_nothing(
    connection: NatsConnection, stream: JStream, target: NatsTarget, server: Server, events: Events
) -> None:
    source = NatsSource(target.subject, stream=stream, ordered_consumer=True)
    async with connection.subscribe(source, Capacity(10)) as reading:
        for n in range(3):
            await connection.publish(Message(b"%d" % n), target)
        seen = await take(reading, 3)
        name = (await server.ask(f"CONSUMER.NAMES.{stream.name}"))["consumers"][0]
        await server.ask(f"CONSUMER.DELETE.{stream.name}.{name}")
        await events.until(FetchFailed)
        await connection.publish(Message(b"3"), target)
        seen += await take(reading, 1)

        assert bodies(seen) == [b"0", b"1", b"2", b"3"]


@pytest.mark.timeout(120)
async def test_leaving_under_load_neither_loses_nor_repeats_and_nothing_waits_for_its_time(
    connection: NatsConnection, stream: JStream, target: NatsTarget, server: Server
) -> None:
    if server.version < (2, 10):
        pytest.skip("the server repeats some of what is given back: 2.9.10 did 2 of 3,000")
    source = NatsSource(target.subject, stream=stream, durable="d", ack_wait=60)
    seen: list[bytes] = []

    async def publish(share: int) -> None:
        for n in range(300):
            await connection.publish(Message(b"%d.%d" % (share, n)), target)

    async with create_task_group() as tasks:
        await connection.prepare([source], [target])
        for share in range(10):
            tasks.start_soon(publish, share)
        while len(seen) < 3000:
            async with connection.subscribe(source, Capacity(50)) as reading:
                for delivery in await take(reading, min(30, 3000 - len(seen))):
                    seen.append(delivery.message.body)
                    delivery.ack()

    assert len(set(seen)) == len(seen) == 3000


async def test_what_is_rejected_never_comes_again(
    connection: NatsConnection, stream: JStream, target: NatsTarget, server: Server
) -> None:
    source = NatsSource(target.subject, stream=stream, durable="d", ack_wait=1)
    async with connection.subscribe(source, Capacity(10)) as reading:
        await connection.publish(Message(b"hopeless"), target)
        (await take(reading, 1))[0].reject()
        await server.until(stream.name, "d", lambda it: it["num_ack_pending"] == 0)

        assert (await server.consumer(stream.name, "d"))["num_pending"] == 0


async def test_the_last_delivery_that_the_consumer_allows_is_given_up(
    connection: NatsConnection, stream: JStream, target: NatsTarget
) -> None:
    source = NatsSource(target.subject, stream=stream, durable="d", max_deliver=2)
    async with connection.subscribe(source, Capacity(10)) as reading:
        await connection.publish(Message(b"poison"), target)
        (first,) = await take(reading, 1)
        assert reading.count_failure(first, None) is not None  # type: ignore[union-attr] # pyright: ignore[reportAttributeAccessIssue] - of a stream
        first.nack(0)
        (last,) = await take(reading, 1)
        assert reading.count_failure(last, None) is None  # type: ignore[union-attr] # pyright: ignore[reportAttributeAccessIssue] - likewise


async def test_two_members_of_one_consumer_do_not_settle_each_others_messages(
    connection: NatsConnection, stream: JStream, target: NatsTarget, server: Server
) -> None:
    source = NatsSource(target.subject, stream=stream, durable="d")
    async with (
        connection.subscribe(source, Capacity(2)) as one,
        connection.subscribe(source, Capacity(2)) as other,
    ):
        for n in range(4):
            await connection.publish(Message(b"%d" % n), target)
        await take(one, 2)
        (await take(other, 2))[-1].ack()
        await server.until(stream.name, "d", lambda it: it["num_ack_pending"] == 3)


async def test_a_stream_is_read_by_several_subjects_and_by_its_options(
    connection: NatsConnection, stream: JStream, server: Server, name: str
) -> None:
    if server.version < (2, 10):
        pytest.skip(f"the server takes one filter alone, it is {server.version}")
    for n, word in enumerate(("a", "b", "c", "a")):
        target = NatsTarget(f"{name}.{word}", stream=stream)
        await connection.prepare([], [target])
        await connection.publish(Message(b"%d" % n), target)
    source = NatsSource(
        stream=stream,
        filter_subjects=[f"{name}.a", f"{name}.c"],
        config=ConsumerConfig(deliver_policy="by_start_sequence", opt_start_seq=2),
    )
    async with connection.subscribe(source, Capacity(10)) as reading:
        assert bodies(await take(reading, 2)) == [b"2", b"3"]
