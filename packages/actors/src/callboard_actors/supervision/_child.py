"""A child of a supervisor: what is declared of it, and what it may say and ask while it runs."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import TypeAlias, get_args

import anyio

from callboard_actors._errors import SpecError
from callboard_actors.supervision._decisions import Rule, check_rules
from callboard_actors.supervision._exits import ExitReason
from callboard_actors.supervision._restarts import Backoff, Restart
from callboard_actors.supervision._tree import Node


@dataclass(eq=False, repr=False, slots=True)
class Child:
    """One life of a child, from a start to its exit; a restart makes a new one.

    It is handed to `ChildSpec.run`. A component can also be run without a supervisor, in a test
    for example: make a `Child`, pass it, and ask it to `stop`.

    Attributes:
        path: The ids from the root of the tree, joined by slashes.
        changed: Called when it is ready or held up, by whoever keeps it up.
        started: Whether `ready` was called.
        stop_requested: Whether the child was asked to stop.
        deadline: When it will be cancelled, as `anyio.current_time()` tells it; infinite until
            it is asked to stop.
        cancel_grace: How long it may clean up when it is cancelled.
        describe: Set by a child that has children, so that the tree shows them.
        details: Set by a child that has more to say of itself in the tree: plain data.
        patience: Set by a child that has children: how long they may clean up, if that is longer.
        survivor: The path of what lives on below it, and keeps it from returning; see `hold_up`.
        failure: What it would raise if it could.
    """

    path: str = ""
    changed: Callable[[], None] | None = None
    _: KW_ONLY
    cancel_grace: float = 3.0
    started: bool = False
    stop_requested: bool = False
    deadline: float = math.inf
    describe: Callable[[], Node] | None = None
    details: Callable[[], Mapping[str, object]] | None = None
    patience: Callable[[], float] | None = None
    survivor: str = ""
    failure: BaseException | None = None
    _callbacks: list[Callable[[], None]] = field(
        init=False, default_factory=list[Callable[[], None]]
    )
    _stopping: anyio.Event = field(init=False, default_factory=anyio.Event)

    def ready(self) -> None:
        """Say that the start is finished; the supervisor goes on with the next child."""
        self.started = True
        if self.changed is not None:
            self.changed()

    def hold_up(self, survivor: str, failure: BaseException | None = None) -> None:
        """Say that all is over, but for what lives on at the path *survivor*: `run` cannot return.

        The supervisor does not wait any longer, and judges *failure* now; nothing can take the
        place of the child before it has returned.
        """
        self.survivor, self.failure = survivor, failure
        if self.changed is not None:
            self.changed()

    @contextmanager
    def unless_stopped(self) -> Generator[None]:
        """Leave the block if the child is asked to stop before it is ready: nothing is in hand."""
        with anyio.CancelScope() as scope:
            self.on_stop(lambda: None if self.started else scope.cancel())
            yield

    @contextmanager
    def until_deadline(self) -> Generator[None]:
        """Leave the block at the deadline, wherever that moves.

        What ends in the block in good order sees by `anyio.current_effective_deadline` how much
        time it has for that.
        """
        with anyio.CancelScope() as scope:

            def follow() -> None:
                scope.deadline = self.deadline

            self.on_stop(follow)
            yield

    async def stopping(self) -> None:
        """Wait until the child is asked to stop."""
        await self._stopping.wait()

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Have *callback* called, synchronously, when the child is asked to stop.

        It is called at once if that has happened already, and again whenever the deadline
        moves nearer.
        """
        self._callbacks.append(callback)
        if self.stop_requested:
            callback()

    def stop(self, deadline: float = math.inf) -> None:
        """Ask the child to stop before *deadline*. Asked again, the earlier deadline holds."""
        if self.stop_requested and deadline >= self.deadline:
            return
        self.stop_requested = True
        self.deadline = deadline
        self._stopping.set()
        for callback in self._callbacks:
            callback()

    def returned(self) -> ExitReason:
        """Return the reason of an exit without an exception."""
        return ExitReason("shutdown" if self.stop_requested else "normal")


Run: TypeAlias = Callable[[Child], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start, restart and stop a child.

    Attributes:
        id: Its name, unique among its siblings.
        run: The child itself. It calls `Child.ready` when it has started and returns when it is
            asked to stop; an exception out of it is a crash. A supervisor nests by its `run`.
        restart: `permanent`: always; `transient`: only after an abnormal exit; `temporary`: never,
            not even with its group, and forgotten when it has ended.
        significant: Whether its supervisor may shut down when it ends by itself for good; see
            `Supervisor`. Not for a permanent child, which never does.
        drain: How long it may finish its work when it is asked to stop, before it is cancelled.
        cancel_grace: How long it may clean up when it is cancelled, before it counts as
            unkillable.
        start_timeout: How long it may take to call `Child.ready`.
        backoff: The wait before each restart.
        decide: What is to be done about which exceptions, by type or predicate: the first rule
            that fits holds. Without one, see `decision`.

    Raises:
        SpecError: The restart type is unknown, does not go with `significant`, or a rule is none.
    """

    id: str
    run: Run
    restart: Restart = field(default="permanent", kw_only=True)
    drain: float = field(default=20.0, kw_only=True)
    cancel_grace: float = field(default=3.0, kw_only=True)
    start_timeout: float = field(default=30.0, kw_only=True)
    backoff: Backoff = field(default_factory=Backoff, kw_only=True)
    significant: bool = field(default=False, kw_only=True)
    decide: Sequence[Rule] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if self.restart not in get_args(Restart):
            known = ", ".join(get_args(Restart))
            raise SpecError(f"child {self.id!r} has restart={self.restart!r}; choose of {known}")
        if self.significant and self.restart == "permanent":
            message = (
                f"child {self.id!r} is permanent and significant, but would never end for good;"
                " make it transient or temporary"
            )
            raise SpecError(message)
        check_rules(self.decide)
