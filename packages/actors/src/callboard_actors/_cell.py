"""One place in a supervisor: a child's declaration, its present life, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from callboard_actors._child import Child, ChildSpec
from callboard_actors._errors import ForeignCancellation
from callboard_actors._exits import ExitReason, cancelled_from_outside
from callboard_actors._tree import Node, State

__all__ = ["Cell", "Exit", "Life"]


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a life. The exception is kept only until the supervisor has judged it."""

    reason: ExitReason
    error: BaseException | None = None

    @property
    def is_fatal(self) -> bool:
        """Whether the process is to end: `SystemExit`, `KeyboardInterrupt` and the like."""
        return self.error is not None and not isinstance(self.error, Exception | BaseExceptionGroup)

    @property
    def event(self) -> str:
        """The name under which it is reported."""
        crashes = {"failed", "foreign_cancel", "gave_up"}
        if self.reason.kind == "unkillable":
            return "actor.unkillable"
        return "actor.crashed" if self.reason.kind in crashes else "actor.stopped"


@dataclass(eq=False, slots=True)
class Life:
    """A child from one start to its exit; a late exit of an earlier life is told by identity."""

    child: Child
    began: float
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    exit: Exit | None = None

    async def live(self, spec: ChildSpec, ended: Callable[[], None]) -> None:
        """Run the child. Nothing but the cancellation of the whole task group escapes."""
        try:
            with self.scope:
                await spec.run(self.child)
            killed = self.scope.cancelled_caught
            self.exit = Exit(ExitReason("killed") if killed else self.child.returned())
        except GeneratorExit:  # the event loop is gone
            raise
        except anyio.get_cancelled_exc_class() as error:
            if cancelled_from_outside():
                self.exit = Exit(ExitReason("killed"))
                raise
            self.exit = self._foreign(error)
        except BaseException as error:  # noqa: BLE001 - the supervisor judges, and raises the fatal ones again
            self.exit = Exit(ExitReason.of(error), _end_of_process(error) or error)
        finally:
            ended()

    def _foreign(self, error: BaseException) -> Exit:
        if self.scope.cancel_called:
            return Exit(ExitReason("killed"))
        failure = ForeignCancellation(
            f"{self.child.path} was cancelled, but by no cancel scope around it"
        )
        failure.__cause__ = error
        return Exit(ExitReason.of(failure), failure)


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
class Cell:
    """A child of a supervisor, across its lives.

    Attributes:
        streak: How many restarts there were in a row.
        is_extra: Whether it was added to a running supervisor; forgotten when it has ended.
    """

    spec: ChildSpec
    path: str
    is_extra: bool = False
    state: State = "new"
    life: Life | None = None
    restarts: int = 0
    streak: int = 0
    last: ExitReason | None = None
    last_at: float | None = None

    def node(self, now: float) -> Node:
        """Return the child, and its children if it has any, as plain data."""
        describe = self.life.child.describe if self.life is not None else None
        inner = describe() if describe is not None else None
        return Node(
            id=self.spec.id,
            kind="actor" if inner is None else "supervisor",
            state=self.state,
            restarts=self.restarts,
            uptime=now - self.life.began if self.life is not None else 0.0,
            last_exit=self.last.kind if self.last is not None else None,
            last_error=self.last.text if self.last is not None else "",
            last_exit_at=self.last_at,
            children=inner.children if inner is not None else (),
        )
