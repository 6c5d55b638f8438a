"""What came from the broker and was not received yet.

A client's task puts in, `receive` takes out. Nothing runs in here: a reader waits until something
arrives, or until what was to come later is due. What is taken is taken in one synchronous step, so
a reader that is cancelled loses nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from heapq import heappop, heappush
from math import inf
from typing import Generic, TypeVar

from anyio import current_time
from anyio.lowlevel import checkpoint

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import BrokerError, ConnectionClosed
from callboard_brokers.kit._signal import Signal

R = TypeVar("R")

FAIR = 64
"""After so many calls of `receive` that found something at once, others get a turn."""


class Inflow(Generic[R]):
    """Holds deliveries in the order in which they came, those that come again before all others.

    Whoever fetches asks for as many as are `wanted`, so that at most *capacity* deliveries wait, and
    *max_bytes* of bodies, if the next are as long as the last. Nothing is wanted either while as
    many wait until they are due. Beside that, a reader holds what it has received, and
    bounds it by its limit.

    Args:
        address: What an error calls the source.
        capacity: How many deliveries may wait here.
        max_bytes: How long all their bodies may be together.
    """

    def __init__(self, address: str, capacity: int, max_bytes: float = inf) -> None:
        if capacity < 1:
            raise ValueError(
                f"cannot read {address!r} with a capacity of {capacity}: give 1 or more"
            )
        self.recall: Callable[[], None] = lambda: None
        """Has the reader release what it has not begun; see `Revocable.on_recall`."""
        self._address = address
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._bytes = 0
        self._mean = 1.0
        self._turn = self._sequence = 0
        self._ready: deque[Delivery[R]] = deque()
        self._later: list[tuple[float, int, Delivery[R]]] = []
        self._ended: BrokerError | None = None
        self._arrived, self._room = Signal(), Signal()

    def __len__(self) -> int:
        return len(self._ready) + len(self._later)

    @property
    def wanted(self) -> int:
        """How many deliveries to fetch now; 0 until half of the room is free."""
        if self._ended or len(self._later) >= self._capacity or 2 * self._bytes > self._max_bytes:
            return 0
        free = self._capacity - len(self._ready)
        fit = (self._max_bytes - self._bytes) / self._mean
        return max(1, int(min(free, fit))) if 2 * free >= self._capacity else 0

    async def room(self) -> int:
        """Wait until deliveries are wanted, and return how many.

        Raises:
            BrokerError: None will be any more, for this reason.
        """
        while not (wanted := self.wanted):
            self._check()
            await self._room.wait()
        return wanted

    def put(self, deliveries: Collection[Delivery[R]]) -> None:
        """Add *deliveries*, which come after all others; never refused, nor waited for."""
        size = sum(map(_size, deliveries))
        self._ready.extend(deliveries)
        self._bytes += size
        self._mean = max(1.0, size / max(1, len(deliveries)))
        self._arrived.set()

    def later(self, delivery: Delivery[R], delay: float) -> None:
        """Add *delivery*, which comes before all others once *delay* seconds have passed."""
        self._sequence += 1
        heappush(self._later, (current_time() + delay, self._sequence, delivery))
        self._bytes += _size(delivery)
        self._arrived.set()

    async def receive(self, limit: int, max_bytes: float = inf, /) -> list[Delivery[R]]:
        """Wait for at least one delivery; return at most *limit*, in order; see `Subscription`.

        Raises:
            ConnectionClosed: The subscription has been left.
            BrokerError: It cannot go on, for this reason.
        """
        if limit < 1:
            raise ValueError(f"cannot receive {limit} deliveries: ask for at least one")
        self._turn += 1
        if self._turn % FAIR == 0:
            await checkpoint()
        while True:
            self._check()
            taken = self._take(limit, max_bytes)
            if taken:
                return taken
            await self._arrived.wait(self._later[0][0] - current_time() if self._later else None)

    def drain(self) -> list[Delivery[R]]:
        """Take out everything, in order, even what is not due yet; may be empty."""
        self._ripen(inf)
        drained = list(self._ready)
        self._ready.clear()
        self._bytes = 0
        self._room.set()
        return drained

    def end_epoch(self) -> list[Delivery[R]]:
        """Have the reader give back what it has not begun, then take out everything.

        For what the broker delivers again: to us by another connection, or to somebody else. After
        a loss, end the epoch of the ledger before: what is given back cannot be told any more.
        """
        self.recall()
        return self.drain()

    def fail(self, error: BrokerError) -> None:
        """End it: from now on `receive` and `room` raise *error*, or what ended it before."""
        self._ended = self._ended or error
        self._arrived.set()
        self._room.set()

    def close(self) -> None:
        """End it in good order."""
        self.fail(
            ConnectionClosed(
                f"the subscription of {self._address!r} has been left; subscribe again"
            )
        )

    def _take(self, limit: int, max_bytes: float) -> list[Delivery[R]]:
        if self._later:
            self._ripen(current_time())
        ready, taken, spare = self._ready, list[Delivery[R]](), max_bytes
        for _ in range(min(limit, len(ready))):
            taken.append(delivery := ready.popleft())
            size = _size(delivery)
            self._bytes -= size
            spare -= size
            if spare <= 0:
                break
        if taken and self.wanted:
            self._room.set()
        return taken

    def _ripen(self, now: float) -> None:
        """Put what is due in front of what waits, in the order in which it is."""
        ripe: list[Delivery[R]] = []
        while self._later and self._later[0][0] <= now:
            ripe.append(heappop(self._later)[2])
        self._ready.extendleft(reversed(ripe))

    def _check(self) -> None:
        if self._ended is not None:
            raise self._ended.with_traceback(None)


def _size(delivery: Delivery) -> int:
    return len(delivery.message.body)
