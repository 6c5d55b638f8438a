"""Keeps children alive, in the manner of OTP, on structured concurrency.

A task group alone is a supervisor that never restarts: whatever escapes from one task cancels all
the others. Here nothing escapes. Each child runs in a wrapper (`_slot.py`) that turns every ending
into an `Exit` for the supervisor's own task, and that task alone decides.

Three things look harmless and are not:

* A cancellation that comes from no cancel scope (a client library cancelled a future that the
  child awaits, or somebody its task) makes an anyio task group cancel all siblings and the host,
  and end *without an exception*. The wrapper makes it an exit like any other.
* A task inherits the context variables of whoever starts it. All children are started in the
  context in which the supervisor was, never in that of a message that happened to crash one.
* There is no way to kill a task that swallows its cancellation. It is reported as unkillable, and
  `run` cannot return before it ends; whoever must leave in time has to end the process.

One thing is as in OTP and looks like a flaw: while the supervisor stops a child or waits for one to
be ready, it decides nothing else. What happens meanwhile is judged afterwards, in order.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

import anyio

from callboard_actors._errors import ForeignCancellation, GaveUp, SpecError, SupervisorStopped
from callboard_actors.events import (
    ActorRestarting,
    IntensityExceeded,
    Notify,
    SupervisorGaveUp,
    SupervisorShutDown,
    SupervisorStarted,
    ignore,
)
from callboard_actors.supervision._child import Child, ChildSpec
from callboard_actors.supervision._children import Children
from callboard_actors.supervision._decisions import Decision, decision
from callboard_actors.supervision._policy import AutoShutdown, Policy, Strategy
from callboard_actors.supervision._restarts import Intensity
from callboard_actors.supervision._slot import Incarnation, Slot
from callboard_actors.supervision._tree import Node, State


class Supervisor:
    """Starts children in order, restarts those that crash, stops them in reverse order.

    `run` is both the way to run a tree and the `ChildSpec.run` of a supervisor inside another
    one. One object runs once at a time and may run again.

    Attributes:
        auto_shutdown: As it was given; the children below know from it what they may be.

    Args:
        children: In the order in which they are started.
        strategy: Which children are restarted with one that crashed: none (`one_for_one`), those
            after it (`rest_for_one`), or all (`one_for_all`); a group counts as one restart, and
            its temporary children do not return. `dynamic` is `one_for_one` for any number of
            children that come and go: all come by `start_child`, and they are stopped all at the
            same time, with one deadline.
        intensity: How many restarts there may be within the period before it gives up; infinite:
            it never does for their number.
        period: In seconds.
        auto_shutdown: Whether it stops, and ends normally, when a significant child has ended by
            itself for good: `never`, `any_significant`, or `all_significant`: when none is left.
        name: Its id, if it is the root.
        notify: Told of every start, exit and restart.

    Raises:
        SpecError: An option makes no sense, two children have the same id, a child is significant
            where nothing is, or one is a permanent supervisor that shuts down by itself.
    """

    def __init__(  # noqa: PLR0913 - all but the first are options by name
        self,
        children: Iterable[ChildSpec] = (),
        strategy: Strategy = "one_for_one",
        *,
        intensity: float = 5,
        period: float = 30.0,
        auto_shutdown: AutoShutdown = "never",
        name: str = "supervisor",
        notify: Notify | None = None,
    ) -> None:
        self._specs = tuple(children)
        self._policy = Policy(name, strategy, intensity, period, auto_shutdown)
        self._policy.check(self._specs)
        self.auto_shutdown = auto_shutdown
        for spec in self._specs:
            _check_end(spec)
        self._notify = notify or ignore
        self._state: State = "new"
        self._children = Children(name, self._specs, self._notify)
        self._recent = Intensity(intensity, period)
        self._due: dict[Slot, float] = {}
        self._dismissed: deque[tuple[Slot, anyio.Event]] = deque()
        self._turn: AbstractAsyncContextManager[object] = nullcontext()

    async def run(self, child: Child | None = None) -> None:
        """Start the children and keep them up until `stop` is called.

        If cancelled, it cancels its children, all at once. Whatever ends it, no child is left
        when it returns or raises.

        Args:
            child: Its own place in the supervisor above it, which hears when all are up.

        Raises:
            GaveUp: There were too many restarts, or a child has escalated.
            Unkillable: A child that had to be replaced lived on.
            BaseException: What a child raised at the first start. `SystemExit` and
                `KeyboardInterrupt` of a child come out as themselves, after an orderly stop.
        """
        self._begin(child.path if child is not None and child.path else self._policy.name)
        if child is not None:
            child.describe = self.tree
            child.patience = self._children.patience
            child.on_stop(lambda: self.stop(child.deadline))
        failure: BaseException | None = None
        try:
            # Nothing may be raised inside the task group: it would come out wrapped in a group, or,
            # if it is a native cancellation, not at all.
            async with anyio.create_task_group() as self._tasks:
                try:
                    await self._supervise(child)
                except BaseException as error:  # noqa: BLE001 - raised again when all children are gone
                    failure = self._own(error)
                try:
                    await self._wind_down()
                except BaseException as error:  # noqa: BLE001 - as above
                    failure = failure or error
                if child is not None and (survivor := self._children.survivor()):
                    child.hold_up(survivor, self._children.fatal or failure)
        finally:
            self._state = "stopped"
        failure, self._children.fatal = self._children.fatal or failure, None
        if failure is not None:
            raise failure

    def stop(self, deadline: float | None = None) -> None:
        """Ask `run` to stop the children in reverse order, and return.

        Each is asked to stop, has its `drain` seconds to do so, is cancelled, and has
        its `cancel_grace` seconds to clean up. May be called again with an earlier deadline,
        and before the first `run`.

        Args:
            deadline: When the last child is to be cancelled, as `anyio.current_time()` tells it.
        """
        if self._state != "stopped":
            self._children.stop(math.inf if deadline is None else deadline)

    async def start_child(self, spec: ChildSpec, *, keep: bool = False) -> None:
        """Add a child while `run` is running, after the others; return when it is ready.

        It may be called from any task. Any spec serves as a template: `dataclasses.replace` gives
        it another id. The child is forgotten, and its id free again, when it has ended for good;
        where it could come back with its group, only if it is temporary.

        Args:
            spec: What to start.
            keep: Whether it stays in the tree when it has ended for good, until it is stopped.

        Raises:
            SpecError: There is a child of this id, or this one cannot be here.
            SupervisorStopped: `run` is not running, or is about to stop.
            Exception: What the child raised instead of getting ready; it is then forgotten.
        """
        self._policy.check_child(spec)
        _check_end(spec)
        async with self._turn:
            children = self._running(f"start {spec.id!r}")
            if spec.id in children.slots:
                message = f"supervisor {children.path!r} has a child {spec.id!r}; choose another id"
                raise SpecError(message)
            slot = children.slots[spec.id] = children.slot(spec)
            slot.is_extra = not keep
            await self._start_extra(slot)

    async def stop_child(self, id: str) -> None:  # noqa: A002 - as in ChildSpec(id=...)
        """Stop the child *id* in its time to drain, and forget it; return when it has ended.

        That is no exit of its own accord: no restart, no shutdown for a significant child, and
        the other children go on. If cancelled, the child is stopped nevertheless.

        Raises:
            SpecError: There is no such child.
            SupervisorStopped: `run` is not running, or is about to stop.
            Unkillable: The child lives on, and keeps its id.
        """
        children = self._running(f"stop {id!r}")
        if (slot := children.slots.get(id)) is None:
            known = ", ".join(children.slots)
            raise SpecError(f"supervisor {children.path!r} has no child {id!r}; it has: {known}")
        gone = anyio.Event()
        self._dismissed.append((slot, gone))
        children.wake()
        await gone.wait()
        children.require_end(slot)

    def tree(self) -> Node:
        """Return the supervisor and all below it as plain data. Call it in the event loop."""
        now = anyio.current_time()
        children = tuple(slot.node(now) for slot in self._children.slots.values())
        return Node(self._policy.name, "supervisor", self._state, children=children)

    def _begin(self, path: str) -> None:
        asked = self._children.stop_at if self._state == "new" else None
        self._children = Children(path, self._specs, self._notify)
        self._recent = Intensity(self._policy.intensity, self._policy.period)
        self._due.clear()
        self._dismissed.clear()
        # Where children go together, none is added while a group is restarted, nor the other way.
        self._turn = anyio.Lock() if self._policy.groups else nullcontext()
        self._state = "starting"
        if asked is not None:
            self._children.stop(asked)

    def _running(self, purpose: str) -> Children:
        children = self._children
        if self._state != "running" or children.stop_at is not None:
            message = f"supervisor {children.path!r} does not run; it cannot {purpose}"
            raise SupervisorStopped(message)
        return children

    def _own(self, error: BaseException) -> BaseException:
        """Return *error*, unless it is our task group's, which nobody here cancels.

        It cancels itself when a foreign hand has cancelled a child before its first step, where
        no guard can be; out of here that would be a cancellation of whoever runs us.
        """
        is_cancellation = isinstance(error, anyio.get_cancelled_exc_class())
        if is_cancellation and self._tasks.cancel_scope.cancel_called:
            who = f"a child of {self._children.path}"
            return ForeignCancellation(f"{who} was cancelled before it began, by no cancel scope")
        return error

    async def _start_extra(self, slot: Slot) -> None:
        children = self._children
        try:
            failed = await children.start(self._tasks, slot)
        except BaseException:
            # Not its failure but our own: we were cancelled.
            with anyio.CancelScope(shield=True):
                await children.kill([slot])
            children.forget(slot)
            raise
        if failed is not None:
            if slot.incarnation is None:
                children.forget(slot)
            raise failed

    async def _supervise(self, child: Child | None) -> None:
        children = self._children
        for slot in list(children.slots.values()):
            failed = await self._start(slot)
            if children.stop_at is not None:
                return
            if failed is not None:
                raise failed
        self._state = "running"
        children.notify(SupervisorStarted(children.path))
        if child is not None:
            child.ready()
        while children.stop_at is None:
            await children.wait(lambda: self._has_work, self._next_due)
            while children.exits:
                self._judge(*children.exits.popleft())
            await self._dismiss()
            if self._next_due() <= anyio.current_time():
                async with self._turn:
                    await self._restart_next()

    async def _wind_down(self) -> None:
        self._state = "stopping"
        self._children.stop()  # whoever is adding a child has come too late
        try:
            await self._children.terminate_all(at_once=self._policy.strategy == "dynamic")
        finally:
            for _, gone in self._dismissed:
                gone.set()

    @property
    def _has_work(self) -> bool:
        children = self._children
        return bool(children.exits or self._dismissed) or children.stop_at is not None

    def _next_due(self) -> float:
        return min(self._due.values(), default=math.inf)

    def _judge(self, slot: Slot, incarnation: Incarnation) -> None:
        """Decide what follows from the end of *incarnation*."""
        # A stale exit says nothing; a failed start is for whoever waits for it.
        end = incarnation.end
        if slot.incarnation is not incarnation or slot.state == "starting" or end is None:
            return
        verdict = slot.verdict(end)
        if incarnation.exit is None:
            self._children.set_aside(slot, incarnation)
        else:
            self._children.record(slot, incarnation, end, verdict)
        if end.is_fatal:
            return
        if verdict is Decision.STOP:
            self._retire(slot)
        else:
            self._schedule(slot, end.error)

    def _retire(self, slot: Slot) -> None:
        """Draw the consequences of the end of *slot*, which was of its own accord and for good."""
        children = self._children
        if self._policy.ends_with(slot, children.slots.values()):
            children.notify(SupervisorShutDown(children.path, slot.spec.id))
            children.stop()
        if slot.spec.restart == "temporary" or (slot.is_extra and not self._policy.groups):
            children.forget(slot)

    def _schedule(self, slot: Slot, cause: BaseException | None) -> None:
        """Plan a restart of *slot*, unless it escalates or there were too many."""
        now = anyio.current_time()
        if cause is not None and decision(cause, slot.spec.decide) is Decision.ESCALATE:
            raise self._gave_up(slot, "it escalates") from cause
        self._children.require_end(slot, cause)
        if not self._recent.allows(now):
            intensity, period = self._policy.intensity, self._policy.period
            exceeded = IntensityExceeded(self._children.path, slot.spec.id, intensity, period)
            self._children.notify(exceeded)
            why = f"more than {intensity} restarts within {period} s"
            raise self._gave_up(slot, why) from cause
        delay = slot.spec.backoff.delay(slot.streak, random.random)
        slot.streak += 1
        slot.state = "restarting"
        self._due[slot] = now + delay
        self._children.notify(ActorRestarting(slot.path, slot.streak, delay))

    def _gave_up(self, slot: Slot, why: str) -> GaveUp:
        path, who = self._children.path, slot.spec.id
        self._children.notify(SupervisorGaveUp(path, who, why))
        return GaveUp(f"supervisor {path!r} gave up on {who!r}: {why}")

    async def _dismiss(self) -> None:
        """Stop and forget the children that somebody wants to be stopped."""
        while self._dismissed and self._children.stop_at is None:
            slot, gone = self._dismissed[0]
            due = self._due.pop(slot, None)
            await self._children.terminate([slot])
            if due is not None:
                self._hand_on(slot, due)
            self._children.forget(slot)
            self._dismissed.popleft()
            gone.set()

    def _hand_on(self, slot: Slot, due: float) -> None:
        """Have those who wait to be restarted with *slot*, which is not, restarted without it."""
        for member in self._policy.group(slot, self._children.slots.values()):
            if member.state == "restarting" and member not in self._due:
                self._due[member] = due
                return

    async def _restart_next(self) -> None:
        """Restart the child that is due, with its group."""
        children = self._children
        if children.stop_at is not None:
            return
        first = min(self._due, key=self._due.__getitem__)
        group = self._policy.group(first, children.slots.values())
        for member in reversed(group):
            self._due.pop(member, None)
            await children.terminate([member])
            children.require_end(member)
            if member.spec.restart == "temporary":
                children.forget(member)
            else:
                member.state = "restarting"
        await self._start_group([slot for slot in group if slot.spec.restart != "temporary"])

    async def _start_group(self, group: Sequence[Slot]) -> None:
        for member in group:
            failed = await self._start(member)
            if self._children.stop_at is not None:
                return
            if failed is not None:
                self._schedule(member, failed)
                return

    async def _start(self, slot: Slot) -> BaseException | None:
        """Start *slot*; return what went wrong, unless that is a reason to do without it."""
        failed = await self._children.start(self._tasks, slot)
        if failed is None or self._children.stop_at is not None:
            return failed
        if decision(failed, slot.spec.decide) is not Decision.STOP:
            return failed
        self._retire(slot)
        return None


def _check_end(spec: ChildSpec) -> None:
    """Refuse a supervisor that shuts down by itself only to be started again."""
    inner = getattr(spec.run, "__self__", None)
    if not isinstance(inner, Supervisor) or spec.restart != "permanent":
        return
    if inner.auto_shutdown != "never":
        message = (
            f"child {spec.id!r} is a supervisor with auto_shutdown="
            f"{inner.auto_shutdown!r}, but permanent; make it transient or temporary"
        )
        raise SpecError(message)
