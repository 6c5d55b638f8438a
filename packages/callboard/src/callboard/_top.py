"""What `callboard top` shows."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from callboard_actors import Node

from ._dead_letter import last_words
from ._inspect import View
from ._observer import Sample, walk

__all__ = ["screen"]


def screen(view: View) -> Group:
    """Draw a row for each subscription, then the last crashes."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("subscription", no_wrap=True, overflow="ellipsis", max_width=24)
    for title in ("state", "queued", "busy", "rate/s", "load%", "restarts", "oldest"):
        table.add_column(title, justify="left" if title == "state" else "right", no_wrap=True)
    nodes = [*walk(view.tree)]
    slow: list[str] = []
    for path, node in nodes:
        if "queued" in node.details:
            table.add_row(*_row(path, node, view))
            slow += _slow(path, node, view)
    return Group(table, *map(Text, slow), *_crashes(nodes))


def _row(path: str, node: Node, view: View) -> list[str]:
    inner = [*walk(node, path)]
    loads = [view.samples[p].workload for p, n in inner if "worker-" in n.id and p in view.samples]
    details, sample = node.details, view.samples.get(path, Sample())
    return [
        node.id,
        node.state,
        str(details["queued"]),
        str(details["in_flight"]),
        f"{sample.rate:.0f}",
        f"{sum(loads) / len(loads):.0f}" if loads else "0",
        str(node.restarts + sum(n.restarts for _, n in inner)),
        f"{details['oldest_age']:.1f}",
    ]


def _slow(path: str, node: Node, view: View) -> list[str]:
    return [
        f"slow: {p} {n.details.get('address')} {n.details.get('id')}: "
        f"{view.samples[p].elapsed:.0f} s"
        for p, n in walk(node, path)
        if p in view.samples and view.samples[p].slow
    ]


def _crashes(nodes: list[tuple[str, Node]]) -> list[Text]:
    crashed = [(p, n) for p, n in nodes if n.last_error and n.last_exit_at is not None]
    crashed.sort(key=lambda pair: -(pair[1].last_exit_at or 0.0))
    return [
        Text(f"crash: {path}: {last_words(node.last_error)}", no_wrap=True, overflow="ellipsis")
        for path, node in crashed[:5]
    ]
