"""Starts and stops the children of one supervisor; decides nothing."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from functools import partial

import anyio
from anyio.abc import TaskGroup

from callboard_actors._errors import StartTimeout, SupervisorStopped, Unkillable
from callboard_actors.events import ActorStarted, ActorStarting, ActorStopping, Notify
from callboard_actors.supervision._child import Child, ChildSpec
from callboard_actors.supervision._decisions import Decision
from callboard_actors.supervision._exits import ExitReason
from callboard_actors.supervision._slot import Exit, Incarnation, Slot


class Children:
    """The children of one run of a supervisor, and the ways to start, stop and await them.

    Attributes:
        slots: By id, in the order in which they are started.
        exits: Lives that have ended and that the supervisor has not judged yet.
        stop_at: The deadline of the stop that was asked for; None if none was.
        fatal: What ends the process, if a child raised it.
    """

    def __init__(self, path: str, specs: Iterable[ChildSpec], notify: Notify) -> None:
        self.path = path
        self.slots = {spec.id: self.slot(spec) for spec in specs}
        self.exits: deque[tuple[Slot, Incarnation]] = deque()
        self.stop_at: float | None = None
        self.fatal: BaseException | None = None
        self.notify = notify
        self._changed = anyio.Event()
        self._context = copy_context()

    def slot(self, spec: ChildSpec) -> Slot:
        """Return an empty place for *spec*."""
        return Slot(spec, f"{self.path}/{spec.id}")

    def stop(self, deadline: float = math.inf) -> None:
        """Note that a stop is asked for; those who are stopping already get the new deadline."""
        if self.stop_at is not None and deadline >= self.stop_at:
            return
        self.stop_at = deadline
        for slot in self.slots.values():
            if slot.incarnation is not None and slot.incarnation.child.stop_requested:
                slot.incarnation.child.stop(deadline)
        self._changed.set()

    async def start(self, tasks: TaskGroup, slot: Slot) -> BaseException | None:
        """Start *slot* and wait until it is ready; return what went wrong, also if stopped."""
        if self.stop_at is not None:
            return self._too_late(slot)
        spec, now = slot.spec, anyio.current_time()
        slot.restarts += slot.last is not None
        slot.state = "starting"
        child = Child(slot.path, partial(self._look_at, slot), cancel_grace=spec.cancel_grace)
        incarnation = slot.incarnation = Incarnation(child, now)
        self.notify(ActorStarting(slot.path))
        live = partial(incarnation.live, spec, partial(self._ended, slot, incarnation))
        # Not in the context of whoever caused the start, a message perhaps. A copy, since a
        # context cannot be entered twice.
        self._context.copy().run(partial(tasks.start_soon, live, name=slot.path))
        await self.wait(
            lambda: child.started or incarnation.is_over or self.stop_at is not None,
            lambda: now + spec.start_timeout,
        )
        return await self._started(slot, incarnation)

    async def terminate(self, slots: Sequence[Slot]) -> None:
        """Stop *slots*, all at the same time: ask, let them drain, cancel."""
        drained = anyio.current_time() + max((slot.spec.drain for slot in slots), default=0.0)
        lives: list[Incarnation] = []
        for slot in slots:
            if slot.incarnation is None:
                slot.state = "stopped" if slot.survivor is None else slot.state
                continue
            if slot.state != "stopping":
                slot.state = "stopping"
                self.notify(ActorStopping(slot.path))
            slot.incarnation.child.stop(self._no_later_than(drained))
            lives.append(slot.incarnation)
        await self.wait(_ended(lives), lambda: self._no_later_than(drained))
        await self.kill(slots)

    async def kill(self, slots: Sequence[Slot]) -> None:
        """Cancel *slots*, see them end, and record how."""
        lives = [(slot, slot.incarnation) for slot in slots if slot.incarnation is not None]
        for _, incarnation in lives:
            incarnation.scope.cancel()
        until = anyio.current_time() + max((_grace(*each) for each in lives), default=0.0)
        await self.wait(_ended([incarnation for _, incarnation in lives]), lambda: until)
        for slot, incarnation in lives:
            if not incarnation.has_begun:
                incarnation.exit = incarnation.exit or Exit(ExitReason("foreign_cancel"))
            if incarnation.exit is None:
                self.set_aside(slot, incarnation)
            else:
                self.record(slot, incarnation, incarnation.exit)

    def patience(self) -> float:
        """Return how long this supervisor takes if it is cancelled.

        It is a little more than its children may take: of what lives on, they are the first to
        hear, and they alone are blamed.
        """
        lives = [
            (slot, slot.incarnation) for slot in self.slots.values() if slot.incarnation is not None
        ]
        return 1.1 * max((_grace(*each) for each in lives), default=0.0)

    async def terminate_all(self, *, at_once: bool) -> None:
        """Stop all slots in reverse order, or *at_once*; if cancelled, at once."""
        slots = list(reversed(self.slots.values()))
        try:
            for step in [slots] if at_once else [[slot] for slot in slots]:
                await self.terminate(step)
        except anyio.get_cancelled_exc_class():
            # The children are being cancelled with us; see them out.
            with anyio.CancelScope(shield=True):
                await self.kill(slots)
            raise
        finally:
            self.exits.clear()

    def record(
        self, slot: Slot, incarnation: Incarnation, end: Exit, verdict: Decision | None = None
    ) -> None:
        """Note how *incarnation*, the present one of *slot*, has ended."""
        if slot.incarnation is not incarnation:
            return
        now = anyio.current_time()
        if incarnation.child.started and now - incarnation.began >= slot.spec.backoff.reset_after:
            slot.streak = 0
        slot.incarnation = None
        slot.state = "stopped"
        self._note(slot, end, verdict)

    def set_aside(self, slot: Slot, incarnation: Incarnation) -> None:
        """Note that *incarnation* goes on. Who only waits for what is below is not blamed."""
        if slot.incarnation is not incarnation:
            return
        slot.incarnation, slot.survivor = None, incarnation
        if not incarnation.child.survivor:
            slot.state = "unkillable"
            self._note(slot, Exit(ExitReason("unkillable")))
            return
        slot.state = "stopping"
        if incarnation.end is not None:
            self._heed(incarnation.end)
        incarnation.child.failure = None  # it would keep its frames alive

    def survivor(self) -> str:
        """Return the path of one that lives on; empty if there is none."""
        lives = ((slot, slot.survivor) for slot in self.slots.values())
        return next(
            (incarnation.child.survivor or slot.path for slot, incarnation in lives if incarnation),
            "",
        )

    def forget(self, slot: Slot) -> None:
        """Free the id of *slot*; if it lives on, when it has ended."""
        if slot.survivor is not None:
            slot.is_leaving = True
        elif self.slots.get(slot.spec.id) is slot:
            del self.slots[slot.spec.id]

    def require_end(self, slot: Slot, cause: BaseException | None = None) -> None:
        """Refuse to go on as if *slot* had ended.

        Raises:
            Unkillable: It lives on.
        """
        if slot.survivor is not None:
            who = slot.survivor.child.survivor or slot.path
            message = f"{who} lives on after it was cancelled; nothing can replace {slot.path}"
            raise Unkillable(message) from cause

    async def wait(self, done: Callable[[], bool], until: Callable[[], float]) -> None:
        """Wait until *done* or the time *until*; both are asked again whenever something changes."""
        while not done() and anyio.current_time() < until():
            if self._changed.is_set():
                self._changed = anyio.Event()
            with anyio.CancelScope(deadline=until()):
                await self._changed.wait()

    def wake(self) -> None:
        """Have those who wait look again."""
        self._changed.set()

    async def _started(self, slot: Slot, incarnation: Incarnation) -> BaseException | None:
        child = incarnation.child
        if not child.started:
            if incarnation.end is not None and incarnation.end.reason.abnormal:
                return self._failed(slot, incarnation, incarnation.end)
            # By another task than this one, which was to wait until it is ready.
            if child.stop_requested or self.stop_at is not None:
                return self._too_late(slot)
            if incarnation.exit is None:
                await self.kill([slot])
                return StartTimeout(f"{slot.path} was not ready after {slot.spec.start_timeout} s")
        elif child.stop_requested or slot.incarnation is not incarnation:
            return None
        slot.state = "running"
        incarnation.began = anyio.current_time()
        self.notify(ActorStarted(slot.path))
        if incarnation.exit is not None:
            self._ended(slot, incarnation)
        return None

    def _failed(self, slot: Slot, incarnation: Incarnation, end: Exit) -> BaseException:
        if incarnation.exit is None:
            self.set_aside(slot, incarnation)
        else:
            self.record(slot, incarnation, end)
        stopped = self.fatal is not None or end.error is None
        return self._too_late(slot) if stopped or end.error is None else end.error

    def _too_late(self, slot: Slot) -> SupervisorStopped:
        if self.stop_at is None:
            return SupervisorStopped(f"{slot.path} is stopping; it was not started")
        return SupervisorStopped(f"{self.path} is stopping; {slot.path} was not started")

    def _no_later_than(self, time: float) -> float:
        return time if self.stop_at is None else min(time, self.stop_at)

    def _ended(self, slot: Slot, incarnation: Incarnation) -> None:
        if slot.survivor is incarnation and incarnation.exit is not None:
            slot.survivor, slot.state = None, "stopped"
            self._note(slot, incarnation.exit)
            if slot.is_leaving:
                self.forget(slot)
        self.exits.append((slot, incarnation))
        self.wake()

    def _look_at(self, slot: Slot) -> None:
        """Hear that the incarnation of *slot* is ready, or held up."""
        if slot.incarnation is not None and slot.incarnation.child.survivor:
            self.exits.append((slot, slot.incarnation))
        self.wake()

    def _note(self, slot: Slot, end: Exit, verdict: Decision | None = None) -> None:
        slot.last = end.reason
        slot.last_at = anyio.current_time()
        self.notify(end.told(slot.path, verdict))
        self._heed(end)

    def _heed(self, end: Exit) -> None:
        if end.is_fatal:
            self.fatal = end.error
            self.stop()


def _grace(slot: Slot, incarnation: Incarnation) -> float:
    patience = incarnation.child.patience
    return max(slot.spec.cancel_grace, patience() if patience is not None else 0.0)


def _ended(lives: Sequence[Incarnation]) -> Callable[[], bool]:
    """Return what tells whether all *lives* have ended; it looks at each about once."""
    waiting = list(lives)

    def ended() -> bool:
        while waiting and waiting[-1].is_over:
            waiting.pop()
        return not waiting

    return ended
