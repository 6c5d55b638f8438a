"""Who keeps the event loop from turning: on a real clock, since a virtual one never lags."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import anyio
import pytest

from callboard import App, Event, MemoryBroker
from callboard._watchdog import Culprit, Watchdog
from callboard_actors import Child

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def spin(seconds: float) -> None:
    """Keep the processor busy."""
    until = perf_counter() + seconds
    while perf_counter() < until:
        pass


async def grind(child: Child, seconds: float) -> None:
    spin(seconds)


async def test_whoever_runs_while_the_loop_is_late_is_seen() -> None:
    watchdog = Watchdog(0.01)
    with watchdog.watching():
        watchdog.beat()
        await grind(Child("app/mill"), 0.15)
        culprit = watchdog.beat()

    assert culprit is not None
    assert culprit.path == "app/mill"
    assert culprit.where.startswith("test_watchdog.py:")
    assert culprit.where.endswith("in spin")


async def test_who_runs_longest_is_the_culprit() -> None:
    watchdog = Watchdog(0.01)
    with watchdog.watching():
        watchdog.beat()
        await grind(Child("app/short"), 0.07)
        await grind(Child("app/long"), 0.15)
        culprit = watchdog.beat()

    assert culprit is not None
    assert culprit.path == "app/long"


async def test_code_outside_of_the_tree_has_no_path() -> None:
    watchdog = Watchdog(0.01)
    with watchdog.watching():
        watchdog.beat()
        spin(0.15)
        culprit = watchdog.beat()

    assert isinstance(culprit, Culprit)
    assert culprit.path == ""


async def test_nobody_is_seen_while_the_loop_turns() -> None:
    watchdog = Watchdog(1.0)
    with watchdog.watching():
        spin(0.1)

        assert watchdog.beat() is None


@pytest.mark.slow
async def test_the_culprit_is_named_and_not_who_waits_for_something(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    lag, told = anyio.Event(), list[Event]()

    @broker.subscriber("letters")
    async def wait(letter: int) -> None:
        await lag.wait()

    @broker.subscriber("parcels")
    async def mill(parcel: int) -> None:
        spin(0.4)

    def hear(event: Event) -> None:
        if event.name == "loop.lag":
            told.append(event)
            lag.set()

    broker.events.subscribe(hear)
    app = App(broker, inspect=tmp_path / "s")
    await app.start()
    await broker.publish(1, "letters")
    await anyio.sleep(0.1)
    await broker.publish(1, "parcels")
    with anyio.fail_after(5):
        await lag.wait()
    await app.stop()

    assert told[0].path == "app/memory/subscriptions/mill(parcels)/workers/worker-0"
    assert str(told[0].attributes["where"]).endswith("in spin")
    assert told[0].attributes["seconds"] == pytest.approx(0.35, abs=0.15)
