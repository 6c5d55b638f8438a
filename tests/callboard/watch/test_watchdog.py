"""Who keeps the event loop from turning: on a real clock, since a virtual one never lags."""

from __future__ import annotations

import selectors
import socket
import threading
from time import perf_counter

import anyio
import anyio.to_thread
import pytest

from callboard import App, Event, MemoryBroker
from callboard.watch._watchdog import LAG, Culprit, Watchdog
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


class Kennel:
    """What a watchdog has told, and barked meanwhile: after 0.2 s, 1 s and so on."""

    def __init__(self, lag: float = LAG) -> None:
        self.barks: list[tuple[float, Culprit]] = []
        self.heard = threading.Event()
        self._told = anyio.Event()
        self.watchdog = Watchdog(self._hear, self._hear_bark, long=0.2, lag=lag)

    def spin(self, barks: int = 1) -> None:
        """Keep the processor busy until so many barks are heard, however busy it is anyway."""
        until = perf_counter() + 30
        while len(self.barks) < barks and perf_counter() < until:
            pass

    def _hear_bark(self, seconds: float, culprit: Culprit) -> None:
        self.barks.append((seconds, culprit))
        self.heard.set()

    def _hear(self, seconds: float, culprit: Culprit) -> None:
        self.seconds, self.culprit = seconds, culprit
        self._told.set()

    async def told(self) -> Culprit:
        with anyio.fail_after(30):
            await self._told.wait()
        return self.culprit


async def grind(child: Child, kennel: Kennel, barks: int = 1) -> None:
    kennel.spin(barks)


async def test_whoever_runs_while_the_loop_is_late_is_told() -> None:
    kennel = Kennel()
    with kennel.watchdog.watching():
        await grind(Child("app/mill"), kennel)
        culprit = await kennel.told()

    assert culprit.path == "app/mill"
    assert culprit.where.startswith("test_watchdog.py:")
    assert culprit.where.endswith("in Kennel.spin")
    assert kennel.seconds >= kennel.barks[0][0] > 0.2


@pytest.mark.slow
async def test_who_runs_longest_is_the_culprit() -> None:
    kennel = Kennel()
    with kennel.watchdog.watching():
        await grind(Child("app/short"), kennel)
        await grind(Child("app/long"), kennel, barks=2)
        culprit = await kennel.told()

    assert culprit.path == "app/long"


async def test_who_waits_in_a_select_of_his_own_is_told() -> None:
    kennel = Kennel()
    with kennel.watchdog.watching(), selectors.DefaultSelector() as own:
        while not kennel.heard.is_set():
            own.select(0.5)
        culprit = await kennel.told()

    assert culprit.where.startswith("selectors.py:")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_waits_for_something_to_do_is_at_rest(backend: str) -> None:
    async def main() -> bool:
        return await anyio.to_thread.run_sync(look, Kennel().watchdog)

    def look(watchdog: Watchdog) -> bool:
        until = perf_counter() + 15
        while not (at_rest := watchdog.rests()) and perf_counter() < until:
            pass
        return at_rest

    assert anyio.run(main, backend=backend)  # not in the loop of a test, which has another's


async def test_a_loop_whose_handler_waits_is_not_at_rest() -> None:
    kennel, answers = Kennel(), list[bool]()

    def look() -> None:
        answers.append(kennel.watchdog.rests())
        mine.send(b"x")

    mine, other = socket.socketpair()
    with mine, other, selectors.DefaultSelector() as own:
        own.register(other, selectors.EVENT_READ)
        thread = threading.Timer(0.05, look)
        thread.start()
        own.select()
        thread.join()

    assert answers == [False]


async def test_code_outside_of_the_tree_has_no_path() -> None:
    kennel = Kennel()
    with kennel.watchdog.watching():
        kennel.spin()
        culprit = await kennel.told()

    assert culprit.path == ""


async def test_nobody_is_seen_while_the_loop_turns() -> None:
    kennel = Kennel(lag=10)  # more than a busy machine makes of the rest
    with kennel.watchdog.watching(), pytest.raises(TimeoutError), anyio.fail_after(0.5):
        await kennel.told()


@pytest.mark.slow
async def test_who_blocks_a_loop_that_was_idle_is_told_too() -> None:
    kennel = Kennel(lag=0.01)
    with kennel.watchdog.watching():
        await anyio.sleep(0.7)
        await grind(Child("app/mill"), kennel)
        culprit = await kennel.told()

    assert culprit.path == "app/mill"


@pytest.mark.slow
async def test_who_blocks_the_loop_is_named_while_it_lasts_and_ever_more_rarely() -> None:
    kennel = Kennel()
    with kennel.watchdog.watching():
        await grind(Child("app/mill"), kennel, barks=2)
        first, second = [at for at, _ in kennel.barks]

    assert first > 0.2
    assert second > 1
    assert {culprit.path for _, culprit in kennel.barks} == {"app/mill"}


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False], ids=["application", "broker"])
async def test_the_log_names_the_handler_that_has_kept_the_event_loop(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture, whole: bool
) -> None:
    lag = anyio.Event()

    @broker.subscriber("parcels")
    async def mill(parcel: int) -> None:
        spin(2)

    def hear(event: Event) -> None:
        # A busy machine may be late with anything else as well.
        if event.name == "loop.lag" and "mill" in event.path:
            lag.set()

    broker.events.subscribe(hear)
    runs: App | MemoryBroker = App(broker) if whole else broker
    await runs.start()
    await broker.publish(1, "parcels")
    with anyio.fail_after(30):
        await lag.wait()
    await runs.stop()

    lines = [each.getMessage() for each in caplog.records if "mill" in each.getMessage()]
    (line,) = [each for each in lines if "event loop" in each]
    assert "memory/subscriptions/mill(parcels)/workers/worker-0 has kept the event loop" in line
    assert line.endswith("in spin")


@pytest.mark.slow
async def test_the_culprit_is_named_and_not_who_waits_for_something(
    broker: MemoryBroker,
) -> None:
    lag, told = anyio.Event(), list[Event]()

    @broker.subscriber("letters")
    async def wait(letter: int) -> None:
        await lag.wait()

    @broker.subscriber("parcels")
    async def mill(parcel: int) -> None:
        spin(1)

    def hear(event: Event) -> None:
        if event.name == "loop.lag":
            told.append(event)
            # A busy machine may be late with anything else as well.
            if "mill" in event.path:
                lag.set()

    broker.events.subscribe(hear)
    app = App(broker)
    await app.start()
    await broker.publish(1, "letters")
    await anyio.sleep(0.1)
    await broker.publish(1, "parcels")
    with anyio.fail_after(30):
        await lag.wait()
    await app.stop()

    assert [event.path for event in told if "wait" in event.path] == []
    assert told[-1].path == "app/memory/subscriptions/mill(parcels)/workers/worker-0"
    assert str(told[-1].attributes["where"]).endswith("in spin")
