"""Holding: how much waits, how much is in hand, and what becomes of it in the end."""

# ruff: noqa: S101 - these are tests: they assert

from __future__ import annotations

import pytest
from anyio import create_task_group, fail_after

from callboard_brokers._errors import ConnectionClosed
from callboard_brokers._port import Capacity, StoppingIntake
from callboard_brokers.conformance._harness import Harness

PUBLISHERS = 500


async def no_more_waits_than_the_capacity_allows(harness: Harness) -> None:
    async with harness.connect() as stage, stage.read(capacity=10) as incoming:
        await stage.publish(*(b"%d" % n for n in range(40)))
        taken = 0
        while taken < 40:
            with fail_after(harness.patience):
                batch = await incoming.subscription.receive(40)
            taken += len(batch)
            for delivery in batch:
                delivery.ack()

            assert len(batch) <= 10


async def no_more_bytes_wait_than_the_capacity_allows_for_bodies_like_the_last(
    harness: Harness,
) -> None:
    async with harness.connect() as stage, stage.read(capacity=Capacity(20, 5_000)) as incoming:
        await stage.publish(*[b"x" * 1_000] * 20)
        for delivery in await incoming.take(20):
            delivery.ack()
        await stage.publish(*[b"x" * 1_000] * 20)
        taken = 0
        while taken < 20:
            with fail_after(harness.patience):
                batch = await incoming.subscription.receive(20)
            taken += len(batch)

            assert len(batch) <= 7, "5 fit, and half of them before the last fetch"


async def a_body_beyond_the_capacity_in_bytes_comes_nevertheless(harness: Harness) -> None:
    bodies = [b"%d" % n * 1000 for n in range(3)]
    async with harness.connect() as stage, stage.read(capacity=Capacity(10, 100)) as incoming:
        await stage.publish(*bodies)
        for body in bodies:
            delivery = await incoming.one()
            delivery.ack()

            assert delivery.message.body == body


async def one_that_is_held_stops_no_other(harness: Harness) -> None:
    async with harness.connect() as stage, stage.read(capacity=5) as incoming:
        await stage.publish(*(b"%d" % n for n in range(30)))
        held = await incoming.one()
        for _ in range(29):
            (await incoming.one()).ack()

        assert held.ack()


async def many_settlements_in_any_order_are_told_before_the_end(harness: Harness) -> None:
    """Ten thousand, unless the harness says that publishing so many takes too long."""
    harness.needs("persistent", "redelivers")
    many = harness.many
    async with harness.connect() as stage:
        async with stage.read(capacity=many) as incoming, create_task_group() as tasks:
            for n in range(PUBLISHERS):
                tasks.start_soon(stage.publish, *[b"one of many"] * len(range(n, many, PUBLISHERS)))
            held = await incoming.take(many)
            for delivery in (*held[::2], *held[-1::-2]):
                delivery.ack()
        async with stage.read() as incoming:
            assert await incoming.silent()


async def a_stopped_intake_settles_on_and_gives_the_rest_to_the_next(harness: Harness) -> None:
    harness.needs("persistent", "redelivers")
    async with harness.connect() as stage:
        async with stage.read() as incoming:
            await stage.publish(b"in hand", b"waiting", b"waiting too")
            delivery = await incoming.one()
            if not isinstance(incoming.subscription, StoppingIntake):
                harness.lacks("stopping the intake")
            await incoming.subscription.stop_intake()
            with pytest.raises(ConnectionClosed):
                await incoming.subscription.receive(1)
            assert delivery.ack()
        async with stage.read() as incoming:
            bodies = [delivery.message.body for delivery in await incoming.take(2)]

            assert sorted(bodies) == [b"waiting", b"waiting too"]
            assert await incoming.silent()
