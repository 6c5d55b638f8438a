"""Losing: what becomes of everything while the broker is away, and of whoever is not let in."""

# ruff: noqa: S101 - these are tests: they assert

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
from anyio import CancelScope, create_task_group, current_time, fail_after, sleep

from callboard_brokers._errors import AccessRefused, BrokerError
from callboard_brokers._message import Message
from callboard_brokers.conformance._harness import Harness, Stage

CUTS = 2
Way: TypeAlias = Callable[[], Awaitable[object]]


async def a_loss_is_a_state_that_ends_by_itself(harness: Harness) -> None:
    async with _breakable(harness) as stage:
        before = current_time()
        async with _away(stage):
            assert before <= (stage.connection.lost_at or 0.0) <= current_time()
        async with stage.read() as incoming:
            await stage.publish(b"again")

            assert (await incoming.one()).message.body == b"again"


async def nothing_is_lost_by_losses(harness: Harness) -> None:
    harness.needs("redelivers")
    came: set[bytes] = set()
    async with _breakable(harness) as stage, stage.read() as incoming:
        for n in range(CUTS):
            async with create_task_group() as tasks:
                tasks.start_soon(_until_it_is_there, stage, b"%d" % n)
                async with _away(stage):
                    pass
        while len(came) < CUTS:
            delivery = await incoming.one()
            came.add(delivery.message.body)
            delivery.ack()


async def what_was_in_hand_at_a_loss_is_settled_or_comes_again(harness: Harness) -> None:
    harness.needs("redelivers")
    bodies: list[bytes] = []
    async with _breakable(harness) as stage, stage.read() as incoming:
        await stage.publish(b"in hand")
        delivery = await incoming.one()
        async with _away(stage):
            delivery.ack()
        await _until_it_is_there(stage, b"later")
        while b"later" not in bodies:
            delivery = await incoming.one()
            bodies.append(delivery.message.body)
            delivery.ack()

        assert bodies.count(b"in hand") <= 1


async def leaving_has_an_end_while_the_broker_is_away(harness: Harness) -> None:
    async with _breakable(harness) as stage:
        with fail_after(harness.patience):
            async with stage.read() as incoming:
                await stage.publish(b"in hand")
                (await incoming.one()).ack()
                await _of(harness.cut, harness)()


async def whoever_is_not_let_in_hears_it_at_once(harness: Harness) -> None:
    if harness.refused is None:
        harness.lacks("refusing")
    with fail_after(harness.patience), pytest.raises(AccessRefused):
        async with harness.refused.connect():
            pass


@asynccontextmanager
async def _breakable(harness: Harness) -> AsyncGenerator[Stage]:
    """Connect, and have everything mended in the end, whatever happens."""
    restore = _of(harness.restore, harness)
    try:
        async with harness.connect() as stage:
            yield stage
    finally:
        with CancelScope(shield=True):
            await restore()


@asynccontextmanager
async def _away(stage: Stage) -> AsyncGenerator[None]:
    """Be cut off in the body, and know it; go on when that is over."""
    await _of(stage.harness.cut, stage.harness)()
    await _until(stage, lambda: stage.connection.lost_at is not None)
    yield
    await _of(stage.harness.restore, stage.harness)()
    await _until(stage, lambda: stage.connection.lost_at is None)


async def _until(stage: Stage, true: Callable[[], bool]) -> None:
    with fail_after(stage.harness.patience):
        while not true():  # noqa: ASYNC110 - a broker tells nobody
            await sleep(0.05)


async def _until_it_is_there(stage: Stage, body: bytes) -> None:
    with fail_after(stage.harness.patience):
        while True:
            try:
                await stage.send(Message(body))
            except BrokerError:
                await sleep(0.05)
            else:
                return


def _of(way: Way | None, harness: Harness) -> Way:
    if way is None:
        harness.lacks("cutting")
    return way
