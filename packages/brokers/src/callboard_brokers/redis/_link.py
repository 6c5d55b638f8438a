"""The way to the server: one connection for all commands, and one for each who waits there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from anyio import current_time, sleep

from callboard_brokers._errors import BrokerError, ConnectionClosed
from callboard_brokers.kit import Journal, Reach, background
from callboard_brokers.redis._client import Asked, Server, Wire, Word, as_it_is
from callboard_brokers.redis._config import RedisOptions

T = TypeVar("T")
BEAT: Final = 4.0
"""Seconds after which a server that has nothing to say is asked whether it is there."""


class Link:
    """A connection that is made again when it is lost. What was on its way then fails, once."""

    def __init__(self, url: str, options: RedisOptions, journal: Journal) -> None:
        self.options, self.journal = options, journal
        self.server = Server(url, options)
        self.reach = Reach[Wire](self.server.address, journal)
        self.closed = False
        self._wires: set[Wire] = set()

    @property
    def is_up(self) -> bool:
        """Whether there is a server to speak to."""
        return self.reach.lost_at is None and not self.closed

    def check_open(self) -> None:
        """Refuse to go on after the end.

        Raises:
            ConnectionClosed: The connection has been left.
        """
        if self.closed:
            raise ConnectionClosed("this connection to Redis was left; connect again")

    async def hold(self) -> None:
        """Keep the connection for commands until cancelled; what ends it is told to who uses it."""
        with suppress(BrokerError):  # `Reach` keeps it
            await self.reach.hold(self._commands)

    async def open(self, key: str, pushed: Callable[[Sequence[Any]], None]) -> Wire:  # noqa: ARG002
        """Return a connection for one who waits where *key* is.

        Raises:
            BrokerError: There is none.
        """
        await self.reach.up()
        return self._known(await self.server.open(pushed))

    async def send(self, key: str, asked: Asked[T], *words: Word) -> Asked[T]:  # noqa: ARG002
        """Send a command that is about *key*, waiting only while there is nobody who would take it."""
        self.check_open()
        wire = await self.reach.up()
        if wire.is_full:
            await wire.room()
        return wire.ask(asked, *words)

    async def call(self, key: str, *words: Word) -> Any:
        """Return what the server answers to a command that is about *key*.

        Raises:
            BrokerError: It refuses, or has not answered.
        """
        return await (await self.send(key, Asked(key, as_it_is), *words)).wait()

    async def watch(self) -> None:
        """See to it that a server that is silent is not waited for without end; until cancelled."""
        while True:
            await sleep(1.0)
            now = current_time()
            for wire in [*self._wires]:
                silent = now - wire.heard
                if wire.asked and silent > self.options.socket_timeout:
                    wire.close(f"it has not answered for {silent:.0f} s")
                elif not wire.asked and silent > BEAT:
                    wire.ask(Asked(wire.address, as_it_is), "PING")

    def close(self) -> None:
        """Hang up, everywhere."""
        self.closed = True
        for wire in [*self._wires]:
            wire.close()

    @asynccontextmanager
    async def _commands(self) -> AsyncGenerator[Wire]:
        wire = self._known(await self.server.open())
        generation = self.reach.generation + 1
        try:
            async with background() as tasks:
                tasks.start_soon(self._look, wire, generation)
                yield wire
        finally:
            wire.close()

    async def _look(self, wire: Wire, generation: int) -> None:
        """Take notice of the end of *wire*: in a task, for what calls it there has no clock."""
        while wire.error is None:
            await wire.gone.wait()
        if not self.closed:
            self.reach.lose(wire.error, generation)

    def _known(self, wire: Wire) -> Wire:
        self._wires.add(wire)
        wire.told.append(lambda _: self._wires.discard(wire))
        return wire
