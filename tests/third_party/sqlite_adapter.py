"""A broker in a file: SQLite behind the port, written as a third party would, from public names.

Each group of a queue has a row of its own for each message. A reader writes its name into the rows
that it takes; whoever settles a row has to be named there. All statements run in a thread.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any, NamedTuple
from uuid import uuid4

from anyio import CancelScope, sleep, to_thread

from callboard_brokers import (
    BrokerError,
    Capacity,
    ConnectionClosed,
    ConnectionLost,
    Delivery,
    DestinationError,
    Features,
    Message,
    PublishFailed,
    Settlement,
)
from callboard_brokers.events import Notify, SettlementsFailed
from callboard_brokers.kit import (
    Each,
    Flush,
    Held,
    Inflow,
    Journal,
    Kind,
    Reach,
    Replies,
    Translation,
    background,
    brief,
    from_pairs,
    to_pairs,
)

__all__ = ["PUBLISH", "Sqlite", "SqliteSource", "SqliteTarget"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS groups (queue, name, PRIMARY KEY (queue, name));
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY, queue, grp, body, key, headers,
  deliveries DEFAULT 0, due DEFAULT 0, reader, dead DEFAULT 0
)
"""
JOIN = "INSERT OR IGNORE INTO groups VALUES (?, ?)"
PUBLISH = """
INSERT INTO messages (queue, grp, body, key, headers)
SELECT queue, name, ?, ?, ? FROM groups WHERE queue = ? RETURNING id
"""
TAKE = """
UPDATE messages SET reader = ?, deliveries = deliveries + 1 WHERE id IN (
  SELECT id FROM messages
  WHERE queue = ? AND grp = ? AND reader IS NULL AND NOT dead AND due <= ? ORDER BY id LIMIT ?
) RETURNING id, body, key, headers, deliveries
"""
SETTLE = {
    Settlement.ACK: "DELETE FROM messages WHERE id = ?3 AND reader = ?2 AND ?1 NOT NULL",
    Settlement.NACK: "UPDATE messages SET reader = NULL, due = ?1 WHERE id = ?3 AND reader = ?2",
    Settlement.REJECT: "UPDATE messages SET reader = NULL, dead = ?1 WHERE id = ?3 AND reader = ?2",
    Settlement.RELEASE: "UPDATE messages SET reader = NULL, deliveries = deliveries - 1"
    " WHERE id = ?3 AND reader = ?2 AND ?1 NOT NULL",
}
RELEASE_ALL = "UPDATE messages SET reader = NULL, deliveries = deliveries - 1 WHERE reader = ?"
POLL, BEAT, LOCKED = 0.02, 0.2, 0.5
"""Seconds between two looks for something new; between two whether the file answers; for it to."""

CLIENT = Translation((sqlite3.Error,), [Kind((sqlite3.OperationalError,), ConnectionLost)])


@dataclass(frozen=True, slots=True)
class SqliteSource:
    """A queue; a *group* shares its messages, and None is a group that ends with its reader."""

    address: str
    group: str | None = field(default=None, kw_only=True)

    def prefixed(self, prefix: str, /) -> SqliteSource:
        return replace(self, address=prefix + self.address)


@dataclass(frozen=True, slots=True)
class SqliteTarget:
    """A queue to publish to."""

    address: str

    def prefixed(self, prefix: str, /) -> SqliteTarget:
        return replace(self, address=prefix + self.address)


class Row(NamedTuple):
    """A message as it is stored; `raw_message` of what is received."""

    id: int
    body: bytes
    key: bytes | None
    headers: str
    deliveries: int


class Sqlite:
    """Queues in the file at *path*."""

    def __init__(self, path: str, notify: Notify | None = None) -> None:
        self.journal = Journal(notify)
        self._path = path

    def features(self, source: SqliteSource, /) -> Features:
        return Features(
            redelivers=True,
            delays=True,
            counts_deliveries=True,
            keeps_rejected=True,
            groups=source.group is not None,
            fans_out=True,
            persistent=source.group is not None,
            ordered_by_key=True,
            keys=True,
            headers=True,
            binary_headers=True,
        )

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[SqliteConnection]:
        reach = Reach[File](self._path, self.journal)
        file = await reach.patiently(partial(File.open, self._path))
        try:
            async with background() as tasks:
                connection = SqliteConnection(file, reach)
                tasks.start_soon(connection.watch)
                connection.replies = Replies(
                    address := f"replies.{uuid4().hex}",
                    partial(connection.subscribe, SqliteSource(address), Capacity(100)),
                    tasks,
                )
                try:
                    yield connection
                finally:
                    connection.close()
        finally:
            with CancelScope(shield=True):
                await file.close()


class SqliteConnection:
    replies: Replies

    def __init__(self, file: File, reach: Reach[Any]) -> None:
        self._file: File | None = file
        self._reach = reach
        self._subscriptions: set[SqliteSubscription] = set()

    @property
    def lost_at(self) -> float | None:
        return self._reach.lost_at

    async def watch(self) -> None:
        """Look again and again whether the file answers: another may keep it locked."""
        while True:
            await sleep(BEAT)
            await self._reach.patiently(self.ping)

    @asynccontextmanager
    async def subscribe(
        self, source: SqliteSource, capacity: Capacity, /
    ) -> AsyncGenerator[SqliteSubscription]:
        subscription = SqliteSubscription(self._open(), source, capacity, self._reach)
        self._subscriptions.add(subscription)
        try:
            async with subscription.reading():
                yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def prepare(
        self, sources: Sequence[SqliteSource], targets: Sequence[SqliteTarget], /
    ) -> None:
        groups = [(each.address, each.group) for each in sources if each.group is not None]
        with CLIENT.translating(f"cannot prepare {groups}"):
            await self._open().do(JOIN, groups)

    async def publish(self, message: Message, target: SqliteTarget, /) -> Sequence[int]:
        """Return the numbers that the message has, one for each group."""
        if not target.address:
            raise DestinationError("cannot publish to '': give the name of a queue")
        headers = [
            (name, (value or b"").hex())
            for name, value in to_pairs(message.metadata, target.address)
        ]
        row = (message.body, message.key, json.dumps(headers), target.address)
        with CLIENT.translating(f"cannot publish to {target.address!r}", PublishFailed):
            return [number for (number,) in await self._open().do(PUBLISH, [row])]

    async def request(self, message: Message, target: SqliteTarget, timeout: float, /) -> Message:  # noqa: ASYNC109 - the port's
        self._open()
        return await self.replies.request(
            message, target.address, lambda request: self.publish(request, target), timeout
        )

    async def ping(self) -> None:
        with CLIENT.translating("the file does not answer", ConnectionLost):
            await self._open().do("SELECT 1 FROM groups", [()])

    def close(self) -> None:
        self._file = None
        for subscription in self._subscriptions:
            subscription.inflow.close()

    def _open(self) -> File:
        if self._file is None:
            raise ConnectionClosed("this connection to SQLite was left; connect again")
        return self._file


class SqliteSubscription:
    def __init__(
        self, file: File, source: SqliteSource, capacity: Capacity, reach: Reach[Any]
    ) -> None:
        self._reach, journal = reach, reach.journal
        self.inflow = Inflow[Row](source.address, capacity.messages, capacity.bytes)
        self._file = file
        self._source = source
        self._name = uuid4().hex
        self._group = source.group or self._name
        self._flush = Flush(
            self._send,
            lambda error: journal.tell(
                SettlementsFailed(source.address, source.group, brief(error))
            ),
        )
        self._fetching = CancelScope()
        self._each = Each(self._flush.soon)
        self._held = Held[Row](self._each.write, journal)
        self.receive, self.count_failure = self.inflow.receive, self._held.count_failure

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[None]:
        """Read; on leaving, settle what was written, and give back whatever else was taken."""
        group = (self._source.address, self._group)
        with CLIENT.translating(f"cannot read {self._source.address!r}"):
            await self._file.do(JOIN, [group])
        try:
            async with background() as tasks:
                tasks.start_soon(self._fetch)
                tasks.start_soon(self._flush.run)
                yield
        finally:
            self.inflow.close()
            await self._flush.leave(5.0)
            self._held.end_epoch()
            with CancelScope(shield=True):
                try:
                    await self._give_back(group)
                except BrokerError as error:  # a server would find out; a file needs a broom
                    self._flush.failed(error)

    async def _give_back(self, group: tuple[str, str]) -> None:
        """Give back whatever is taken, what a cancelled fetch has taken among it."""
        with CLIENT.translating(f"cannot leave {group}"):
            await self._file.do(RELEASE_ALL, [(self._name,)])
            if self._source.group is None:
                await self._file.do("DELETE FROM groups WHERE (queue, name) = (?, ?)", [group])
                await self._file.do("DELETE FROM messages WHERE grp = ?", [(self._name,)])

    async def stop_intake(self) -> None:
        """Take nothing more; what a cancelled fetch takes nevertheless goes back at the end."""
        self._fetching.cancel()
        self.inflow.close()
        for delivery in self.inflow.drain():
            delivery.release()

    async def _fetch(self) -> None:
        with self._fetching:
            await self._take()

    async def _take(self) -> None:
        try:
            while True:
                most = await self.inflow.room()
                rows = await self._reach.patiently(partial(self._some, most))
                if rows:
                    self.inflow.put([self._deliver(Row(*row)) for row in sorted(rows)])
                else:
                    await sleep(POLL)
        except BrokerError as error:
            self.inflow.fail(error)  # whoever receives raises it; once the source is left, nobody

    async def _some(self, most: int) -> Sequence[tuple[Any, ...]]:
        queue = self._source.address
        with CLIENT.translating(f"cannot read {queue!r}"):
            return await self._file.do(TAKE, [(self._name, queue, self._group, time.time(), most)])

    def _deliver(self, row: Row) -> Delivery[Row]:
        message = Message[Row].received(row, row.body, self._source.address, row.key, _metadata)
        return self._held.deliver(message, row.id, row.deliveries)

    async def _send(self) -> None:
        with self._each.sending() as entries, CLIENT.translating("cannot settle"):
            for how, statement in SETTLE.items():
                rows = [
                    (time.time() + (delay or 0.0), self._name, delivery.token)
                    for delivery, settlement, delay in entries
                    if settlement is how
                ]
                await self._file.do(statement, rows)


def _metadata(row: Row) -> Any:
    return from_pairs([(name, bytes.fromhex(value)) for name, value in json.loads(row.headers)])


class File:
    """The client: SQLite, one statement at a time, each in a thread."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._one_at_a_time = Lock()

    @classmethod
    async def open(cls, path: str) -> File:
        with CLIENT.translating(f"cannot open {path}"):
            return cls(await to_thread.run_sync(_opened, path))

    async def do(self, statement: str, rows: Sequence[Sequence[object]]) -> list[tuple[Any, ...]]:
        """Run *statement* for each of *rows*; return what it returns, of all of them."""
        return await to_thread.run_sync(self._do, statement, rows)

    async def close(self) -> None:
        await to_thread.run_sync(self._database.close)

    def _do(self, statement: str, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
        with self._one_at_a_time, self._database:
            return [found for row in rows for found in self._database.execute(statement, row)]


def _opened(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, LOCKED, check_same_thread=False)
    database.executescript(SCHEMA)
    return database
