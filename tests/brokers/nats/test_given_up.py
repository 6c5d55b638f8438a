"""What a consumer delivers no more does not vanish."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from anyio import Event, create_task_group, fail_after, open_process, sleep
from anyio.streams.text import TextReceiveStream

from callboard_brokers import BrokerError, Capacity, Delivery, GivingUp, Message, Subscription
from callboard_brokers.events import MessageGivenUp
from callboard_brokers.nats import JStream, NatsSource, NatsTarget
from callboard_brokers.nats.connection import NatsConnection

from . import dying
from .server import Events, Server, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("nats"), pytest.mark.slow]


class Graves:
    """What was buried, and why."""

    def __init__(self, subscription: Subscription) -> None:
        self.bodies: list[bytes] = []
        self.reasons: list[str] = []
        self.buried: list[Delivery] = []
        self._changed = Event()
        assert isinstance(subscription, GivingUp)
        subscription.on_given_up(self.bury)

    async def bury(self, delivery: Delivery, error: BrokerError) -> None:
        self.bodies.append(delivery.message.body)
        self.reasons.append(str(error))
        self.buried.append(delivery)
        delivery.ack()
        self._changed.set()

    async def until(self, count: int) -> None:
        with fail_after(45):
            while len(self.bodies) < count:
                await self._changed.wait()
                self._changed = Event()


@pytest.fixture
def stream(name: str, server: Server) -> JStream:
    server.made.add(name)
    return JStream(name, [f"{name}.>"], storage="memory", retention="workqueue")


@pytest.fixture
def target(stream: JStream) -> NatsTarget:
    return NatsTarget(f"{stream.name}.x", stream=stream)


@pytest.fixture
def source(stream: JStream) -> Callable[[int], NatsSource]:
    return lambda times: NatsSource(stream=stream, durable="d", ack_wait=0.5, max_deliver=times)


def told(events: Events) -> Sequence[tuple[int, int]]:
    return [(it.position, it.deliveries) for it in events if isinstance(it, MessageGivenUp)]


@asynccontextmanager
async def dying_with(address: str, stream: str, times: int) -> AsyncGenerator[str]:
    """Have a process take a message, and kill it; yield how often that is delivered now."""
    script = [sys.executable, "-m", dying.__name__, address, stream, str(times)]
    async with await open_process(script, stdin=None, stderr=None) as process:
        assert process.stdout is not None
        with fail_after(30):
            said = await TextReceiveStream(process.stdout).receive()
        yield said.strip()
        process.kill()


async def take_silently(connection: NatsConnection, stream: str, count: int) -> None:
    """Have somebody get so many messages who never settles one."""
    inbox = connection.new_inbox()
    async with connection.subscribe(NatsSource(inbox), Capacity(5)) as taken:
        words = b'{"batch":%d,"expires":9000000000}' % count
        next_ones = NatsTarget(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.d")
        await connection.publish(Message(words, reply_to=inbox), next_ones)
        await take(taken, count)


async def test_what_is_nacked_for_the_last_time_is_buried_out_of_hand(
    connection: NatsConnection,
    source: Callable[[int], NatsSource],
    stream: JStream,
    target: NatsTarget,
    server: Server,
    events: Events,
) -> None:
    async with connection.subscribe(source(2), Capacity(5)) as reading:
        graves = Graves(reading)
        await connection.publish(Message(b"poison", headers={"a": "b"}), target)
        for _ in range(2):
            (await take(reading, 1))[0].nack(0)
        await graves.until(1)
        await server.until(stream.name, "d", lambda it: it["num_ack_pending"] == 0)

    assert graves.bodies == [b"poison"]
    assert "delivered 2 times" in graves.reasons[0]
    assert graves.buried[0].message.headers["a"] == "b"
    assert told(events) == [(1, 2)]


@pytest.mark.parametrize("times", [1, 2])
async def test_what_a_process_had_that_dies_on_the_last_delivery_is_buried_by_another(
    connection: NatsConnection,
    source: Callable[[int], NatsSource],
    stream: JStream,
    target: NatsTarget,
    server: Server,
    events: Events,
    address: str,
    times: int,
) -> None:
    await connection.prepare([source(times)], [target])
    await connection.publish(Message(b"deadly", headers={"a": "b"}, reply_to="who"), target)
    for n in range(1, times):
        async with dying_with(address, stream.name, times) as said:
            assert said == str(n)
    async with AsyncExitStack() as last:
        assert await last.enter_async_context(dying_with(address, stream.name, times))
        async with connection.subscribe(source(times), Capacity(5)) as reading:
            graves = Graves(reading)
            await last.aclose()
            await graves.until(1)
            (grave,) = graves.buried
            await server.until(stream.name, "d", lambda it: it["num_redelivered"] == 0)

    assert (grave.message.body, grave.message.address) == (b"deadly", target.subject)
    assert grave.message.headers["a"] == "b"
    assert grave.message.reply_to == "who"
    assert grave.deliveries == times
    assert told(events) == [(1, times)]
    # Of a stream that works as a queue it is gone, as what was acknowledged is.
    assert (await server.ask(f"STREAM.INFO.{stream.name}"))["state"]["messages"] == 0


async def test_what_the_server_gives_up_while_nobody_reads_is_buried_by_who_comes(
    connection: NatsConnection,
    source: Callable[[int], NatsSource],
    stream: JStream,
    target: NatsTarget,
) -> None:
    await connection.prepare([source(2)], [target])
    await connection.publish(Message(b"deadly"), target)
    for _ in range(2):
        await take_silently(connection, stream.name, 1)
    await sleep(0.6)  # its time is over
    async with connection.subscribe(source(2), Capacity(5)) as reading:
        graves = Graves(reading)
        await graves.until(1)

    assert graves.bodies == [b"deadly"]


@pytest.mark.parametrize("in_hand", [True, False])
async def test_who_leaves_before_he_has_buried_all_leaves_it_to_the_others(
    connection: NatsConnection,
    source: Callable[[int], NatsSource],
    stream: JStream,
    target: NatsTarget,
    in_hand: bool,
) -> None:
    begun, go = Event(), Event()

    async def hang(_delivery: Delivery, _error: BrokerError) -> None:
        begun.set()
        await Event().wait()

    async def leave() -> None:
        async with connection.subscribe(source(1), Capacity(5)) as leaving:
            leaving.on_given_up(hang)  # type: ignore[union-attr] # pyright: ignore[reportAttributeAccessIssue] - of a stream
            if in_hand:
                for each in await take(leaving, 2):
                    each.nack(0)
            await go.wait()

    await connection.prepare([source(1)], [target])
    for n in range(2):
        await connection.publish(Message(b"%d" % n), target)
    if not in_hand:
        await take_silently(connection, stream.name, 2)
    async with create_task_group() as tasks:
        tasks.start_soon(leave)
        with fail_after(45):
            await begun.wait()
        async with connection.subscribe(source(1), Capacity(5)) as reading:
            graves = Graves(reading)
            go.set()
            await graves.until(2)

            assert sorted(graves.bodies) == [b"0", b"1"]


@pytest.mark.parametrize("done", [True, False])
async def test_what_the_server_gives_up_while_it_is_in_hand_is_buried_only_if_it_fails(
    connection: NatsConnection,
    stream: JStream,
    target: NatsTarget,
    server: Server,
    done: bool,
) -> None:
    source = NatsSource(stream=stream, durable="d", ack_wait=0.3, extend_for=0.1, max_deliver=1)
    async with connection.subscribe(source, Capacity(5)) as reading:
        graves = Graves(reading)
        await connection.publish(Message(b"slow"), target)
        (slow,) = await take(reading, 1)
        await server.until(stream.name, "d", lambda it: it["num_ack_pending"] == 0)
        await connection.ping()
        slow.ack() if done else slow.nack(0)
        if not done:
            await graves.until(1)

    assert graves.bodies == ([] if done else [b"slow"])


async def test_what_is_not_in_the_stream_any_more_keeps_nobody(
    connection: NatsConnection,
    source: Callable[[int], NatsSource],
    stream: JStream,
    target: NatsTarget,
    server: Server,
) -> None:
    advisory = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream.name}.d"
    await connection.prepare([source(1)], [target])
    async with connection.subscribe(source(1), Capacity(5)) as reading:
        graves = Graves(reading)
        for said in (b"", b"[]", b'{"stream_seq":"x"}', b'{"stream_seq":99,"deliveries":1}'):
            await server.publish(advisory, said)
        await server.settled()
        await connection.publish(Message(b"poison"), target)
        (await take(reading, 1))[0].nack(0)
        await graves.until(1)

    assert graves.bodies == [b"poison"]
