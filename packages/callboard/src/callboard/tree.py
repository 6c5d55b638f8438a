"""The supervision tree, drawn for a person: who lives, who was restarted, and why."""

from __future__ import annotations

import math
from typing import Final

from rich.text import Text
from rich.tree import Tree

from callboard_actors import Node, State

from .watch._printable import last_words, printable

__all__ = ["render"]

STYLES: Final[dict[State, str]] = {
    "new": "dim",
    "starting": "yellow",
    "running": "green",
    "restarting": "bold yellow",
    "stopping": "yellow",
    "stopped": "dim",
    "unkillable": "bold red",
}


def render(node: Node, *, depth: float = math.inf) -> Tree:
    """Draw *node* and what is below it, a line for each, in the order of their start.

    More than *depth* levels down, only what has ended at least once is drawn, or does not run: a
    large tree stays small, and what needs a look stands out.
    """
    tree = Tree(_label(node), guide_style="dim")
    _grow(tree, node, depth)
    return tree


def _grow(tree: Tree, node: Node, depth: float) -> None:
    for child in node.children:
        if depth > 0 or not _is_quiet(child):
            label = _label(child)
            if depth <= 1 and child.children and _is_quiet(child):
                label.append(f", {_count(_actors(child), 'actor')}", "dim")
            _grow(tree.add(label), child, depth - 1)


def _label(node: Node) -> Text:
    label = Text(no_wrap=True, overflow="ellipsis")
    label.append(printable(node.id)).append(f"  {node.state}", STYLES[node.state])
    if pid := node.details.get("pid"):
        label.append(f", process {pid}", "dim")
    if node.details.get("silent"):
        label.append(", gives no answer", "bold red")
    if node.restarts:
        label.append(f", {_count(node.restarts, 'restart')}", "yellow")
    if node.last_exit is not None:
        reason = last_words(node.last_error) if node.last_error else node.last_exit
        label.append(f", last exit: {printable(reason)}", "dim")
    return label


def _is_quiet(node: Node) -> bool:
    untouched = node.state == "running" and node.last_exit is None
    return untouched and all(map(_is_quiet, node.children))


def _actors(node: Node) -> int:
    return sum(map(_actors, node.children)) if node.children else 1


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
