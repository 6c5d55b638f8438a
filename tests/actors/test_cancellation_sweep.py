"""One scenario, cancelled at each of its checkpoints in turn: no message is lost or doubled.

The scenario has a mailbox that fills up, a message that crashes its actor once, one that is
quarantined, one that fails and is resumed, and an end. Three tasks take part in it: who puts the
messages, an actor that handles them, and the supervisor. One of them is struck.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from functools import partial
from itertools import count
from types import coroutine
from typing import Any, Literal, TypeAlias

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from callboard_actors import (
    ActorCrash,
    Backoff,
    Child,
    ChildSpec,
    Decision,
    Mailbox,
    MailboxClosed,
    Supervisor,
    serve,
)

from .virtual import examples, run

Target: TypeAlias = Literal["sender", "actor", "supervisor"]
Way: TypeAlias = Literal["by scope", "natively", "natively when woken"]
Kind: TypeAlias = Literal["ok", "crash once", "poison", "fail"]

SCENARIO: tuple[Kind, ...] = (
    *("ok", "crash once", "ok", "poison", "fail", "ok", "crash once", "ok", "fail", "poison", "ok"),
)
WAYS: dict[str, list[Way]] = {
    "asyncio": ["by scope", "natively", "natively when woken"],
    "trio": ["by scope"],
}
CASES = [
    pytest.param(backend, way, target, lanes, id=f"{target}, {way}, lanes={lanes}, {backend}")
    for backend, ways in WAYS.items()
    for way in ways
    for target in ("sender", "actor", "supervisor")
    for lanes in (False, True)
]
logger = logging.getLogger(__name__)


class Note:
    """A message."""

    def __init__(self, number: int, kind: Kind) -> None:
        self.number = number
        self.kind = kind
        self.tries = 0


@coroutine
def stepping(
    work: Coroutine[Any, Any, None], before_wait: Callable[[object], None]
) -> Generator[Any, Any, None]:
    """Run *work*, and call *before_wait* at each checkpoint with what it is about to wait for."""
    resume: Callable[[], object] = partial(work.send, None)
    while True:
        try:
            awaited = resume()
        except StopIteration:
            return
        before_wait(awaited)
        try:
            value = yield awaited
        except BaseException as error:  # noqa: BLE001 - it is for the work
            resume = partial(work.throw, error)
        else:
            resume = partial(work.send, value)


class Scenario:
    """Messages on their way from a sender to an actor that is supervised.

    Args:
        target: Which task is struck.
        strikes: At which of its checkpoints, counted from 1, across its lives.
        way: How.
        lanes: Whether there are two actors and the messages have keys; else it is one of each.
    """

    def __init__(self, target: Target, strikes: set[int], way: Way, *, lanes: bool) -> None:
        self.target = target
        self.strikes = strikes
        self.way = way
        self.outside = deque(Note(n, kind) for n, kind in enumerate(SCENARIO))
        self.sent = [*self.outside]
        self.settled: list[Note] = []
        self.passed = 0
        self.mailbox = Mailbox[Note](2, lane=(lambda note: note.number % 3) if lanes else None)
        self.readers = [self.mailbox.reader() for _ in range(1 + lanes)]

    async def play(self) -> None:
        actors = [
            ChildSpec(
                f"actor-{n}",
                partial(self._act, n),
                restart="transient",
                significant=True,
                cancel_grace=1,
                backoff=Backoff(jitter="none"),
            )
            for n in range(len(self.readers))
        ]
        tree = Supervisor(actors, intensity=100, auto_shutdown="all_significant")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send_all, tree)
            tasks.start_soon(self._supervise, tree, tasks.cancel_scope)
        queued = self.mailbox.drain()
        places = Counter([*self.outside, *queued, *self._held(), *self.settled])

        assert [places[note] for note in self.sent] == [1] * len(self.sent)

    def check(self) -> None:
        """No message is nowhere, or in two places. Nothing is touched: a task is about to wait."""
        found = [len(self.outside), len(self.mailbox), len(self._held()), len(self.settled)]

        assert sum(found) == len(self.sent), found

    def _held(self) -> list[Note]:
        return [reader.current for reader in self.readers if reader.current is not None]

    async def _supervise(self, tree: Supervisor, scope: anyio.CancelScope) -> None:
        if await self._struck("supervisor", tree.run):
            scope.cancel()

    async def _send_all(self, tree: Supervisor) -> None:
        with suppress(MailboxClosed):
            while self.outside:
                await self._struck("sender", self._send)
        if self.target == "supervisor":
            tree.stop()  # so that the ways of a stop are swept as well
        else:
            self.mailbox.close()

    async def _send(self) -> None:
        while self.outside:
            await self.mailbox.put(self.outside[0])
            self.outside.popleft()

    async def _act(self, number: int, child: Child) -> None:
        child.on_stop(self.mailbox.close)
        child.ready()
        work = partial(
            serve,
            self._receive,
            self.readers[number],
            quarantine=self._settle,
            decide=[(ValueError, Decision.RESUME)],
            failed=self._settle,
        )
        if number:
            await work()
        elif await self._struck("actor", work):
            raise ActorCrash

    async def _receive(self, note: Note) -> None:
        note.tries += 1
        await checkpoint()
        if note.kind == "poison" or (note.kind == "crash once" and note.tries == 1):
            raise ActorCrash
        if note.kind == "fail":
            raise ValueError
        await self._settle(note)

    async def _settle(self, note: Note, _: object = None) -> None:
        await checkpoint()
        self.settled.append(note)

    async def _struck(self, who: Target, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run *work*, struck if it is the target's; return whether it was cut off by a scope."""
        if who != self.target:
            await work()
            return False
        with anyio.CancelScope() as scope:
            try:
                await stepping(work(), partial(self._pass, scope))
            except anyio.get_cancelled_exc_class():
                if self.way == "by scope":
                    raise
                return who == "supervisor"
        return scope.cancel_called

    def _pass(self, scope: anyio.CancelScope, awaited: object) -> None:
        self.check()
        self.passed += 1
        if self.passed not in self.strikes:
            return
        if self.way == "by scope":
            scope.cancel()
            return
        task = asyncio.current_task()
        assert task is not None
        if self.way == "natively when woken" and isinstance(awaited, asyncio.Future):
            future: asyncio.Future[object] = awaited  # pyright: ignore[reportUnknownVariableType] - isinstance can't say of what
            # Before the callback by which the future wakes the task.
            future.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


def finished(scenario: Scenario) -> list[int]:
    return [note.number for note in scenario.settled]


@pytest.mark.parametrize(("backend", "way", "target", "lanes"), CASES)
def test_a_cancellation_at_any_checkpoint_leaves_each_message_in_one_place(
    backend: str, way: Way, target: Target, lanes: bool
) -> None:
    at = 0
    for at in count(1):
        scenario = Scenario(target, {at}, way, lanes=lanes)
        run(backend, scenario.play)
        if scenario.passed < at:
            break
        if target != "supervisor":
            assert sorted(finished(scenario)) == [note.number for note in scenario.sent]
        if not lanes:
            assert finished(scenario) == sorted(finished(scenario))
    logger.info("cancelled %s %s at each of %d checkpoints", target, way, at - 1)

    assert at > 4


@pytest.mark.timeout(600)  # CALLBOARD_EXAMPLES may ask for many
@pytest.mark.parametrize("backend", WAYS)
@examples
@given(data=st.data(), strikes=st.sets(st.integers(1, 60), max_size=6), lanes=st.booleans())
def test_nor_do_several_cancellations_lose_one(
    backend: str, data: st.DataObject, strikes: set[int], lanes: bool
) -> None:
    way = data.draw(st.sampled_from(WAYS[backend]))
    target: Target = data.draw(st.sampled_from(["sender", "actor"]))
    scenario = Scenario(target, strikes, way, lanes=lanes)
    run(backend, scenario.play)

    assert sorted(finished(scenario)) == [note.number for note in scenario.sent]
