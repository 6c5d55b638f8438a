"""Heart-beats from a thread of their own: a handler that blocks the event loop costs no membership.

The client beats in the loop of the handlers. With a session short enough to notice soon that a
member is dead, whoever computes for a few seconds would be expelled, and what he has computed would
be done again by the next, who is expelled in turn. So each connection has a thread that beats for
its members wherever the client has not been heard for a while. What the answers say is left to the
client, which hears the same a little later.

It only speaks for who lives: a member whose loop has not turned for `max_poll_interval_ms` is let go.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop, run_coroutine_threadsafe, wrap_future
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from threading import Thread
from time import monotonic
from typing import Any

import anyio

from callboard_brokers.kafka._client import connect, heartbeat
from callboard_brokers.kafka._mending import Place
from callboard_brokers.kafka._records import KafkaOptions
from callboard_brokers.kit import SASLOAuthBearer, together


class Pulse:
    """Beats for all members of a connection; its thread begins with the first of them."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._members: dict[Callable[[], Place | None], float] = {}
        self._links: dict[tuple[str, int], Any] = {}
        self._thread: Thread | None = None
        self._loop: AbstractEventLoop | None = None
        self._woken = anyio.Event()
        self._over = False

    def add(self, where: Callable[[], Place | None], interval: float) -> None:
        """Beat for a member whose client was not answered for *interval* seconds, and so often.

        *where* says its place, None: not now.
        """
        self._members[where] = interval
        if self._thread is None:
            self._options = _asking(get_running_loop(), self._options)
            self._thread = Thread(
                target=anyio.run, args=[self._run], name="callboard-kafka-pulse", daemon=True
            )
            self._thread.start()

    def discard(self, where: Callable[[], Place | None]) -> None:
        """Beat no more for a member."""
        self._members.pop(where, None)

    def close(self) -> None:
        """End the thread, without waiting for it."""
        self._over = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def _run(self) -> None:
        self._loop, connecting = get_running_loop(), anyio.Lock()
        try:
            while not self._over:
                with anyio.move_on_after(await self._beat_where_nobody_does(connecting)):
                    await self._woken.wait()
        finally:
            for link in self._links.values():
                link.close()

    async def _beat_where_nobody_does(self, connecting: anyio.Lock) -> float:
        """Beat for the members who are due; return in how many seconds the next one may be."""
        due: list[Callable[[], Awaitable[None]]] = []
        rests: list[float] = []
        members = {**self._members}  # at once, since the other thread may change it
        for where, interval in members.items():
            place = where()
            rest = interval if place is None else self._rest(place, interval)
            if place is not None and rest <= 0:
                due.append(partial(self._beat, place, interval, connecting))
                rest = interval
            rests.append(rest)
        if due:
            # What fails is not told: the client, which beats as well, finds out and tells it.
            await together(due)
        return min(rests, default=1.0)

    def _rest(self, place: Place, interval: float) -> float:
        """Return for how many seconds the client's own beats will do."""
        link = self._links.get((place.host, place.port))
        if link is None or not link.connected():
            return 0.0  # to have one when it is needed: who is to let it in may ask the loop
        return place.heard + interval - monotonic()

    async def _beat(self, place: Place, interval: float, connecting: anyio.Lock) -> None:
        address = place.host, place.port
        with anyio.move_on_after(max(1.0, interval / 2)) as patience:
            async with connecting:
                link = self._links.get(address)
                if link is None or not link.connected():
                    link = self._links[address] = await connect(*address, self._options)
            await link.send(heartbeat(place.group, place.generation, place.member))
        if patience.cancelled_caught and address in self._links:
            self._links.pop(address).close()


def _asking(main: AbstractEventLoop, options: KafkaOptions) -> KafkaOptions:
    """Have tokens asked for in the loop where they were until now, not in the thread's."""
    security = options.security
    if not isinstance(security, SASLOAuthBearer):
        return options

    async def token() -> str:
        return await wrap_future(run_coroutine_threadsafe(_awaited(security), main))

    return replace(options, security=replace(security, token=token))


async def _awaited(security: SASLOAuthBearer) -> str:
    return await security.token()
