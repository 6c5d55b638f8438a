"""Work that a command does with brokers: a signal ends it in good order, and it says how far it is."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import anyio
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from callboard._errors import CallboardError
from callboard.command._fail import fail
from callboard.command._locate import explain
from callboard_brokers import BrokerError

Told: TypeAlias = Callable[[int], None]
_MANY: Final = 1000
"""After so many there is a line, where there is no terminal for a bar."""
_INTERRUPTED: Final = 130


class Count:
    """Tells how many are done, of all brokers together."""

    def __init__(self, tell: Told) -> None:
        self.done = self._before = 0
        self._tell = tell

    def __call__(self, count: int) -> None:
        if self._before + count != self.done:
            self.done = self._before + count
            self._tell(self.done)

    def next(self) -> None:
        """Count on, of another broker."""
        self._before = self.done


def done(work: Callable[[], Awaitable[None]], directory: Path, rest: str) -> None:
    """Do *work*, or end the command with what went wrong, and in which line of *directory*.

    A signal cuts it off; *rest* is said then, of what was not done.
    """
    try:
        cut = anyio.run(_heeding, work)
    except Exception as error:  # noqa: BLE001 - one line says so
        fail(_said(error, directory), status=1)
    if cut:
        typer.echo(f"stopped{rest}", err=True)
        raise typer.Exit(_INTERRUPTED)


@contextmanager
def telling(what: str, total: Callable[[], int | None], *, err: bool = False) -> Generator[Count]:
    """Show a bar on a terminal, and else a line now and then; in the end, how many.

    Args:
        what: Was done with them.
        total: Asked, where there is a bar, how many there are; None: nobody knows.
        err: Whether the end is told on stderr.
    """
    console = Console(stderr=True)
    say = partial(typer.echo, err=err)
    if console.is_terminal:
        columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(what, total=total())
            count = Count(lambda done: progress.update(task, completed=done))
            try:
                yield count
            finally:
                progress.stop()
                say(f"{count.done} {what}")
        return
    count = Count(lambda done: None if done % _MANY else typer.echo(f"{done} ...", err=True))
    try:
        yield count
    finally:
        say(f"{count.done} {what}")


async def _heeding(work: Callable[[], Awaitable[None]]) -> bool:
    """Do *work* until a signal comes; return whether one has cut it off."""

    async def listen() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                scope.cancel()

    scope = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        with scope:
            await work()
        tasks.cancel_scope.cancel()
    return scope.cancelled_caught


def _said(error: BaseException, directory: Path) -> str:
    """Say in a line what went wrong; our own errors say all of it themselves."""
    if isinstance(error, BaseExceptionGroup):
        group: BaseExceptionGroup[BaseException] = error  # pyright: ignore[reportUnknownVariableType] - isinstance cannot say of what it is a group
        return _said(group.exceptions[0], directory)
    ours = isinstance(error, BrokerError | CallboardError)
    return str(error) if ours else explain(error, directory)
