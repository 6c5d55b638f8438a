"""What is on the screen of `callboard top`; how it gets there is in test_cli.py."""

from __future__ import annotations

from rich.console import Console

from callboard.command._top import screen
from callboard.watch._observer import Sample
from callboard.watch._view import View
from callboard_actors import Node

NASTY, WRITTEN = "\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"


def test_what_messages_and_errors_say_is_no_command_to_the_terminal() -> None:
    worker = Node(
        "worker-0",
        "actor",
        "running",
        details={"idle": 0.0, "address": NASTY, "id": NASTY, "token": 1},
        last_error=f"x.Broken: {NASTY}",
        last_exit_at=1.0,
    )
    figures = {"queued": 0, "in_flight": 1, "oldest_age": 0.0}
    orders = Node(NASTY, "supervisor", "running", details=figures, children=(worker,))
    lost = Node(
        "connection", "actor", "running", details={"lost_at": 1.0, "address": NASTY, "error": NASTY}
    )
    view = View(
        tree=Node("app", "supervisor", "running", children=(orders, lost)),
        now=100.0,
        samples={f"app/{NASTY}/worker-0": Sample(slow=True)},
    )
    console = Console(width=200, force_terminal=True, color_system=None)

    with console.capture() as capture:
        console.print(screen(view))

    drawn = capture.get()
    assert "\x1b" not in drawn
    assert "\x07" not in drawn
    assert f"not ready: app has not reached {WRITTEN} for 99 s: {WRITTEN}" in drawn
    assert f"{WRITTEN}/worker-0: message {WRITTEN} {WRITTEN}" in drawn
    assert f"{WRITTEN}/worker-0: Broken: {WRITTEN}" in drawn
