"""What runs, at one moment, as plain data; whoever is asked how it goes reads it here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from callboard_actors import Node

__all__ = ["last_standing"]

_UP: Final = frozenset({"new", "starting", "running"})


def last_standing(scopes: Iterable[tuple[Node, str | None]]) -> bool:
    """Whether nothing is left to run but what is named: a subscription of each of these brokers."""
    return not any(
        node.state in _UP and node.id != but
        for scope, but in scopes
        for node in subscriptions(scope)
    )


def subscriptions(scope: Node) -> Iterator[Node]:
    """Yield the subscriptions of a broker; where they have not begun yet, what stands for them."""
    for node in scope.children:
        if node.id == "subscriptions":
            yield from node.children or ([node] if node.state in {"new", "starting"} else ())
