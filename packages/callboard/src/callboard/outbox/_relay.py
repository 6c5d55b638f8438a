"""What sends the messages of an outbox, one relay in each process, for as long as its broker runs.

A relay leases lanes of the table in which something waits, sends that, notes what has arrived, and
lets the lanes go. Of one lane only one relay sends; of those messages that keep their order, it
sends one when the one before has arrived. Should it die, at whatever step, its leases end, and the
next one finds what is not noted as sent: so each message leaves at least once, none before those
that it has to follow, and some twice.

What waits is looked for when PostgreSQL notifies of it, and every now and then anyhow: a
notification is lost with the connection that would have brought it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import anyio
from anyio import create_task_group, current_time, move_on_after

from callboard._errors import words
from callboard.events import OutboxHeldUp, OutboxMessageRefused, OutboxResumed
from callboard.handle._output import is_hopeless
from callboard.instruments import Output
from callboard.outbox._row import read
from callboard.outbox._table import Table
from callboard.run._surroundings import Surroundings
from callboard_actors import Child
from callboard_brokers import Confirmation
from callboard_brokers.kit import RECONNECT

_ROWS: Final = 100
"""How many messages of a lane are taken at a time, so that one that is stuck is in no other's way."""
_MOST_LANES: Final = 8
"""How many lanes are leased at a time, so that others find some too."""
_SWEEP: Final = 60.0
"""Seconds between two looks for what was sent long ago."""
_PARTING: Final = 2.0
"""Seconds that giving back leases may take of a stop."""


class Relay:
    """Sends what waits in *table* by the broker that is *around*.

    Attributes:
        creates: Whether it makes the tables if they are missing.
    """

    def __init__(
        self, table: Table, around: Surroundings, *, lease: float, keep: float, poll: float
    ) -> None:
        self.creates = True
        self._table = table
        self._around = around
        self._lease, self._keep, self._poll = lease, keep, poll
        self._owner = uuid4().hex
        self._good_until = 0.0
        self._failures = 0
        self._sent = self._refused = 0
        self._news = anyio.Event()
        self._child = Child()

    async def run(self, child: Child) -> None:
        """Be a child of the broker's supervisor."""
        self._child, self._news = child, anyio.Event()
        self._failures = 0
        child.details = self._details
        child.on_stop(self._tell)
        async with create_task_group() as tasks:
            tasks.start_soon(self._listen)
            if self._keep:
                tasks.start_soon(self._sweep)
            await self._relay()
            tasks.cancel_scope.cancel()

    def _details(self) -> Mapping[str, object]:
        return {"sent": self._sent, "refused": self._refused}

    async def _relay(self) -> None:
        """Send whatever waits, until asked to stop."""
        while not self._child.stop_requested:
            self._news = anyio.Event()  # what is written after the look is told by this one
            try:
                if self.creates:
                    await self._table.make()
                    self.creates = False
                found = await self._turn()
            except Exception as error:  # noqa: BLE001 - of the database, or the broker: it is tried again
                await self._pause(error)
                continue
            self._resume()
            if not found and not self._child.stop_requested:
                await self._wait(self._poll)

    async def _turn(self) -> bool:
        """Send what waits in some lanes; return whether there were any.

        Raises:
            Exception: Something is not out, and may be later.
        """
        began = current_time()
        lanes = await self._table.lease(self._owner, self._lease, _MOST_LANES)
        if not lanes:
            return False
        self._good_until = began + self._lease
        failure: Exception | None = None
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(self._extend, lanes)
                try:
                    await self._send(await self._table.take(lanes, _ROWS))
                except Exception as error:  # noqa: BLE001 - it is raised outside of the group
                    failure = error
                tasks.cancel_scope.cancel()
        finally:
            with move_on_after(_PARTING, shield=True), suppress(Exception):  # else the lease ends
                await self._table.release(self._owner, lanes)
        if failure is not None:
            raise failure
        return True

    async def _send(self, rows: Sequence[Any]) -> None:
        """Send *rows*; what is to follow one that is not out waits for it.

        Raises:
            Exception: Some are not out, and may be later.
        """
        waiting, failed = [*rows], dict[int, Exception]()
        while waiting and not self._child.stop_requested and current_time() < self._good_until:
            wave, waiting = _heads(waiting)
            failures = await self._send_wave(wave)
            if failures and len(failures) == len(wave):
                raise next(iter(failures.values()))  # nothing gets out
            stuck = {row["ordered_by"] for row in wave if row["id"] in failures}
            waiting = [row for row in waiting if row["ordered_by"] not in stuck]
            failed |= failures
        if failed:
            raise next(iter(failed.values()))

    async def _send_wave(self, wave: Sequence[Any]) -> Mapping[int, Exception]:
        """Send *wave* at once, and note what has arrived; return what may arrive later."""
        failures: dict[int, Exception] = {}
        confirmations: dict[int, Confirmation] = {}
        for row in wave:
            try:
                target, message = read(row, self._around.kind)
                output = Output(self._around.out, target, message, "own")
                confirmations[row["id"]] = await self._around.out.send([output], None)
            except Exception as error:  # noqa: BLE001 - whatever the broker says, it is not out
                failures[row["id"]] = error
        for number, confirmation in confirmations.items():
            try:
                await confirmation.wait()
            except Exception as error:  # noqa: BLE001 - likewise
                failures[number] = error
        if arrived := [each for each in confirmations if each not in failures]:
            await self._table.sent(arrived, keep=bool(self._keep))
            self._sent += len(arrived)
        for row in wave:
            failure = failures.get(row["id"])
            if failure is not None and is_hopeless(failure):
                await self._refuse(row, failures.pop(row["id"]))
        return failures

    async def _refuse(self, row: Any, error: Exception) -> None:
        """Set *row* aside, which never can be sent; what follows it goes on."""
        await self._table.refused(row["id"], words(error))
        self._refused += 1
        self._around.events(
            OutboxMessageRefused(self._child.path, row["id"], row["address"], words(error))
        )

    async def _extend(self, lanes: Sequence[int]) -> None:
        while True:
            await anyio.sleep(self._lease / 3)
            began = current_time()
            with suppress(Exception):  # it is tried again; when the lease is up, nothing is sent
                is_ours = await self._table.extend(self._owner, self._lease, lanes)
                self._good_until = began + self._lease if is_ours else 0.0

    async def _pause(self, error: Exception) -> None:
        if not self._failures:
            self._around.events(OutboxHeldUp(self._child.path, words(error) or repr(error)))
        delay = RECONNECT.whole(self._failures)
        self._failures += 1
        with move_on_after(delay):
            await self._child.stopping()

    def _resume(self) -> None:
        if self._failures:
            self._failures = 0
            self._around.events(OutboxResumed(self._child.path))

    async def _wait(self, seconds: float) -> None:
        with move_on_after(seconds):
            await self._news.wait()

    def _tell(self) -> None:
        self._news.set()

    async def _listen(self) -> None:
        """Hear of what is written; without a connection it is looked for every now and then."""
        failures = 0
        while True:
            with suppress(Exception):
                connection = await self._table.database.connect()
                try:
                    await self._hear(connection)
                    failures = 0
                finally:
                    connection.terminate()
            await anyio.sleep(RECONNECT.jittered(failures))
            failures += 1

    async def _hear(self, connection: Any) -> None:
        """Hear of it by *connection*, until that is lost."""
        lost = anyio.Event()

        def end(_: object) -> None:
            lost.set()

        def hear(*_: object) -> None:
            self._tell()

        connection.add_termination_listener(end)
        await connection.add_listener(self._table.channel, hear)
        self._tell()  # of what was written before
        await lost.wait()

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(_SWEEP)
            with suppress(Exception):  # the next one finds it
                await self._table.prune(self._keep)


def _heads(rows: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return what may be sent at once: the first of each order, and all of none; and the others."""
    seen, heads, others = set[str](), list[Any](), list[Any]()
    for row in rows:
        order = row["ordered_by"]
        (others if order in seen else heads).append(row)
        if order is not None:
            seen.add(order)
    return heads, others
