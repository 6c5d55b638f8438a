"""Whoever starts and stops, in whatever order: all is running or stopped, and says which."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import anyio
import pytest
from anyio import create_task_group
from hypothesis import given
from hypothesis import strategies as st

from callboard import App, DeclarationError, MemoryBroker, NotRunning, Subscriber
from callboard_actors.testing import idle, leak_check

from ...actors.virtual import examples, run

# What is called, how many seconds after the step before it, and when its caller is cancelled.
Step = tuple[str, float, float | None]

STEPS = st.tuples(
    st.sampled_from(
        [
            *("app.start", "app.stop", "broker.start", "broker.stop", "broker.connect"),
            *("first.start", "first.stop", "second.start", "second.stop"),
        ]
    ),
    st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.5, 20.0]),
    st.sampled_from([None, None, None, 0.0, 0.5, 1.0, 1.5]),
)


class Stage:
    """An application of one broker, whose subscribers take their time to start and to stop."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.app = App(self.broker, on_startup=[partial(anyio.sleep, 0.5)])
        self.handled: list[str] = []
        self.first = self.subscriber("first")
        self.second = self.subscriber("second")
        self.calls: dict[str, Callable[[], Awaitable[None]]] = {
            f"{name}.{verb}": getattr(owner, verb)
            for name, owner in vars(self).items()
            for verb in ("start", "stop", "connect")
            if hasattr(owner, verb)
        }

    def subscriber(self, address: str) -> Subscriber:
        handled = self.handled
        subscriber = self.broker.subscriber(address)

        @subscriber
        class Slow:
            async def on_start(self) -> None:
                await anyio.sleep(1)

            async def receive(self, name: str) -> None:
                handled.append(name)

            async def on_stop(self, reason: object) -> None:
                await anyio.sleep(1)

        return subscriber

    async def call(self, name: str, patience: float | None) -> None:
        with suppress(NotRunning, DeclarationError), anyio.move_on_after(patience):
            await self.calls[name]()

    async def claimed(self) -> list[str]:
        """Return which subscribers say that they run."""
        return [n for n in ("first", "second") if getattr(self, n).running]

    async def heard(self) -> list[str]:
        """Return which subscribers handle what is published."""
        self.handled.clear()
        for address in ("first", "second"):
            with suppress(NotRunning):
                await self.broker.publish(address, address)
        await idle()
        return sorted(self.handled)


async def play(script: list[Step]) -> None:
    stage = Stage()
    app, broker = stage.app, stage.broker
    async with leak_check():
        with anyio.fail_after(1000):  # nobody waits for ever
            async with create_task_group() as group:
                for name, pause, patience in script:
                    await anyio.sleep(pause)
                    group.start_soon(stage.call, name, patience)
        claimed = await stage.claimed()
        assert await stage.heard() == claimed
        assert broker.running or not claimed

        for stop in (app.stop, broker.stop):
            await stop()
        assert (app.running, broker.running, await stage.claimed()) == (False, False, [])

        await app.start()
        assert await stage.heard() == ["first", "second"]
        await app.stop()


@pytest.mark.timeout(600)  # CALLBOARD_EXAMPLES may ask for many
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@examples
@given(script=st.lists(STEPS, max_size=10))
def test_any_interleaving_leaves_each_running_or_stopped_and_says_which(
    backend: str, script: list[Step]
) -> None:
    run(backend, partial(play, script))
