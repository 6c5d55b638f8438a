"""Supervisors that end with their significant children, as in OTP."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from callboard_actors import (
    AutoShutdown,
    ChildSpec,
    Event,
    Restart,
    SpecError,
    StopActor,
    Supervisor,
)

from .parts import Part, crash, node, parts, running, steady

pytestmark = pytest.mark.anyio


def significant(part: Part, restart: Restart = "transient") -> ChildSpec:
    return replace(part.spec(restart), significant=True)


def quiet(log: list[str]) -> list[Part]:
    """Return parts that end normally when they are told to."""
    children = parts(log)
    for part in children:
        part.error = None
    return children


@pytest.mark.parametrize(
    ("auto_shutdown", "after_one", "after_two"),
    [("any_significant", True, True), ("all_significant", False, True)],
)
async def test_a_supervisor_ends_with_any_or_all_of_its_significant_children(
    auto_shutdown: AutoShutdown, after_one: bool, after_two: bool
) -> None:
    log: list[str] = []
    first, second, third = quiet(log)
    specs = [first.spec(), significant(second), significant(third, "temporary")]
    supervisor = Supervisor(specs, auto_shutdown=auto_shutdown)
    async with running(supervisor):
        await crash(third)
        assert (supervisor.tree().state == "stopped") == after_one
        await crash(second)
        assert (supervisor.tree().state == "stopped") == after_two

    assert log[-1] == "-a"


async def test_the_others_are_stopped_in_reverse_and_it_is_told() -> None:
    events: list[Event] = []
    log: list[str] = []
    first, second, third = quiet(log)
    specs = [first.spec(), significant(second), third.spec()]
    async with running(Supervisor(specs, auto_shutdown="any_significant", notify=events.append)):
        log.clear()
        await crash(second)

    assert log == ["-c", "-a"]
    (told,) = [event for event in events if event.name == "supervisor.auto_shutdown"]
    assert (told.path, told.attributes["child"]) == ("supervisor", "b")


async def test_a_significant_child_that_is_restarted_has_not_ended() -> None:
    part = Part("a", [])
    supervisor = Supervisor([significant(part)], auto_shutdown="any_significant")
    async with running(supervisor):
        await crash(part)
        assert supervisor.tree().state == "running"
        part.error = StopActor()
        await crash(part)
        assert supervisor.tree().state == "stopped"


async def test_a_temporary_significant_child_ends_it_by_a_crash_too() -> None:
    part = Part("a", [])
    supervisor = Supervisor([significant(part, "temporary")], auto_shutdown="all_significant")
    async with running(supervisor):
        await crash(part)
        assert supervisor.tree().state == "stopped"


async def test_a_significant_child_that_is_stopped_with_its_group_does_not_end_it() -> None:
    first, second, _ = parts([])
    specs = [first.spec(), significant(second, "temporary")]
    supervisor = Supervisor(specs, "rest_for_one", auto_shutdown="any_significant")
    async with running(supervisor):
        await crash(first)
        assert [child.id for child in supervisor.tree().children] == ["a"]
        assert supervisor.tree().state == "running"


async def test_a_significant_child_that_somebody_stops_does_not_end_it() -> None:
    first, second, _ = parts([])
    specs = [first.spec(), significant(second)]
    supervisor = Supervisor(specs, auto_shutdown="any_significant")
    async with running(supervisor):
        await supervisor.stop_child("b")
        assert supervisor.tree().state == "running"


async def test_one_that_has_been_stopped_no_longer_keeps_it_from_ending() -> None:
    first, second, _ = quiet([])
    specs = [significant(first), significant(second)]
    supervisor = Supervisor(specs, auto_shutdown="all_significant")
    async with running(supervisor):
        await supervisor.stop_child("a")
        await crash(second)
        assert supervisor.tree().state == "stopped"


async def test_a_supervisor_that_has_shut_down_is_not_restarted_by_the_one_above() -> None:
    part, *_ = quiet([])
    inner = Supervisor([significant(part)], auto_shutdown="any_significant")
    outer = Supervisor([ChildSpec("inner", inner.run, restart="transient")])
    async with running(outer):
        await crash(part)
        assert node(outer, "inner").last_exit == "normal"
        assert node(outer, "inner").state == "stopped"


async def test_a_dynamic_supervisor_may_end_with_its_last_session() -> None:
    first, second, _ = quiet([])
    supervisor = Supervisor(strategy="dynamic", auto_shutdown="all_significant")
    async with running(supervisor):
        for part in (first, second):
            await supervisor.start_child(significant(part, "temporary"))
        await crash(first)
        assert supervisor.tree().state == "running"
        await crash(second)
        assert supervisor.tree().state == "stopped"


def test_nothing_is_significant_where_nothing_shuts_down() -> None:
    part = Part("a", [])
    with pytest.raises(SpecError, match="significant child 'a', but auto_shutdown='never'"):
        Supervisor([significant(part)])


async def test_nor_is_what_is_added() -> None:
    part = Part("a", [])
    async with running(supervisor := Supervisor()):
        with pytest.raises(SpecError, match="significant child 'a'"):
            await supervisor.start_child(significant(part))
        assert supervisor.tree().children == ()


def test_a_permanent_child_cannot_be_significant() -> None:
    with pytest.raises(SpecError, match="'a' is permanent and significant"):
        ChildSpec("a", steady, significant=True)


def test_a_permanent_child_cannot_be_a_supervisor_that_shuts_down() -> None:
    inner = Supervisor(auto_shutdown="any_significant")

    with pytest.raises(SpecError, match="'inner' is a supervisor with auto_shutdown="):
        Supervisor([ChildSpec("inner", inner.run)])


@pytest.mark.parametrize(
    ("option", "match"),
    [
        ({"strategy": "one_for_some"}, "strategy='one_for_some'; choose of one_for_one"),
        ({"auto_shutdown": "always"}, "auto_shutdown='always'; choose of never"),
        ({"intensity": -1}, "intensity=-1"),
        ({"period": 0}, "period=0"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(option: dict[str, object], match: str) -> None:
    with pytest.raises(SpecError, match=match):
        Supervisor([], **option)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - wrong on purpose


def test_an_unknown_restart_type_is_refused() -> None:
    with pytest.raises(SpecError, match="restart='always'; choose of permanent"):
        ChildSpec("a", steady, restart="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - wrong on purpose


async def test_one_that_is_about_to_return_with_its_group_has_not_ended() -> None:
    log: list[str] = []
    first, second = parts(log)[:2]
    supervisor = Supervisor(
        [significant(first), significant(second)], "one_for_all", auto_shutdown="all_significant"
    )
    async with running(supervisor):
        await crash(first)
        first.error, first.failing_starts = StopActor(), 1
        await crash(second)
        assert supervisor.tree().state == "running"
        await anyio.sleep(10)
        assert node(supervisor, "b").state == "running"
