"""What the demo shows: a live view on a terminal, plain lines where there is none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, NamedTuple

import anyio
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from callboard.events import ActorCrashed, ActorRestarting, Event
from orders.books import Books, Check, DeadOrder

__all__ = ["Screen", "Stage", "stages", "summary"]

PIPELINE: Final = {
    "validate": ("new", "validated"),
    "price": ("validated", "priced"),
    "invoice": ("priced", "invoiced"),
    "ship": ("invoiced", "shipped"),
}
"""From where to where each stage moves the orders."""
STYLES: Final = {"crash": "bold red", "restart": "bold yellow", "dead": "magenta", "flow": "dim"}


class Stage(NamedTuple):
    """How far a stage of the pipeline is."""

    name: str
    done: int
    waiting: int
    dead: int


def stages(passed: Counter[str], dead: list[DeadOrder]) -> list[Stage]:
    """Work out from what *passed* each address, and what is *dead*, how far each stage is."""
    lost = Counter(order.address.removeprefix("orders.") for order in dead)
    return [
        Stage(name, passed[end], max(0, passed[start] - passed[end] - lost[start]), lost[start])
        for name, (start, end) in PIPELINE.items()
    ]


class Screen:
    """Shows a run while it lasts: a story, and below it where everything is."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self.console = console
        self.view = Group()
        self._live = live
        self._began = anyio.current_time()
        self._next_line = 1.0
        self._told = 0

    @classmethod
    @contextmanager
    def on(cls, console: Console) -> Generator[Screen]:
        """Show something on *console* as long as the block lasts."""
        if console.is_terminal and not console.is_dumb_terminal:
            with Live(console=console, auto_refresh=False) as live:
                yield cls(console, live)
        else:
            yield (screen := cls(console, None))
            console.print(screen.view)

    @property
    def elapsed(self) -> float:
        """How long it has been on, in seconds."""
        return anyio.current_time() - self._began

    def hear(self, event: Event) -> None:
        """Tell of crashes and restarts."""
        # The path leads through the subscription: …/Invoices(orders.priced)/workers/worker-0.
        names = [part.partition("(")[0] for part in event.path.split("/") if "(" in part]
        who = names[0] if names else event.path
        match event:
            case ActorCrashed(error=error):
                self.tell("crash", f"{who}: {error.splitlines()[-1].partition(': ')[2]}")
            case ActorRestarting(delay=delay):
                when = f"in {delay:g} s" if delay else "at once"
                self.tell("restart", f"{who} starts anew {when}, its state rebuilt from the books")
            case _:
                pass

    def tell(self, kind: str, what: str) -> None:
        """Add a line to the story."""
        line = Text(f"{self.elapsed:5.1f} s  ").append(f"{kind:8}", STYLES[kind]).append(what)
        self.console.print(line, no_wrap=True, overflow="ellipsis")

    def draw(self, total: int, passed: Counter[str], books: Books, tree: Tree) -> None:
        """Show how many of the *total* of orders are where, and the supervision tree."""
        for order in books.dead[self._told :]:
            self.tell("dead", order.message)
        self._told = len(books.dead)
        rows = stages(passed, books.dead)
        title = Rule(f"{total:,} orders, {self.elapsed:.1f} s", style="dim")
        self.view = Group(title, progress(total, rows), "", tree)
        if self._live is not None:
            self._live.update(self.view, refresh=True)
        elif self.elapsed >= self._next_line:
            self._next_line += 1
            self.tell("flow", ", ".join(f"{stage.name} {stage.done:,}" for stage in rows))


def progress(total: int, rows: list[Stage]) -> Table:
    """Draw a bar for each stage."""
    table = Table(box=None, expand=True, header_style="dim")
    table.add_column("stage")
    table.add_column("", ratio=1)
    table.add_column("done", justify="right", min_width=7)
    table.add_column("waiting", justify="right", min_width=7)
    table.add_column("dead", justify="right", min_width=7, style=STYLES["dead"])
    for stage in rows:
        bar = ProgressBar(total, stage.done, complete_style="green", finished_style="green")
        table.add_row(stage.name, bar, *(f"{n:,}" for n in (stage.done, stage.waiting, stage.dead)))
    return table


def summary(books: Books, checks: list[Check]) -> Table:
    """Draw the end: what died of what, with an example each, and the *checks*."""
    groups: defaultdict[tuple[str, str], list[DeadOrder]] = defaultdict(list)
    for order in books.dead:
        groups[order.reason, order.address].append(order)
    table = Table.grid(padding=(0, 2))
    for (reason, address), orders in groups.items():
        what = Text(reason, STYLES["dead"]).append(f" at {address}", "dim")
        table.add_row(f"{len(orders):4}", what)
        table.add_row("", Text(orders[0].message))
    table.add_row()
    for claim, holds in checks:
        table.add_row(Text("  ok", "green") if holds else Text("  NO", "bold red"), claim)
    return table
