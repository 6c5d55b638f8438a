"""What runs, at one moment, as plain data; whoever is asked how it goes reads it here.

Readiness, liveness, `callboard tree` and `callboard top` are pure functions of one `View`, so that
they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from callboard._errors import NotRunning
from callboard.watch._observer import Sample, walk
from callboard.watch._printable import last_words, printable
from callboard_actors import Node

T = TypeVar("T")

PATIENCE: Final = 10.0
"""Seconds for which a lost connection does not count."""
LOOP: Final = 3
"""Restarts in a row that are a crash loop."""
WELL: Final = 60.0
"""Seconds after which whoever had crashed again and again is believed to be well."""
POOL: Final = "pool"
"""The root of the trees of several processes, each of which is a child of it."""
_UP: Final = frozenset({"new", "starting", "running"})


@dataclass(frozen=True, kw_only=True)
class View:
    """What there is to see of an application, or of a broker that runs without one.

    Attributes:
        tree: Its supervision tree. The details of a `connection` say since when it is lost.
        samples: What was seen of its nodes lately, by path.
        now: The time that its nodes go by.
    """

    tree: Node
    now: float
    samples: dict[str, Sample] = field(default_factory=dict[str, Sample])


def unready(view: View) -> list[str]:
    """Say why it can't be sent traffic, a line for each reason; empty if it can."""
    root = view.tree
    reasons = [] if root.state == "running" else [f"{root.id} is {root.state}"]
    for path, node in [(root.id, root), *walk(root, root.id)]:
        is_vital = path.count("/") == 1 or node.id in {"connection", "subscriptions"}
        if is_vital and node.state != "running":
            reasons.append(f"{path} is {node.state}")
        if node.details.get("silent"):
            reasons.append(f"{path} gives no answer: is it blocked?")
        if node.id == "connection":
            reasons += _of_connection(path, node, view.now)
        elif path.split("/")[-2:-1] == ["subscriptions"]:
            reasons += _of_subscription(path, node)
    return [printable(reason) for reason in reasons]


def alive(view: View) -> bool:
    """Whether it would be wrong to kill it: it has not ended, and nothing in it is past help."""
    nodes = [view.tree, *(node for _, node in walk(view.tree, ""))]
    return view.tree.state != "stopped" and all(node.state != "unkillable" for node in nodes)


def _of_connection(path: str, node: Node, now: float) -> Iterator[str]:
    broker = path.rpartition("/")[0]
    lost_at = node.details.get("lost_at")
    if isinstance(lost_at, float) and now - lost_at > PATIENCE:
        address, error = node.details.get("address"), node.details.get("error")
        yield f"{broker} has not reached {address} for {now - lost_at:.0f} s: {error}"


def _of_subscription(path: str, node: Node) -> Iterator[str]:
    if node.state == "restarting":
        yield f"{path} is down: {last_words(node.last_error)}"
    elif node.state not in {"running", "stopped"}:
        yield f"{path} is {node.state}"
    elif _loops(node):
        yield f"{path} was down: {last_words(node.last_error)}"
    yield from _of_standstill(path, node)
    for below, part in walk(node, path):
        if part.state == "unkillable":
            yield f"{below} lives on although it was cancelled"
        elif _loops(part):
            yield f"{below} crashes again and again: {last_words(part.last_error)}"


def _of_standstill(path: str, node: Node) -> Iterator[str]:
    left, most = node.details.get("threads_left"), node.details.get("threads")
    if left and left == most:
        yield f"{path} handles nothing: {left} threads of calls that have timed out still run"
    if node.details.get("breaker") == "open":
        yield f"{path} takes nothing: its breaker is open"


def _loops(node: Node) -> bool:
    return node.uptime < WELL and (node.streak >= LOOP or node.last_exit == "gave_up")


def last_standing(scopes: Iterable[tuple[Node, str | None]]) -> bool:
    """Whether nothing is left to run but what is named: a subscription of each of these brokers."""
    return not any(
        node.state in _UP and node.id != but
        for scope, but in scopes
        for node in _subscriptions(scope)
    )


def _subscriptions(scope: Node) -> Iterator[Node]:
    """Yield the subscriptions of a broker; where they have not begun yet, what stands for them."""
    for node in scope.children:
        if node.id == "subscriptions":
            yield from node.children or ([node] if node.state in {"new", "starting"} else ())


def seen_from(loop: EventLoopToken, look: Callable[[], T]) -> T:
    """Return what *look* sees in the thread of its event *loop*, whichever thread asks.

    Raises:
        NotRunning: The loop has ended.
    """
    try:
        if current_token() == loop:
            return look()
    except anyio.NoEventLoopError:
        pass  # of another thread
    try:
        return anyio.from_thread.run_sync(look, token=loop)
    except anyio.RunFinishedError as error:
        raise NotRunning("the event loop has ended in which it ran") from error
