"""One who waits at the server: by a connection of its own, made again when it is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from anyio import CancelScope, Event, current_time, move_on_after, sleep

from callboard_brokers._errors import BrokerError, ConnectionClosed, ConnectionLost
from callboard_brokers.events import FetchFailed
from callboard_brokers.kit import Backoff, brief
from callboard_brokers.redis._client import Asked, Refused, Wire, Word
from callboard_brokers.redis._link import Link
from callboard_brokers.redis._records import RedisSource

T = TypeVar("T")
AGAIN: Final = Backoff(0.2, 2.0)
_UNBLOCK: Final = 0.05


class Turning(Protocol):
    """What is to be done on a connection."""

    async def begin(self) -> None:
        """Do what each new connection takes."""
        ...

    async def turn(self) -> None:
        """Read once; called again and again."""
        ...

    def pushed(self, said: Sequence[Any], /) -> None:
        """Take all that the server has said unasked."""
        ...


class Reader:
    """Has *what* read, on one connection after the other, until it is stopped.

    What was asked is taken when it comes, even if whoever waited was cancelled meanwhile.
    """

    def __init__(self, link: Link, source: RedisSource, what: Turning) -> None:
        self.started = Event()
        self.failure: BrokerError | None = None
        self.stopped = False
        self._link, self._source, self._what = link, source, what
        self._wire: Wire | None = None
        self._last: Asked[Any] | None = None

    async def run(self, scope: CancelScope) -> None:
        """Read until cancelled; if it cannot be read at all, keep the reason and cancel *scope*."""
        failures, source = 0, self._source
        while not self.stopped:
            since = current_time()
            error = await self._once()
            if self.failure is not None:
                scope.cancel()
            if self.failure is not None or isinstance(error, ConnectionClosed):
                return
            failures = 0 if current_time() - since > AGAIN.longest else failures
            if not isinstance(error, ConnectionLost):
                told = FetchFailed(source.address, source.group, brief(error))
                self._link.journal.tell(told)
            await sleep(AGAIN.jittered(failures))
            failures += 1

    async def ask(self, read: Callable[[Any], T], *words: Word) -> T:
        """Return what *read* makes of the answer; it is called though nobody waits any more.

        Raises:
            BrokerError: The server refuses, or is lost.
        """
        self._last = asked = Asked(self._source.address, read)
        return await self.wire.ask(asked, *words).wait()

    @property
    def wire(self) -> Wire:
        """The connection, while there is one.

        Raises:
            ConnectionLost: There is none.
        """
        if self._wire is None or self._wire.error is not None:
            raise ConnectionLost(f"{self._source.address!r} is not being read")
        return self._wire

    async def stop(self, patience: float) -> None:
        """Read no more; what the server was about to send has come when this returns."""
        self.stopped = True
        last, wire = self._last, self._wire
        if wire is None:
            return
        try:
            with move_on_after(patience):
                while last is not None and not last.known:
                    # It may not have begun to wait yet, so it is woken until it has.
                    await self._link.call(self._source.address, "CLIENT", "UNBLOCK", wire.id)
                    with move_on_after(_UNBLOCK):
                        await last.wait()
        except BrokerError:
            pass  # it may not be woken, so it is left
        finally:
            wire.close("it is read no more")

    async def _once(self) -> BrokerError:
        """Read until something breaks; return what that is."""
        try:
            if self._wire is None or self._wire.error is not None:
                self._wire = await self._link.open(self._source.address, self._what.pushed)
            await self._what.begin()
            self.started.set()
            while not self.stopped:
                await self._what.turn()
        except BrokerError as error:
            passes = isinstance(error, ConnectionLost | ConnectionClosed | Refused)
            if not self.started.is_set() and not passes:
                self.failure = error
            return error
        return ConnectionClosed("it is read no more")
