"""What `callboard top` shows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from callboard.tree import STYLES
from callboard.watch._observer import Sample, is_worker, walk
from callboard.watch._printable import last_words, printable
from callboard.watch._view import POOL, View, unready
from callboard_actors import Node, State

_LAST: Final = 5
"""How many crashes are shown."""
_GRAVITY: Final[tuple[State, ...]] = (
    "running",
    "new",
    "stopped",
    "stopping",
    "starting",
    "restarting",
    "unkillable",
)
_LEVELS: Final = frozenset({"subscriptions", "workers"})
"""Parts of a path that say nothing to who reads what comes after."""


def screen(view: View) -> Group:
    """Draw why it is not ready, a row for each subscription, slow messages, and the last crashes.

    The name is what gets shorter where the terminal is narrow.
    """
    nodes = [*walk(view.tree, view.tree.id)]
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("subscription", no_wrap=True, overflow="ellipsis", min_width=10, ratio=1)
    table.add_column("state", no_wrap=True, min_width=10)
    for title in ("queued", "busy", "rate/s", "load%", "restarts", "oldest"):
        table.add_column(title, justify="right", no_wrap=True, min_width=len(title))
    for path, node in nodes:
        if "queued" in node.details:
            table.add_row(*_row(path, node, view))
    reasons = [Text(f"not ready: {each}", "bold red") for each in unready(view)]
    parts: list[RenderableType] = [*reasons, table]
    for lines in (
        [*_stuck(nodes)],
        [*_slow(nodes, view)],
        [*islice(_crashes(nodes, view.now), _LAST)],
    ):
        parts += [Text(), *lines] if lines else []
    return Group(*parts)


def _row(path: str, node: Node, view: View) -> list[RenderableType]:
    inner = [*walk(node, path)]
    loads = [view.samples.get(below, Sample()).workload for below, _ in inner if is_worker(below)]
    details, sample = node.details, view.samples.get(path, Sample())
    states: list[State] = [node.state, *(each.state for _, each in inner)]
    state = max(states, key=_GRAVITY.index)
    restarts = node.restarts + sum(each.restarts for _, each in inner)
    return [
        Text(printable(f"{path.split('/')[1]}/{node.id}" if view.tree.id == POOL else node.id)),
        Text(state, STYLES[state]),
        _number(details["queued"]),
        f"{_number(details['in_flight'])}/{len(loads)}",
        _number(sample.rate),
        f"{sum(loads) / max(1, len(loads)):.0f}",
        Text(str(restarts), "yellow" if restarts else ""),
        _seconds(details["oldest_age"]),
    ]


def _stuck(nodes: list[tuple[str, Node]]) -> Iterator[Text]:
    for path, node in nodes:
        if left := node.details.get("threads_left"):
            most = node.details.get("threads")
            yield _line("left", f"{left}/{most}", path, "threads of calls that have timed out")
        if (breaker := node.details.get("breaker", "closed")) != "closed":
            yield _line(
                "breaker", str(breaker), path, "nothing is begun while what it needs is away"
            )
        if halted := node.details.get("halted"):
            yield _line("halted", str(halted), path, "keys wait behind what has failed too often")


def _slow(nodes: list[tuple[str, Node]], view: View) -> Iterator[Text]:
    for path, node in nodes:
        sample = view.samples.get(path, Sample())
        if sample.slow:
            message = f"{node.details.get('address')} {node.details.get('id')}"
            yield _line("slow", sample.elapsed, path, f"message {message}")


def _crashes(nodes: list[tuple[str, Node]], now: float) -> Iterator[Text]:
    """Yield the last crash of each node, the latest first."""
    crashed = [
        (node.last_exit_at, path, node.last_error)
        for path, node in nodes
        if node.last_error and node.last_exit_at is not None
    ]
    for at, path, error in sorted(crashed, reverse=True):
        yield _line("crash", now - at, path, last_words(error))


def _line(kind: str, figure: float | str, path: str, said: str) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{kind:<7}", "bold red" if kind == "crash" else "bold yellow")
    shown = figure if isinstance(figure, str) else _seconds(figure)
    line.append(f"{shown:>6}  ", "dim")
    parts = [part for part in path.split("/")[1:] if part not in _LEVELS]
    return line.append(printable("/".join(parts))).append(f": {printable(said)}", "dim")


def _number(value: object) -> str:
    """Write a figure in at most five characters."""
    if not isinstance(value, int | float):
        return "?"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= max(size, 1e4):
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 10 else f"{scaled:.0f}{unit}"
    return f"{value:.1f}" if 0 < value < 10 and isinstance(value, float) else f"{value:.0f}"


def _seconds(value: object) -> str:
    if not isinstance(value, int | float):
        return "?"
    for unit, size in (("h", 3600), ("min", 60)):
        if value >= 2 * size:
            return f"{value / size:.0f} {unit}"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
