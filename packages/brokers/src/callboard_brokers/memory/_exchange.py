"""What all connections of one broker in memory share: its groups, and who reads what."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from heapq import heappop, heappush
from math import inf
from typing import Any, TypeAlias

from anyio import Event, current_time

from callboard_brokers._message import Message
from callboard_brokers._port import Capacity
from callboard_brokers.events import MessageUnrouted
from callboard_brokers.kit._when import seconds_until
from callboard_brokers.memory._book import Book
from callboard_brokers.memory._group import Group
from callboard_brokers.memory._records import MemoryRecord, MemoryTarget
from callboard_brokers.memory._routing import Distributing, Readership, Recording
from callboard_brokers.memory._subscription import MemorySubscription

Routes: TypeAlias = Sequence[tuple[Group, Mapping[str, str]]]

REMEMBERED = 1024
"""So many addresses are routed once; then all are forgotten, for addresses may be endless."""


class Inbox:
    """The private address of one request, and what came there."""

    __slots__ = ("_closed", "address", "reply")

    def __init__(self, address: str) -> None:
        self.address = address
        self.reply: Message[MemoryRecord] | None = None
        self._closed = Event()

    def put(self, record: MemoryRecord) -> None:
        """Keep the first reply; nobody waits for a second."""
        if self.reply is None:
            self.reply = record.message()
            self._closed.set()

    def close(self) -> None:
        """End the wait."""
        self._closed.set()

    async def wait(self) -> None:
        """Wait for the reply, or for the end."""
        await self._closed.wait()


class Exchange:
    """Brings what is published to the groups that get it by the rules of *routing*."""

    def __init__(self, capacity: int, book: Book, routing: object) -> None:
        self.book = book
        self.distributing: Distributing[Any, Any] | None = (
            routing if isinstance(routing, Distributing) else None
        )
        self._record = routing.record if isinstance(routing, Recording) else MemoryRecord
        self.published = 0
        self.groups: list[Group] = []
        self._capacity = capacity
        self._shared: dict[object, Group] = {}
        self._routes: dict[str, Routes] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._numbers = 0
        self._expiring: list[tuple[float, int, Group, MemoryRecord]] = []

    @property
    def outstanding(self) -> int:
        """Count what its readers hold or can take now."""
        return sum(group.waiting + group.unsettled for group in self.groups if group.readers)

    def routes(self, address: str) -> Routes:
        """Return the groups that read *address*, with its path there; may be empty."""
        routes = self._routes.get(address)
        return self._find(address) if routes is None else routes

    def readers(self, message: Message, target: Any, address: str) -> Routes:
        """Return the groups that get *message*, with its path there; may be empty.

        Raises:
            DestinationError: The rules say that it is for somebody.
        """
        if self.distributing is None or address in self._inboxes:
            return self.routes(address)
        return self._among(self.distributing.readers(message, target))

    def put(self, message: Message, where: MemoryTarget, routes: Routes) -> None:
        """Leave *message* with the groups of *routes*."""
        key = where.key if where.key is not None else message.key
        if isinstance(key, str):
            key = key.encode()
        self.published += 1
        held = None
        if where.delay is not None or where.at is not None:
            held = seconds_until(where.address, where.delay, where.at)
        for group, path in routes:
            readership = group.readership
            make = readership.record or self._record
            record = make(message, readership.address or where.address, key, path)
            if record is None:
                continue
            group.put(record, record.delay if held is None else held)
            if record.lasts is not None:
                self._limit(group, record, record.lasts)
        if not routes:
            self._put_apart(self._record(message, where.address, key, {}), keep=where.keep)

    def _limit(self, group: Group, record: MemoryRecord, lasts: float) -> None:
        self._numbers += 1
        heappush(self._expiring, (current_time() + lasts, self._numbers, group, record))
        for each in self.groups:
            each.wake_all()  # each of them waits until the next expires

    def expire(self) -> float:
        """Give up what nobody has taken in time; return when the next is due."""
        expiring = self._expiring
        while expiring and expiring[0][0] <= current_time():
            _, _, group, record = heappop(expiring)
            if group.drop(record):
                self.give_up(record, group, "expired")
                if self.book.watch is not None:
                    self.book.watch()
        return expiring[0][0] if expiring else inf

    def give_up(self, record: MemoryRecord, group: Group, reason: str) -> None:
        """Take what *group* will not deliver again to where the rules say, or keep it."""
        rules, readership = self.distributing, group.readership
        onward = None if rules is None else rules.onward(record, readership.key, reason)
        if onward is None:
            self.book.keep(record, readership.group, reason)
        else:
            message, paths = onward
            self.put(message, MemoryTarget(record.address), self._among(paths))

    def _put_apart(self, record: MemoryRecord, *, keep: bool) -> None:
        """Take what no group reads: a reply, what is kept, or else what nobody waits for."""
        inbox = self._inboxes.get(record.address)
        if inbox is not None:
            inbox.put(record)
        elif keep:
            self.book.keep(record, None, "nobody reads it")
        else:
            self.book.journal.tell(MessageUnrouted(record.address))

    def join(self, readership: Readership, capacity: Capacity) -> MemorySubscription:
        """Start a reader of *readership*'s group."""
        group = self.open(readership)
        subscription = MemorySubscription(group, capacity, self._number(), self.book, self.give_up)
        group.readers.add(subscription)
        return subscription

    def has(self, readership: Readership) -> bool:
        """Whether there is a group that *readership* shares."""
        return readership.group is not None and readership.key in self._shared

    def open(self, readership: Readership) -> Group:
        """Return *readership*'s group, which is made if there is none yet."""
        group = self._shared.get(readership.key) if readership.group is not None else None
        if group is None:
            group = Group(readership, self._capacity, self.expire)
            self.groups.append(group)
            self._routes.clear()
            if readership.group is not None:
                self._shared[readership.key] = group
            for record in readership.earlier():
                group.put(record, None)
        return group

    def leave(self, subscription: MemorySubscription) -> None:
        """End a reader; a group of its own ends with it, and lets in whoever waited for room."""
        group = subscription.group
        if subscription not in group.readers:
            return
        subscription.leave()
        group.readers.discard(subscription)
        if group.readership.group is None or not (group.readership.keeps or group.readers):
            self.groups.remove(group)
            self._shared.pop(group.readership.key, None)
            self._routes.clear()
            group.let_in()
        if self.book.watch is not None:
            self.book.watch()

    def open_inbox(self) -> Inbox:
        """Make an address that nobody else has."""
        inbox = Inbox(f"_inbox.{self._number()}")
        self._inboxes[inbox.address] = inbox
        return inbox

    def close_inbox(self, inbox: Inbox) -> None:
        """Forget the address: a reply that comes too late finds nobody."""
        del self._inboxes[inbox.address]

    def _among(self, paths: Mapping[Hashable, Mapping[str, str]]) -> Routes:
        keyed = ((group, group.readership.key) for group in self.groups)
        return [(group, paths[key]) for group, key in keyed if key in paths]

    def _find(self, address: str) -> Routes:
        if address in self._inboxes:
            return ()
        paths = ((group, group.readership.match(address)) for group in self.groups)
        routes = [(group, path) for group, path in paths if path is not None]
        if len(self._routes) >= REMEMBERED:
            self._routes.clear()
        self._routes[address] = routes
        return routes

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers
