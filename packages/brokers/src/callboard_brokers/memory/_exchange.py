"""What all connections of one broker in memory share: its groups, and who reads what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from anyio import Event

from callboard_brokers._message import Message
from callboard_brokers._port import Capacity
from callboard_brokers.events import MessageUnrouted
from callboard_brokers.memory._book import Book
from callboard_brokers.memory._group import Group
from callboard_brokers.memory._records import MemoryRecord
from callboard_brokers.memory._routing import Readership
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
    """Brings what is published to the groups whose routes match."""

    def __init__(self, capacity: int, book: Book) -> None:
        self.book = book
        self.published = 0
        self.groups: list[Group] = []
        self._capacity = capacity
        self._shared: dict[object, Group] = {}
        self._routes: dict[str, Routes] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._numbers = 0

    @property
    def outstanding(self) -> int:
        """Count what its readers hold or can take now."""
        return sum(group.waiting + group.unsettled for group in self.groups if group.readers)

    def routes(self, address: str) -> Routes:
        """Return the groups that read *address*, with its path there; may be empty."""
        routes = self._routes.get(address)
        return self._find(address) if routes is None else routes

    def put_apart(self, record: MemoryRecord) -> None:
        """Take what no group reads: a reply, or else nothing that anybody waits for."""
        inbox = self._inboxes.get(record.address)
        if inbox is None:
            self.book.journal.tell(MessageUnrouted(record.address))
        else:
            inbox.put(record)

    def join(self, readership: Readership, capacity: Capacity) -> MemorySubscription:
        """Start a reader of *readership*'s group."""
        group = self.open(readership)
        subscription = MemorySubscription(group, capacity, self._number(), self.book)
        group.readers.add(subscription)
        return subscription

    def has(self, readership: Readership) -> bool:
        """Whether there is a group that *readership* shares."""
        return readership.group is not None and readership.key in self._shared

    def open(self, readership: Readership) -> Group:
        """Return *readership*'s group, which is made if there is none yet."""
        group = self._shared.get(readership.key) if readership.group is not None else None
        if group is None:
            group = Group(readership, self._capacity)
            self.groups.append(group)
            self._routes.clear()
            if readership.group is not None:
                self._shared[readership.key] = group
        return group

    def leave(self, subscription: MemorySubscription) -> None:
        """End a reader; a group of its own ends with it, and lets in whoever waited for room."""
        group = subscription.group
        if subscription not in group.readers:
            return
        subscription.leave()
        group.readers.discard(subscription)
        if group.readership.group is None:
            self.groups.remove(group)
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
