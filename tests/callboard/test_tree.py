"""The supervision tree as it is drawn for a person."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from callboard.tree import render
from callboard_actors import Node

CRASH = 'Traceback (most recent call last):\n  File "app.py", line 3\nmodule.Broken: no hope\n'
READER = Node("reader", "supervisor", "running", children=(Node("a", "actor", "running"),))


def drawn(node: Node, depth: float = 9) -> list[str]:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(render(node, depth=depth))
    return [line.rstrip() for line in capture.get().splitlines()]


def writer() -> Node:
    crashed = Node("b", "actor", "restarting", restarts=1, last_exit="failed", last_error=CRASH)
    return Node(
        "writer", "supervisor", "running", children=(Node("a", "actor", "running"), crashed)
    )


def root() -> Node:
    return Node("root", "supervisor", "running", children=(READER, writer()))


def test_every_node_has_a_line_in_the_order_of_their_start() -> None:
    assert drawn(root()) == [
        "root  running",
        "├── reader  running",
        "│   └── a  running",
        "└── writer  running",
        "    ├── a  running",
        "    └── b  restarting, 1 restart, last exit: Broken: no hope",
    ]


def test_below_the_depth_only_what_was_disturbed_is_drawn() -> None:
    assert drawn(root(), depth=1) == [
        "root  running",
        "├── reader  running, 1 actor",
        "└── writer  running",
        "    └── b  restarting, 1 restart, last exit: Broken: no hope",
    ]


def test_an_exit_without_an_error_is_named_by_its_kind() -> None:
    stopped = Node("a", "actor", "stopped", restarts=2, last_exit="shutdown")

    assert drawn(stopped) == ["a  stopped, 2 restarts, last exit: shutdown"]


def test_a_line_never_wraps() -> None:
    long = Node("n" * 100, "actor", "running")

    assert len(drawn(long)) == 1


def test_what_an_exception_says_moves_no_cursor() -> None:
    nasty = replace(READER, last_exit="failed", last_error="x.Broken: \x1b]0;title\x07\x1b[2J")

    (line, _) = drawn(nasty)
    assert line.endswith(r"last exit: Broken: \x1b]0;title\x07\x1b[2J")
