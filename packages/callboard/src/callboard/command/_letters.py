"""Where `callboard dead` finds letters, and what it does with those of each broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from callboard._broker import Broker
from callboard.app._app import App
from callboard.command._arguments import found
from callboard.command._fail import fail
from callboard.command._working import Count, done
from callboard.dead._letter import Letter, Only
from callboard.dead._letters import DeadLetters, addresses_of_letters
from callboard.memory import MEMORY

R = TypeVar("R")


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


def run(
    place: Place, work: Callable[[DeadLetters], Awaitable[R]], told: Count | None = None
) -> Sequence[R]:
    """Return what *work* returns of the letters of each broker; a signal ends it in good order."""
    results: list[R] = []
    letters = place.letters  # what is wrong with the command line is found before anything runs
    rest = "" if told is None else "; the rest stays, and the next run goes on there"
    done(partial(_each, letters, work, results, told), place.directory, rest)
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
