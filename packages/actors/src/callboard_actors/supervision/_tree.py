"""The tree of supervision, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from callboard_actors.events import ExitKind

State: TypeAlias = Literal[
    "new", "starting", "running", "restarting", "stopping", "stopped", "unkillable"
]


@dataclass(frozen=True, slots=True)
class Node:
    """A supervisor or a child at one moment. `dataclasses.asdict` makes it ready for JSON.

    Attributes:
        id: Its name among its siblings.
        kind: Whether it has children of its own.
        state: Where it is in its life; `restarting` waits for its back-off.
        restarts: How often it was started again.
        streak: How many of these came in a row, without a time in which it was well.
        uptime: Seconds since its last start; 0 if it is not up.
        last_exit: Why it ended the last time; None if it never has.
        last_error: The traceback of that, at most 8 KiB; empty if there is none.
        last_exit_at: When, as `anyio.current_time()` tells it.
        children: In the order in which they are started.
        details: What the child says of itself, as plain data; see `Child.details`.
    """

    id: str
    kind: Literal["supervisor", "actor"]
    state: State
    restarts: int = 0
    streak: int = 0
    uptime: float = 0.0
    last_exit: ExitKind | None = None
    last_error: str = ""
    last_exit_at: float | None = None
    children: tuple[Node, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict[str, object], hash=False)
