"""The link to a broker: its loss is a state, which is mended here and told once.

There are two kinds of clients. One is a link that breaks, and then another has to be opened:
`hold` does that. The other mends its link by itself, and only the start, and whatever else asks
a server once, needs patience: `patiently`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from anyio import current_time, sleep

from callboard_brokers._errors import BrokerError, ConnectionClosed, ConnectionLost
from callboard_brokers.events import ServerFound, ServerLost
from callboard_brokers.kit._backoff import RECONNECT, Backoff
from callboard_brokers.kit._journal import Journal
from callboard_brokers.kit._signal import Signal
from callboard_brokers.kit._translate import brief

L = TypeVar("L")
R = TypeVar("R")


@dataclass(eq=False)
class Reach(Generic[L]):
    """Knows whether the broker at *address* can be reached, since when not, and by which link.

    `ServerLost` is told when that begins, and `ServerFound` when it ends; the attempts in between
    are not told. Nothing is told of a first attempt that succeeds.
    """

    address: str
    journal: Journal
    backoff: Backoff = RECONNECT
    generation: int = field(default=0, init=False)
    """How often there was a link; settlements of an earlier one are stale."""
    lost_at: float | None = field(default=None, init=False)
    """Since when there is none, by `anyio.current_time`; None while there is one, and before."""
    _link: tuple[L] | None = field(default=None, init=False)
    _ended: BrokerError | None = field(default=None, init=False)
    _told: bool = field(default=False, init=False)
    _changed: Signal = field(default_factory=Signal, init=False)

    async def up(self) -> L:
        """Return the link, waiting while there is none.

        Raises:
            ConnectionClosed: It is not held any more.
            BrokerError: It was given up, as the broker turned us away.
        """
        while self._link is None:
            if self._ended is not None:
                raise self._ended.with_traceback(None)  # else it would grow with every caller
            await self._changed.wait()
        return self._link[0]

    def lose(self, error: Exception, generation: int | None = None) -> None:
        """Take notice that the link is broken; for clients that push. It may be said repeatedly.

        What is said of another *generation* than the present one is ignored; None is any.
        """
        if self._ended is not None or generation not in {None, self.generation}:
            return
        self._link = None
        if self.lost_at is None:
            self.lost_at = current_time()
        if not self._told:
            self._told = True
            self.journal.tell(ServerLost(self.address, brief(error)))
        self._changed.set()

    async def hold(self, connect: Callable[[], AbstractAsyncContextManager[L]]) -> None:
        """Keep a link open until cancelled: enter *connect*, wait for the loss, leave, try again.

        *connect* raises `ConnectionLost` where trying again may help. A link counts as good once
        it has held for longer than the wait would be; until then the waits go on growing, for a
        server that hangs up at once.

        Raises:
            BrokerError: Trying again is no use: the credentials are refused, for instance.
        """
        failures, self.lost_at = 0, current_time()
        try:
            while True:
                held = await self._hold_once(connect)
                failures = 0 if held > self.backoff.whole(failures) else failures
                await sleep(self.backoff.jittered(failures))
                failures += 1
        except BrokerError as error:
            self._end(error)
            raise
        finally:
            self._end()

    async def patiently(self, attempt: Callable[[], Awaitable[R]]) -> R:
        """Return what *attempt* returns once it does not fail with `ConnectionLost`.

        Raises:
            BrokerError: Trying again is no use.
        """
        failures = 0
        while True:
            try:
                result = await attempt()
            except ConnectionLost as error:
                self.lose(error)
                await sleep(self.backoff.jittered(failures))
                failures += 1
            else:
                self.found()
                return result

    async def _hold_once(self, connect: Callable[[], AbstractAsyncContextManager[L]]) -> float:
        """Return for how many seconds there was a link."""
        since: float | None = None
        try:
            async with connect() as link:
                since = current_time()
                self.generation += 1
                self._link = (link,)
                self.found()
                try:
                    while self.lost_at is None:
                        await self._changed.wait()
                except BaseException:
                    self._end()  # before the client tells of its own end
                    raise
        except ConnectionLost as error:
            self.lose(error)
        return 0.0 if since is None else current_time() - since

    def found(self) -> None:
        """Take notice that the broker answers; for clients that mend their link themselves."""
        self.lost_at = None
        if self._told:
            self._told = False
            self.journal.tell(ServerFound(self.address))
        self._changed.set()

    def _end(self, error: BrokerError | None = None) -> None:
        """Let go of the link for good; without an *error* in good order."""
        self._link = None
        left = ConnectionClosed(f"the connection to {self.address} was left; connect again")
        self._ended = self._ended or error or left
        self._changed.set()
