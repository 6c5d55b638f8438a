"""Staying in a group, and leaving it, as its client sees it: no server is needed for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from anyio import CancelScope, create_task_group, current_time, move_on_after, sleep, sleep_forever
from anyio.lowlevel import checkpoint

from callboard_actors.testing import virtual_backend
from callboard_brokers.kafka import KafkaOptions
from callboard_brokers.kafka._member import Member
from callboard_brokers.kafka._servers import Servers
from callboard_brokers.kafka._writer import Writer
from callboard_brokers.kafka.connection import KafkaSubscription
from callboard_brokers.kit import Journal

from .client import ZERO, Client, reading, rebalance

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return virtual_backend("asyncio")


@asynccontextmanager
async def turning(
    client: Client, **options: Any
) -> AsyncGenerator[tuple[KafkaSubscription, Member]]:
    """Read by *client* in the background, as one that has all partitions."""
    subscription, member = reading(client, **options)

    async def begin(*_: object) -> None:
        await rebalance(client, member, ZERO)

    async with create_task_group() as tasks:
        tasks.start_soon(subscription.run, begin, tasks.cancel_scope)
        with move_on_after(10):
            await subscription.started.wait()
        yield subscription, member
        tasks.cancel_scope.cancel()


async def test_a_member_goes_on_asking_though_all_that_it_has_is_held() -> None:
    """What is taken makes room, for which nothing is fetched until the oldest record is settled."""
    client = Client(records=60)
    async with turning(client, max_span=50) as (subscription, _):
        with move_on_after(10):
            while True:
                for delivery in await subscription.receive(100):
                    delivery.nack(0.15)
        polls = client.polls
        with move_on_after(10):
            while True:
                for delivery in await subscription.receive(100):
                    delivery.nack(0.15)

    assert len(client.asked) == 1
    assert client.polls - polls > 30


async def test_room_is_made_use_of_without_asking_for_nothing_before() -> None:
    client = Client(records=60)
    async with turning(client) as (subscription, _):
        await sleep(1)
        polls, asked = client.polls, len(client.asked)
        await subscription.receive(100)
        await sleep(0.01)

        assert (client.polls - polls, len(client.asked) - asked) == (1, 1)


async def test_an_intake_that_was_stopped_stays_so_when_the_group_changes() -> None:
    client = Client()
    async with turning(client) as (subscription, member):
        await subscription.stop_intake()
        await sleep(1)
        polls, asked = client.polls, len(client.asked)
        await rebalance(client, member, ZERO)
        await sleep(2)

    assert (len(client.asked), client.polls > polls + 5) == (asked, True)


async def test_a_commit_that_hangs_is_given_up_though_whoever_leaves_is_cancelled() -> None:
    client = Client(records=1)
    async with turning(client) as (subscription, member):
        for delivery in await subscription.receive(1):
            delivery.ack()
        client.hangs = True
        assert not await member.commit()
        with CancelScope() as scope:
            scope.cancel()
            await member.close(current_time() + 1)
        await checkpoint()

        assert client.gave_up


@pytest.mark.parametrize(("farewell", "seconds"), [(0.2, 4.2), (100.0, 4.5)])
async def test_what_is_left_of_the_time_to_leave_is_for_the_group_and_never_nothing(
    farewell: float, seconds: float
) -> None:
    """Two seconds are all that there is; the writer alone takes twice as long to close."""
    client = Client()
    client.farewell = farewell
    async with turning(client) as (subscription, member):
        servers = Servers(["nowhere:1"], KafkaOptions(), Journal())
        writers = member._writers  # pyright: ignore[reportPrivateUsage] - only a server gives it one
        writers[ZERO] = slow(Writer(servers, client, "g", ZERO))
        with move_on_after(0):
            await subscription.leave()

        assert client.left is (farewell < 1)
        assert current_time() == pytest.approx(seconds)


def slow(writer: Writer) -> Writer:
    """Have *writer* hold a producer that does not end by itself."""
    producer: Any = SimpleNamespace(
        stop=sleep_forever,
        client=SimpleNamespace(close=sleep_forever, _conns={}),
        _sender=SimpleNamespace(close=sleep_forever, sender_task=None),
        _message_accumulator=SimpleNamespace(_pending_batches=(), _batches={}, fail_all=print),
        _txn_manager=None,
    )
    writer._producer = producer  # pyright: ignore[reportPrivateUsage] - only a server gives it one
    return writer
