"""Where `callboard dead` finds letters, and how it tells how far it is with them."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import anyio
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from callboard._broker import Broker
from callboard._errors import CallboardError
from callboard.app._app import App
from callboard.command._arguments import found
from callboard.command._fail import fail
from callboard.command._locate import explain
from callboard.dead._letter import Letter, Only
from callboard.dead._letters import DeadLetters, addresses_of_letters
from callboard.memory import MEMORY
from callboard_brokers import BrokerError

R = TypeVar("R")
Told: TypeAlias = Callable[[int], None]
_MANY: Final = 1000
"""After so many there is a line, where there is no terminal for a bar."""
_INTERRUPTED: Final = 130


class Place:
    """Where letters are looked for."""

    def __init__(self, app: str, address: str | None, directory: Path, factory: bool) -> None:
        self.directory = directory
        self._address = address
        self._app: App = found(app, directory, factory=factory)

    @property
    def letters(self) -> Sequence[tuple[Broker[Any], DeadLetters]]:
        """The letters of each broker that has some."""
        brokers = self._app.brokers
        if (address := self._address) is not None:
            named = [each for each in brokers if address in addresses_of_letters(each)]
            if not named and len(brokers) > 1:
                fail(
                    f"no subscriber has dead_letter={address!r}, and the application has several"
                    " brokers: which of them is not to be told",
                    status=2,
                )
            return [(each, DeadLetters(each, address)) for each in self._real(named or brokers)]
        having = [each for each in brokers if addresses_of_letters(each)]
        if not having:
            fail(
                "no subscriber of the application has a dead_letter= address; give the address",
                status=2,
            )
        return [(each, DeadLetters(each)) for each in self._real(having)]

    def _real(self, brokers: Sequence[Broker[Any]]) -> Sequence[Broker[Any]]:
        """Return those of *brokers* that are not in the memory of the process that runs them."""
        real = [each for each in brokers if each.slot.around.kind is not MEMORY]
        if not real:
            fail(
                "a broker in memory keeps its letters in the process that runs it: look through"
                " them there, by callboard.dead",
                status=2,
            )
        return real


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


def run(
    place: Place, work: Callable[[DeadLetters], Awaitable[R]], told: Count | None = None
) -> Sequence[R]:
    """Return what *work* returns of the letters of each broker; a signal ends it in good order."""
    results: list[R] = []
    letters = place.letters  # what is wrong with the command line is found before anything runs
    try:
        cut = anyio.run(_heeding, partial(_each, letters, work, results, told))
    except Exception as error:  # noqa: BLE001 - one line says so
        fail(_said(error, place.directory), status=1)
    if cut:
        rest = "" if told is None else "; the rest stays, and the next run goes on there"
        typer.echo(f"stopped{rest}", err=True)
        raise typer.Exit(_INTERRUPTED)
    return results


async def _each(
    letters: Sequence[tuple[Broker[Any], DeadLetters]],
    work: Callable[[DeadLetters], Awaitable[R]],
    results: list[R],
    told: Count | None,
) -> None:
    for broker, its in letters:
        async with broker:
            results.append(await work(its))
        if told is not None:
            told.next()


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


def read(place: Place, only: Only, limit: int | None) -> Sequence[Letter]:
    """Return the letters that are meant by *only*, at most *limit*."""

    async def take(letters: DeadLetters) -> Sequence[Letter]:
        taken: list[Letter] = []
        async with letters.open(only) as opened:
            async for letter in opened:
                taken.append(letter)
                if len(taken) == limit:
                    break
        return taken

    return [each for one in run(place, take) for each in one][:limit]


def counted(place: Place, only: Only, limit: int | None) -> int:
    """Return how many they are."""
    told = run(place, lambda letters: letters.groups(only))
    count = sum(each.count for one in told for each in one)
    return count if limit is None else min(count, limit)


@contextmanager
def telling(place: Place, only: Only, limit: int | None, what: str) -> Generator[Count]:
    """Show a bar on a terminal, and else a line now and then; in the end, how many."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(what, total=counted(place, only, limit))
            count = Count(lambda done: progress.update(task, completed=done))
            try:
                yield count
            finally:
                progress.stop()
                typer.echo(f"{count.done} {what}")
        return
    count = Count(lambda done: None if done % _MANY else typer.echo(f"{done} ...", err=True))
    try:
        yield count
    finally:
        typer.echo(f"{count.done} {what}")
