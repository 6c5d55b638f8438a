"""The dead letters of a broker: opened, counted, sent back, dropped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from anyio import CancelScope, current_time, fail_after, sleep_until
from anyio.lowlevel import checkpoint

from callboard._broker import Broker
from callboard._errors import DeclarationError
from callboard.dead._letter import ALL, REPLAYED_FROM, REPLAYS, Letter, Only, is_own
from callboard.declare._options import resolve
from callboard.declare._subscriber import addresses_of
from callboard.handle._dead_letter import kept_in
from callboard_brokers import DestinationError, Kept, Message, Revisiting, forwarding

_PAGE: Final = 200
_OFTEN: Final = 0.1
"""Seconds after which it is made known which letters are done with."""
_PATIENCE: Final = 10.0
"""Seconds to bring to its end what is under way when all is cancelled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Letters of one fault at one address.

    Attributes:
        first: When the earliest of them failed; None: none of them says.
        last: When the latest of them failed.
        reason: The words of the last one that was read.
    """

    address: str
    origin: str | None
    fingerprint: str
    count: int
    first: datetime | None
    last: datetime | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """What has become of the letters that were meant.

    Attributes:
        count: That were sent back.
        exhausted: That stay, since they were sent back as often as they may be.
        homeless: That stay, since they do not say where they came from.
    """

    count: int = 0
    exhausted: int = 0
    homeless: int = 0


class Opened:
    """Letters as they are when they are opened: `async for letter in opened`, the oldest first.

    Those that come later are not among them.
    """

    def __init__(
        self, broker: Broker[Any], kept: Sequence[tuple[str, Kept]], only: Only = ALL
    ) -> None:
        self._broker = broker
        self._kept = [*kept]
        self._only = only
        self._page: list[Letter] = []
        self._done = dict[str, list[Message]]()
        self._told = current_time()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Letter:
        await checkpoint()  # all else may be at hand, or shielded: this is where a replay ends
        while True:
            while self._page:
                letter = self._page.pop()
                if letter in self._only:
                    return letter
            if not self._kept:
                raise StopAsyncIteration
            address, kept = self._kept[0]
            page = await kept.read(_PAGE)
            self._page = [Letter(each, address) for each in reversed(page)]
            if not page:
                await self.flush()
                del self._kept[0]

    async def replay(self, letter: Letter, *, to: str | None = None) -> None:
        """Send the message of *letter*, the one read last, back to where it came from, or *to*.

        Its bytes, its key, its own headers, and where its answer goes; of the letter's only how
        often it was sent back, and from where. It is done with when the broker has that. If cancelled meanwhile, it ends
        this first.

        Raises:
            DeclarationError: The letter does not say where its message came from.
            DestinationError: That is not there any more.
            BrokerError: The broker did not take it.
        """
        if (address := to or letter.origin) is None:
            raise DeclarationError(f"{letter!r} does not say where it came from: say where to")
        said = {REPLAYS: str(letter.replays + 1), REPLAYED_FROM: letter.address}
        kind = self._broker.slot.around.kind
        target = kind.alike(letter.message, kind.back(letter.message, address))
        given = letter.message.headers
        headers, without = {**kept_in(given), **said}, [name for name in given if is_own(name)]
        message = forwarding(letter.message, headers, without, reply_to=letter.reply_to)
        with CancelScope(shield=True), fail_after(_PATIENCE):
            await self._broker.slot.connection.publish(message, target)
            await self.drop(letter)

    async def drop(self, letter: Letter) -> None:
        """Have *letter*, the one read last, removed."""
        self._done.setdefault(letter.address, []).append(letter.message)
        if current_time() - self._told >= _OFTEN:
            await self.flush()

    async def flush(self) -> None:
        """Return when all is removed that is to be."""
        for address, kept in self._kept:
            if messages := self._done.pop(address, None):
                await kept.remove(messages)
        self._told = current_time()


class DeadLetters:
    """The dead letters of *broker*, which has to be connected: `async with broker` is enough.

    They are looked for at *addresses*; without any, at those that its subscribers name by
    `dead_letter=`. One person at a time should send back or drop those of an address.

    Raises:
        DeclarationError: No address is given, and no subscriber has one.
    """

    def __init__(self, broker: Broker[Any], *addresses: str) -> None:
        self._broker = broker
        self._named = bool(addresses)
        self.addresses: Sequence[str] = addresses or addresses_of_letters(broker)
        if not self.addresses:
            raise DeclarationError(
                f"no subscriber of {broker.name} has a dead_letter= address; give the address"
            )

    @asynccontextmanager
    async def open(self, only: Only = ALL) -> AsyncGenerator[Opened]:
        """Open the letters that are meant by *only*, those of one address after the other.

        By leaving, all that was neither sent back nor dropped stays, in its order.

        Raises:
            DeclarationError: Nothing can be looked through at this broker.
            DestinationError: An address that was given is not there.
            NotRunning: The broker is not connected.
        """
        connection = self._broker.slot.connection
        if not isinstance(connection, Revisiting):
            raise DeclarationError(f"{self._broker!r} can't look through what it keeps")
        async with AsyncExitStack() as stack:
            kept: list[tuple[str, Kept]] = []
            for address in self.addresses:
                try:
                    opened = await stack.enter_async_context(connection.revisit(address))
                except DestinationError:
                    if self._named:
                        raise
                else:  # what nobody has named may not be there before its first letter
                    kept.append((address, opened))
            found = Opened(self._broker, kept, only)
            try:
                yield found
            finally:
                with CancelScope(shield=True), fail_after(_PATIENCE):
                    await found.flush()

    async def groups(self, only: Only = ALL) -> Sequence[Group]:
        """Count the letters by their fault, the most frequent first."""
        found = dict[tuple[str, str | None, str], Group]()
        async with self.open(only) as letters:
            async for letter in letters:
                key = letter.address, letter.origin, letter.fingerprint
                found[key] = _with(letter, found.get(key))
        return sorted(found.values(), key=lambda each: -each.count)

    async def replay(  # noqa: PLR0913 - each may be said, by name
        self,
        only: Only = ALL,
        *,
        to: str | None = None,
        limit: int | None = None,
        rate: float | None = None,
        max_replays: int = 3,
        progress: Callable[[Replayed], object] | None = None,
    ) -> Replayed:
        """Send back the letters that are meant by *only*, one after another, the oldest first.

        If it is cancelled or fails, those that were sent back are done with, and the others stay:
        another time it goes on there.

        Args:
            only: Which.
            to: Where to; None: where each of them came from.
            limit: How many at most.
            rate: How many in a second at most.
            max_replays: One that was sent back so often, and has come back, stays.
            progress: Told after each letter what has been done.

        Raises:
            DeclarationError: That is no rate.
        """
        _check_rate(rate)
        count = exhausted = homeless = 0
        if limit is not None and limit <= count:
            return Replayed()
        began = current_time()
        async with self.open(only) as letters:
            async for letter in letters:
                if letter.replays >= max_replays:
                    exhausted += 1
                elif to is None and letter.origin is None:
                    homeless += 1
                else:
                    if rate is not None:
                        await sleep_until(began + count / rate)
                    await letters.replay(letter, to=to)
                    count += 1
                done = Replayed(count=count, exhausted=exhausted, homeless=homeless)
                if progress is not None:
                    progress(done)
                if count == limit:
                    break
        return Replayed(count=count, exhausted=exhausted, homeless=homeless)

    async def drop(
        self,
        only: Only,
        *,
        limit: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Remove the letters that are meant by *only*, and at most *limit*; return how many."""
        count = 0
        if limit is not None and limit <= count:
            return count
        async with self.open(only) as letters:
            async for letter in letters:
                await letters.drop(letter)
                count += 1
                if progress is not None:
                    progress(count)
                if count == limit:
                    break
        return count


def addresses_of_letters(broker: Broker[Any]) -> Sequence[str]:
    """Return where the dead letters of the subscribers of *broker* go, each once."""
    around, found = broker.slot.around, dict[str, None]()
    for placed in around.subscribers():
        options = resolve(placed.declaration.options, *placed.scopes, around.options)
        if options.dead_letter is not None:
            for address in addresses_of(placed.source):
                found[options.dead_letter.replace("{address}", address)] = None
    return [*found]


def _check_rate(rate: float | None) -> None:
    if rate is not None and rate <= 0:
        raise DeclarationError(
            f"rate={rate!r} of a replay must be messages a second, above 0; None is no limit"
        )


def _with(letter: Letter, group: Group | None) -> Group:
    """Return *group* with *letter* in it."""
    said = [letter.failed_at] if group is None else [group.first, group.last, letter.failed_at]
    times = [each for each in said if each is not None]
    return Group(
        address=letter.address,
        origin=letter.origin,
        fingerprint=letter.fingerprint,
        count=1 if group is None else group.count + 1,
        first=min(times, default=None),
        last=max(times, default=None),
        reason=letter.reason,
    )
