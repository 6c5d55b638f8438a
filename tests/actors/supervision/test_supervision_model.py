"""A supervisor does what OTP's would, whatever its children do: compared with a model of OTP."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial

import anyio
import pytest
from anyio import wait_all_tasks_blocked as idle
from hypothesis import event, given
from hypothesis import strategies as st

from callboard_actors import (
    AutoShutdown,
    Escalate,
    GaveUp,
    Restart,
    StopActor,
    Supervisor,
    SupervisorStopped,
)

from ..virtual import examples, run
from .otp import REST, Act, Declared, Model, Place
from .parts import Part

NAMES = "abcd"
ERRORS = {"finish": None, "stop itself": StopActor(), "escalate": Escalate()}
# A child's name; how it ends, or how often its next starts fail.
Script = list[tuple[str, Act | int]]

ACTS: list[Act] = [
    *("crash", "crash", "crash", "finish", "stop itself", "be stopped", "escalate"),
]
AUTO_SHUTDOWNS: list[AutoShutdown] = ["never", "any_significant", "all_significant"]
RESTARTS: list[Restart] = ["permanent", "transient", "temporary"]
acts: st.SearchStrategy[Act | int] = st.one_of(st.sampled_from(ACTS), st.integers(1, 4))
scripts = st.lists(st.tuples(st.sampled_from(NAMES), acts), max_size=12)


@st.composite
def declarations(draw: st.DrawFn) -> Declared:
    auto_shutdown: AutoShutdown = draw(st.sampled_from(AUTO_SHUTDOWNS))
    restarts = draw(st.lists(st.sampled_from(RESTARTS), min_size=1, max_size=len(NAMES)))
    places = [
        Place(
            name,
            restart,
            auto_shutdown != "never" and restart != "permanent" and draw(st.booleans()),
        )
        for name, restart in zip(NAMES, restarts, strict=False)
    ]
    return Declared(
        tuple(places),
        draw(st.sampled_from(["one_for_one", "rest_for_one", "one_for_all"])),
        auto_shutdown,
        draw(st.integers(0, 5)),
        draw(st.sampled_from([2.5, 10.5, 3.5 * REST])),  # between the delays
    )


async def play(declared: Declared, script: Script) -> tuple[list[str], str]:
    """Return the starts and stops of a real supervisor, and how it ended by itself."""
    log: list[str] = []
    parts = {place.id: Part(place.id, log) for place in declared.places}
    supervisor = Supervisor(
        [
            replace(parts[place.id].spec(place.restart), significant=place.significant)
            for place in declared.places
        ],
        declared.strategy,
        intensity=declared.intensity,
        period=declared.period,
        auto_shutdown=declared.auto_shutdown,
    )
    ended, end = list[str](), ""

    async def run() -> None:
        try:
            await supervisor.run()
            ended.append("shut down")
        except GaveUp:
            ended.append("gave up")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await idle()
        for name, act in script:
            await anyio.sleep(REST)
            if name in parts:
                await do(supervisor, parts[name], act)
        await anyio.sleep(REST)
        end = "".join(ended)
        supervisor.stop()
    return log, end


async def do(supervisor: Supervisor, part: Part, act: Act | int) -> None:
    if isinstance(act, int):
        part.failing_starts = act
    elif act == "be stopped":
        states = {node.id: node.state for node in supervisor.tree().children}
        if states.get(part.id) == "running":
            with suppress(SupervisorStopped):
                await supervisor.stop_child(part.id)
    else:
        part.error = ERRORS.get(act, RuntimeError("broken"))
        part.crash.set()
        await idle()
        part.error = RuntimeError("cannot start")


def expect(declared: Declared, script: Script) -> tuple[list[str], str]:
    model = Model(declared)
    for name, act in script:
        model.rest()
        if isinstance(act, int):
            model.failing_starts[name] = act
        else:
            model.act(name, act)
    if not model.end:
        model.stop()
    return model.log, model.end


@pytest.mark.timeout(600)  # CALLBOARD_EXAMPLES may ask for many
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@examples
@given(declared=declarations(), script=scripts)
def test_a_supervisor_does_what_otp_does(backend: str, declared: Declared, script: Script) -> None:
    expected = expect(declared, script)
    event(f"{declared.strategy}, {expected[1] or 'stopped'}")

    assert run(backend, partial(play, declared, script)) == expected
