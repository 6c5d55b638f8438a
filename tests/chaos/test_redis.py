"""A service on a real Redis, under faults: nothing is lost, and what repeats is what was in flight."""

from __future__ import annotations

import os
import time
from signal import SIGKILL, SIGTERM

import pytest
from anyio import sleep, to_thread

from ..proxy import proxy
from .conftest import Begin
from .kind import Kind
from .redis import KIND, RedisNode
from .trial import of_all, of_none, of_one

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.broker("redis"),
    pytest.mark.timeout(900),  # at its full size, and on a busy machine
]

SOON = {"options": {"min_idle_time": 2000}}
"""What a dead process had, and what was on its way over a cut, comes again after so long."""


@pytest.fixture(scope="module")
def kind() -> Kind:
    return KIND


async def test_what_a_killed_worker_had_is_handled_by_the_others(
    begin: Begin, scale: float
) -> None:
    async with begin(
        "kill -9", records=60_000, rate=1500, workers=2, settings=SOON, bound=of_one
    ) as trial:
        for _ in range(max(2, round(20 * scale))):
            await trial.pause(2)
            await trial.fleet.kill(trial.anyone())
            trial.faults += 1
            await trial.fleet.ready(await trial.fleet.start())


async def test_connections_that_are_cut_heal_within_three_seconds(
    begin: Begin, scale: float
) -> None:
    listen = os.environ["CALLBOARD_REDIS_PROXY"]
    async with (
        proxy(listen, os.environ["CALLBOARD_REDIS"]) as network,
        begin(
            "network",
            records=35_000,
            rate=400,
            workers=2,
            settings=SOON,
            bound=of_all,
            through=listen,
        ) as trial,
    ):
        for _ in range(max(3, round(30 * scale))):
            await sleep(2)
            network.cut()
            trial.faults += 1
            await trial.resumes(time.time(), within=30)

    assert trial.stall < 15, "3 seconds on a machine that is not slow"


async def test_a_restart_of_the_server_is_survived(
    begin: Begin, scale: float, node: RedisNode
) -> None:
    async with begin(
        "server",
        records=20_000,
        rate=400,
        workers=2,
        settings=SOON,
        bound=of_all,
        direct=node.address,
    ) as trial:
        for turn in range(max(2, round(10 * scale))):
            await trial.pause(2)
            await to_thread.run_sync(node.stop, SIGTERM if turn % 2 else SIGKILL)
            await to_thread.run_sync(node.start)
            trial.faults += 1
            await trial.resumes(time.time(), within=5)  # since it answers; 3 were seen


async def test_handlers_three_times_longer_than_their_lease_run_once(
    begin: Begin, scale: float
) -> None:
    # What waits in a mailbox meanwhile waits for several times as long.
    settings = {"longest_ms": 3000.0, "options": {"min_idle_time": 1000}}
    async with begin(
        "slow", records=600, rate=300, workers=2, settings=settings, bound=of_none
    ) as trial:
        trial.faults = round(600 * scale)


async def test_a_graceful_stop_repeats_nothing(begin: Begin, scale: float) -> None:
    async with begin("stop", records=60_000, rate=1200, workers=2, bound=of_none) as trial:
        for _ in range(max(3, round(30 * scale))):
            await trial.pause(1.5)
            if trial.random.random() < 0.3:
                await trial.fleet.stop_all()
                await trial.fleet.start()
            else:
                await trial.fleet.stop(trial.anyone())
            await trial.fleet.start()
            trial.faults += 1


async def test_poison_is_dead_lettered_once_and_the_others_go_on(begin: Begin) -> None:
    async with begin(
        "poison",
        records=40_000,
        rate=1500,
        workers=2,
        poison=0.01,
        bound=of_none,
        settings={"crashes": 0.1},
    ) as trial:
        trial.faults = sum(letter.poison for letter in trial.author.letters)


async def test_while_what_handlers_need_is_away_nothing_is_given_up(
    begin: Begin, scale: float
) -> None:
    seconds = max(4.0, 60 * scale)
    async with begin(
        "outage", records=20_000, rate=250, workers=2, bound=of_none, settings={"needs": True}
    ) as trial:
        await trial.pause(1)
        spared = await trial.outage(seconds)

    refused = trial.fleet.events["refused"]
    probes = 2 * (seconds / 0.5 + 1)
    assert spared < 5 * trial.plan.slowness, "until the breakers are open"
    # Half of the hundred calls that each process looks at, what was in flight, and the probes.
    assert refused <= 2 * (50 + trial.settings.max_workers) + probes
