"""A service on a real Kafka, under faults: nothing is lost, and keys keep their order."""

from __future__ import annotations

import signal
import time
from functools import partial

import pytest
from anyio import sleep, to_thread

from callboard_brokers.kafka import KafkaSource

from ..proxy import proxy
from .conftest import Begin
from .fleet import until
from .kafka import KIND
from .kind import Kind
from .node import KafkaNode
from .trial import Trial, of_all, of_none, of_one

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.broker("kafka"),
    pytest.mark.timeout(900),  # at its full size, and on a busy machine
]

# Busy machines hold up a heartbeat for longer than a takeover should take; where no member dies,
# the group can wait.
PATIENT = {"options": {"session_timeout_ms": 15_000}}

_source = KafkaSource(topics=("any",))
DEFAULT = {
    "options": {
        "session_timeout_ms": _source.session_timeout_ms,
        "heartbeat_interval_ms": _source.heartbeat_interval_ms,
    }
}


@pytest.fixture(scope="module")
def kind() -> Kind:
    return KIND


def of_unfinished(trial: Trial) -> int:
    """What was unfinished when its partition was given up is handled again."""
    return trial.fleet.unfinished


async def test_what_a_killed_worker_had_is_handled_by_the_others(
    begin: Begin, scale: float
) -> None:
    async with begin("kill -9", records=80_000, rate=1500, bound=of_one) as trial:
        for _ in range(max(2, round(20 * scale))):
            await trial.pause(2.5)
            await trial.fleet.kill(trial.anyone())
            trial.faults += 1
            await trial.fleet.start()


async def test_a_killed_worker_is_noticed_and_replaced_within_twelve_seconds(
    begin: Begin, scale: float
) -> None:
    kills = max(3, round(10 * scale))
    async with begin(
        "recovery",
        records=round(50 * 12 * kills / scale),
        rate=50,
        settings=DEFAULT,
        bound=of_one,
    ) as trial:
        for _ in range(kills):
            await trial.pause(2)
            await trial.fleet.kill(trial.anyone())
            trial.faults += 1
            await trial.fleet.ready(await trial.fleet.start())
        trial.author.stop()

    assert trial.stall < 12 * trial.plan.slowness


async def test_a_worker_that_is_killed_while_it_joins_is_noticed_as_well(
    begin: Begin, scale: float
) -> None:
    kills = max(2, round(5 * scale))
    async with begin(
        "joining",
        records=round(50 * 24 * kills / scale),
        rate=50,
        settings=DEFAULT,
        bound=of_one,
    ) as trial:
        for _ in range(kills):
            await trial.pause(2)
            await trial.fleet.kill(trial.anyone())
            joining = await trial.fleet.start()
            await trial.joining(joining)
            await trial.fleet.kill(joining)
            trial.faults += 2
            await trial.fleet.ready(await trial.fleet.start())
            # Deaths that never end would keep the group from coming to rest, whatever a member does.
            await trial.resumes(time.time(), within=30)
        trial.author.stop()

    assert trial.stall < 16 * trial.plan.slowness


async def test_what_a_stalled_worker_had_is_handled_by_the_others(
    begin: Begin, scale: float
) -> None:
    # It comes back in the belief that nothing has happened, with records that are others' by now.
    async with begin("stall", records=40_000, rate=1000, bound=of_one) as trial:
        for _ in range(max(1, round(10 * scale))):
            await trial.pause(2)
            victim = trial.anyone()
            victim.send_signal(signal.SIGSTOP)
            await sleep(3)  # longer than a session
            victim.send_signal(signal.SIGCONT)
            trial.faults += 1
            await trial.resumes(time.time(), within=30)


async def test_members_come_and_go(begin: Begin, scale: float) -> None:
    settings = {"longest_ms": 50.0, **PATIENT}
    async with begin(
        "come and go",
        records=30_000,
        rate=500,
        keys=500,
        workers=2,
        settings=settings,
        bound=of_unfinished,
    ) as trial:
        for _ in range(max(3, round(30 * scale))):
            await trial.pause(2)
            size = len(trial.fleet.members)
            if size == 1 or (size < 4 and trial.random.random() < 0.5):
                await trial.fleet.ready(await trial.fleet.start())
            else:
                await trial.fleet.stop(trial.anyone())
            trial.faults += 1


async def test_a_takeover_waits_only_for_what_is_begun(begin: Begin, scale: float) -> None:
    # Far more waits in the mailbox than can be handled in the time that the takeover may take.
    settings = {"longest_ms": 600.0, "mailbox": 256, **PATIENT}
    async with begin(
        "takeover",
        records=round(350 / scale),
        rate=1000,
        keys=350,
        workers=1,
        settings=settings,
        bound=of_none,
    ) as trial:
        await trial.author.done.wait()
        await trial.resumes(time.time(), within=10)
        second = await trial.fleet.start()
        trial.faults += 1
        took = await trial.fleet.takeover(second)

    assert took < (0.6 + 3) * trial.plan.slowness


async def test_a_restart_of_the_server_is_survived(
    begin: Begin, scale: float, node: KafkaNode
) -> None:
    async with begin(
        "server", records=50_000, rate=800, workers=2, bound=of_all, direct=node.address
    ) as trial:
        for turn in range(max(2, round(10 * scale))):
            await trial.pause(2)
            how = signal.SIGKILL if turn % 2 else signal.SIGTERM
            await to_thread.run_sync(node.stop, how)
            await to_thread.run_sync(node.start)
            trial.faults += 1
            await trial.resumes(time.time(), within=30)


async def test_connections_that_are_cut_heal(begin: Begin, scale: float, node: KafkaNode) -> None:
    async with (
        proxy(node.proxy, node.proxied) as network,
        begin(
            "network",
            records=35_000,
            rate=400,
            workers=2,
            settings={"options": {"request_timeout_ms": 5_000}},
            bound=of_all,
            direct=node.address,
            through=node.proxy,
        ) as trial,
    ):
        for _ in range(max(3, round(30 * scale))):
            await sleep(2)
            network.cut()
            trial.faults += 1
        await trial.pause(1)
        network.swallow()
        await sleep(3)  # longer than a session
        network.restore()
        trial.faults += 1
        await trial.resumes(time.time(), within=30)


async def test_a_graceful_stop_repeats_nothing(begin: Begin, scale: float) -> None:
    async with begin(
        "stop", records=70_000, rate=1200, workers=2, settings=PATIENT, bound=of_none
    ) as trial:
        for _ in range(max(3, round(30 * scale))):
            await trial.pause(1.5)
            if trial.random.random() < 0.3:
                await trial.fleet.stop_all()
                await trial.fleet.start()
            else:
                await trial.fleet.stop(trial.anyone())
            await trial.fleet.start()
            trial.faults += 1


async def test_a_rolling_restart_repeats_nothing(begin: Begin, scale: float) -> None:
    async with begin(
        "rolling", records=300_000, rate=250, workers=1, bound=of_none,
        settings={**PATIENT, "pool": 3},
    ) as trial:  # fmt: skip
        for times in range(max(2, round(10 * scale))):
            await trial.pause(2)
            trial.anyone().send_signal(signal.SIGHUP)
            trial.faults += 1
            renewed = partial(trial.fleet.has_pool, times + 2)
            await until(renewed, "all workers to be new", 90)
        trial.author.stop()


async def test_poison_is_dead_lettered_once_and_the_others_go_on(begin: Begin) -> None:
    async with begin(
        "poison",
        records=50_000,
        rate=1200,
        workers=2,
        poison=0.01,
        settings={**PATIENT, "crashes": 0.1},
        bound=of_none,
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
