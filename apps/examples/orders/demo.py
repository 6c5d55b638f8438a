"""The show: some thousand orders go through the pipeline, and everything has to add up."""

from __future__ import annotations

import logging
import re
import signal
from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from logging.handlers import MemoryHandler
from pathlib import Path as FilePath
from typing import Final

import anyio
from rich.console import Console

from callboard import Context, Path
from callboard.tree import render
from orders.app import app, broker
from orders.books import Books, audit
from orders.screen import Screen, summary

__all__ = ["main", "play"]

RATE: Final = 400
"""Orders per second: slow enough to watch."""
PATIENCE: Final = 100
"""Looks in a row that find everything where it was, after which it is over, done or not.

A tenth of a second lies between two of them. Seconds would not do: a busy machine needs more.
"""

WELCOME: Final = """\
Orders of a shop for stage props, a dozen of them bad, pass four stages.
Each stage is a subscriber: an actor with a mailbox, under supervision.
"""


# Whoever subscribes to an address gets a copy of every message, and takes nothing from others.
@broker.subscriber("orders.{stage}")
async def watch(stage: str = Path(), passed: Counter[str] = Context()) -> None:
    """Count what passes."""
    passed[stage] += 1


async def feed(lines: Sequence[bytes], books: Books) -> None:
    """Publish *lines* as they are, good and bad, with the customer as the key."""
    began = anyio.current_time()
    for line in lines:
        customer = re.search(rb'"customer":"(\w+)"', line)
        await broker.publish(line, "orders.new", key=customer and customer[1])
        books.published += 1
        await anyio.sleep_until(began + books.published / RATE)


async def play(console: Console, lines: Sequence[bytes]) -> Books | signal.Signals:
    """Run the application until all *lines* have come to an end; return what it leaves behind.

    SIGINT or SIGTERM ends it before, and is returned: also where a shell that has started it in
    the background would have it ignore SIGINT.
    """
    books = Books()
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as group:
            group.start_soon(perform, console, lines, books, group.cancel_scope)
            async for number in signals:
                group.cancel_scope.cancel()
                return number
    return books


async def perform(
    console: Console, lines: Sequence[bytes], books: Books, scope: anyio.CancelScope
) -> None:
    """Run the application and show it; leave *scope* in the end."""
    passed = Counter[str]()
    broker.context.set_global("books", books)
    broker.context.set_global("passed", passed)
    with Screen.on(console) as screen:
        deafen = broker.events.subscribe(screen.hear)
        await app.start()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(feed, lines, books)
                await follow(screen, len(lines), passed, books)
                group.cancel_scope.cancel()
        finally:
            await app.stop()
            deafen()
    scope.cancel()


async def follow(screen: Screen, total: int, passed: Counter[str], books: Books) -> None:
    """Show how it goes, until *total* orders have come to an end or nothing goes on."""
    moved = waited = 0
    while passed["shipped"] + len(books.dead) < total and waited < PATIENCE:
        await anyio.sleep(0.1)
        screen.draw(total, passed, books, render(broker.tree(), depth=2))
        before, moved = moved, passed.total() + len(books.dead)
        waited = waited + 1 if moved == before else 0


def main(inspect: FilePath | None = None) -> int:
    """Play the demo, open to be looked at by *inspect*; return the status to exit with.

    0: everything adds up; 1: it does not; 128 + n: signal n came before.
    """
    app.inspect = inspect
    console = Console(highlight=False)
    console.width = min(console.width, 100)
    console.print(WELCOME)
    log = kept_log()
    lines = files("orders").joinpath("orders.jsonl").read_bytes().splitlines()
    books = anyio.run(partial(play, console, lines))
    if isinstance(books, signal.Signals):
        return 128 + books
    checks = audit(books)
    console.print("", summary(books, checks), "")
    if all(check.holds for check in checks):
        console.print("Everything adds up.", style="bold green")
        return 0
    console.print("It does not add up. What was logged:", style="bold red")
    log.setTarget(logging.StreamHandler())
    log.flush()
    return 1


def kept_log() -> MemoryHandler:
    """Keep what is logged: the screen says it in fewer words, unless something is wrong."""
    log = MemoryHandler(10_000, flushLevel=logging.CRITICAL)
    logging.getLogger("callboard").addHandler(log)
    return log
