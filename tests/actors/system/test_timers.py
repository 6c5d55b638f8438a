from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import anyio
import pytest

from callboard_actors import ActorContext, ActorRef, ActorSystem, SpecError
from callboard_actors.testing import crash, idle, leak_check

pytestmark = pytest.mark.anyio


@dataclass
class Start:
    key: str
    delay: float | None = None
    every: float | None = None


@dataclass
class Cancel:
    key: str


@dataclass
class Sleep:
    seconds: float


Tick: TypeAlias = Start | Cancel | Sleep | str


class Ticker:
    """Notes when it ticks; does what else it is told."""

    def __init__(self, context: ActorContext[Tick]) -> None:
        self.timers = context.timers
        self.ticks: list[tuple[str, float]] = []

    async def receive(self, message: Tick) -> list[tuple[str, float]]:
        match message:
            case Sleep(seconds):
                await anyio.sleep(seconds)
            case Start(key, delay, every):
                self.timers.start(key, key, delay, every=every)
            case Cancel(key):
                self.timers.cancel(key)
            case str():
                self.ticks.append((message, anyio.current_time()))
        return self.ticks


async def spawn(system: ActorSystem) -> ActorRef[Tick]:
    return await system.spawn(Ticker, "ticker")


async def ticks(system: ActorSystem) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = await system.get("ticker").ask(Sleep(0))
    return found


async def seconds(system: ActorSystem, start: float) -> list[tuple[str, float]]:
    return [(key, round(at - start, 6)) for key, at in await ticks(system)]


async def test_a_timer_sends_its_message_once_after_the_delay() -> None:
    async with ActorSystem() as system:
        ticker, start = await spawn(system), anyio.current_time()
        ticker.tell(Start("tick", 2))
        await anyio.sleep(10)

        assert await seconds(system, start) == [("tick", 2)]


async def test_timers_of_several_keys_tick_in_the_order_of_their_time() -> None:
    async with ActorSystem() as system:
        ticker, start = await spawn(system), anyio.current_time()
        for key, delay in [("c", 3.0), ("a", 1.0), ("b", 2.0)]:
            ticker.tell(Start(key, delay))
        await anyio.sleep(10)

        assert await seconds(system, start) == [("a", 1), ("b", 2), ("c", 3)]


async def test_a_repeated_timer_keeps_its_pace() -> None:
    async with ActorSystem() as system:
        ticker, start = await spawn(system), anyio.current_time()
        ticker.tell(Start("tick", every=2))
        await anyio.sleep(7)

        assert await seconds(system, start) == [("tick", 2), ("tick", 4), ("tick", 6)]


async def test_a_slow_actor_misses_ticks_and_finds_one() -> None:
    async with ActorSystem() as system:
        ticker, start = await spawn(system), anyio.current_time()
        ticker.tell(Start("tick", every=1))
        ticker.tell(Sleep(5.5))
        await anyio.sleep(7.1)

        assert await seconds(system, start) == [("tick", 5.5), ("tick", 6), ("tick", 7)]


async def test_a_cancelled_timer_does_not_tick_even_if_its_tick_was_sent() -> None:
    async with ActorSystem() as system:
        ticker, start = await spawn(system), anyio.current_time()
        ticker.tell(Start("tick", 2))
        await idle()
        ticker.tell(Cancel("tick"))
        ticker.tell(Start("tock", 2))
        ticker.tell(Sleep(5.0))  # both ticks are sent, and read first when this is over
        await anyio.sleep(10)

        assert await seconds(system, start) == [("tock", 5)]


class Restarter:
    """Starts its timer anew while the tick of the earlier start lies in the mailbox."""

    def __init__(self, context: ActorContext[str]) -> None:
        self.timers = context.timers
        self.heard: list[str] = []

    async def receive(self, message: str) -> list[str]:
        if message == "begin":
            self.timers.start("key", "first", 1)
            await anyio.sleep(2)
            self.timers.start("key", "second", 1)
        elif message != "heard":
            self.heard.append(message)
        return self.heard


async def test_a_timer_that_was_started_anew_never_delivers_its_earlier_tick() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Restarter, "restarter")
        ref.tell("begin")
        await anyio.sleep(10)

        assert await ref.ask("heard") == ["second"]


async def test_a_timer_ends_with_the_life_that_started_it() -> None:
    async with ActorSystem() as system:
        ticker = await spawn(system)
        ticker.tell(Start("tick", every=1))
        await idle()
        crash(ticker)
        await anyio.sleep(10)

        assert await ticks(system) == []


async def test_a_timer_may_be_started_in_the_constructor() -> None:
    class Early(Ticker):
        def __init__(self, context: ActorContext[Tick]) -> None:
            super().__init__(context)
            context.timers.start("early", "early", 1, every=5)
            assert "early" in context.timers

    async with ActorSystem() as system:
        start = anyio.current_time()
        await system.spawn(Early, "ticker")
        await anyio.sleep(7)

        assert await seconds(system, start) == [("early", 1), ("early", 6)]


async def test_a_timer_started_for_every_message_leaves_nothing_behind() -> None:
    async with leak_check(), ActorSystem() as system:
        ticker = await spawn(system)
        for _ in range(200):
            ticker.tell(Start("silence", 60))
        await idle()
        tasks = [task for task in anyio.get_running_tasks() if "_tick" in str(task.name)]

        assert len(tasks) <= 1


@pytest.mark.parametrize(("delay", "every"), [(None, None), (1, 0), (None, -1)])
async def test_a_timer_needs_a_time(delay: float | None, every: float | None) -> None:
    async with ActorSystem() as system:

        class Wrong(Ticker):
            def __init__(self, context: ActorContext[Tick]) -> None:
                super().__init__(context)
                context.timers.start("key", "tick", delay, every=every)

        with pytest.raises(SpecError, match="timer 'key' has"):
            await system.spawn(Wrong, "wrong")
