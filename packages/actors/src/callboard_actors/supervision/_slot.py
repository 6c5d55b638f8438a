"""A place in a supervisor: a child's declaration, its present life, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio

from callboard_actors.events import (
    ActorCrashed,
    ActorEnded,
    ActorStopped,
    ActorUnkillable,
    ExitKind,
)
from callboard_actors.supervision._child import Child, ChildSpec
from callboard_actors.supervision._decisions import Decision, decision
from callboard_actors.supervision._exits import ExitReason, as_exit, cancelled_from_outside
from callboard_actors.supervision._restarts import restarts
from callboard_actors.supervision._tree import Node, State

_EVENTS: Final[Mapping[ExitKind, type[ActorEnded]]] = {
    "normal": ActorStopped,
    "shutdown": ActorStopped,
    "killed": ActorStopped,
    "unkillable": ActorUnkillable,
}


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of an incarnation. The exception is kept only until the supervisor has judged it."""

    reason: ExitReason
    error: BaseException | None = None

    @classmethod
    def of(cls, error: BaseException) -> Exit:
        """Return the exit of a child out of which *error* came; a cancellation was asked for."""
        if isinstance(error, anyio.get_cancelled_exc_class()):
            return cls(ExitReason("killed"))
        return cls(ExitReason.of(error), _end_of_process(error) or error)

    @property
    def is_fatal(self) -> bool:
        """Whether the process is to end: `SystemExit`, `KeyboardInterrupt` and the like."""
        return self.error is not None and not isinstance(self.error, Exception | BaseExceptionGroup)

    def told(self, path: str, verdict: Decision | None) -> ActorEnded:
        """Return the event, with what follows from it if that was asked."""
        kind = _EVENTS.get(self.reason.kind, ActorCrashed)
        error = None if self.error is None else type(self.error).__name__
        decision = None if verdict is None else verdict.value
        return kind(path, self.reason.kind, self.reason.text, error, decision)


@dataclass(eq=False, slots=True)
class Incarnation:
    """One life of a child, from a start to its exit; a late exit of an earlier one is told by identity.

    Attributes:
        has_begun: Whether its task has run at all. One that a foreign hand has cancelled before
            that never will, and nobody is told.
    """

    child: Child
    began: float
    has_begun: bool = False
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    exit: Exit | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or only waits for what lives on below it."""
        return self.exit is not None or bool(self.child.survivor)

    @property
    def end(self) -> Exit | None:
        """How it has ended, or would have if nothing lived on below it; None if it goes on."""
        if self.exit is not None or not self.child.survivor:
            return self.exit
        failure = self.child.failure
        return Exit(self.child.returned()) if failure is None else Exit.of(failure)

    async def live(self, spec: ChildSpec, ended: Callable[[], None]) -> None:
        """Run the child. Nothing but the cancellation of the whole task group escapes."""
        self.has_begun = True
        try:
            with self.scope:
                await spec.run(self.child)
            # Not cancelled_caught: it may have swallowed its cancellation and returned.
            killed = self.scope.cancel_called
            self.exit = Exit(ExitReason("killed") if killed else self.child.returned())
        except GeneratorExit:  # the event loop is gone
            raise
        except anyio.get_cancelled_exc_class() as error:
            from_outside = cancelled_from_outside()
            asked_for = from_outside or self.scope.cancel_called
            self.exit = Exit.of(error if asked_for else as_exit(error, self.child.path))
            if from_outside:
                raise
        except BaseException as error:  # noqa: BLE001 - the supervisor judges, and raises the fatal ones again
            self.exit = Exit.of(error)
        finally:
            ended()


def _end_of_process(error: BaseException) -> BaseException | None:
    """Return the `SystemExit` or `KeyboardInterrupt` in *error*, a group perhaps."""
    if not isinstance(error, BaseExceptionGroup):
        harmless = isinstance(error, Exception | anyio.get_cancelled_exc_class())
        return None if harmless else error
    # isinstance cannot say of what it is a group.
    group: BaseExceptionGroup[BaseException] = error  # pyright: ignore[reportUnknownVariableType] - as above
    found = (_end_of_process(part) for part in group.exceptions)
    return next((part for part in found if part is not None), None)


@dataclass(eq=False, slots=True)
class Slot:
    """A child of a supervisor, across its lives.

    Attributes:
        survivor: An incarnation that was cancelled and goes on, itself or what is below it: the
            tree still shows what is in it, and nothing takes its place.
        is_leaving: Whether it is to be forgotten when the survivor has ended.
        streak: How many restarts there were in a row.
        is_extra: Whether it was added to a running supervisor; forgotten when it has ended.
    """

    spec: ChildSpec
    path: str
    is_extra: bool = False
    is_leaving: bool = False
    state: State = "new"
    incarnation: Incarnation | None = None
    survivor: Incarnation | None = None
    restarts: int = 0
    streak: int = 0
    last: ExitReason | None = None
    last_at: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, and is not about to be restarted."""
        return self.state == "stopped" or self.survivor is not None

    def verdict(self, end: Exit) -> Decision:
        """Return what follows from *end* of the child's own accord: RESTART, STOP or ESCALATE."""
        said = Decision.RESTART
        if end.error is not None:
            said = decision(end.error, self.spec.decide)
        if said in (Decision.STOP, Decision.ESCALATE):
            return said
        again = restarts(self.spec.restart, end.reason)
        return Decision.RESTART if again else Decision.STOP

    def node(self, now: float) -> Node:
        """Return the child, and its children if it has any, as plain data."""
        incarnation = self.incarnation or self.survivor
        describe = incarnation.child.describe if incarnation is not None else None
        inner = describe() if describe is not None else None
        details = incarnation.child.details if incarnation is not None else None
        return Node(
            id=self.spec.id,
            kind="actor" if inner is None else "supervisor",
            state=self.state,
            restarts=self.restarts,
            streak=self.streak,
            uptime=now - self.incarnation.began if self.incarnation is not None else 0.0,
            last_exit=self.last.kind if self.last is not None else None,
            last_error=self.last.text if self.last is not None else "",
            last_exit_at=self.last_at,
            children=inner.children if inner is not None else (),
            details=details() if details is not None else {},
        )
