"""What the pipeline leaves behind, and whether it adds up.

Actors come and go; the books stay. In real life they are a database.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from orders.models import Invoice

__all__ = ["Books", "Check", "DeadOrder", "audit"]


class DeadOrder(NamedTuple):
    """An order that could not be handled: its bytes, why, and at which address."""

    body: bytes
    reason: str
    message: str
    address: str


@dataclass
class Books:
    """The records of one run."""

    published: int = 0
    invoices: list[Invoice] = field(default_factory=list)
    shipped: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """For each customer the numbers of the orders, as they were shipped."""
    dead: list[DeadOrder] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    """How many price lists."""
    shifts: list[str] = field(default_factory=list)
    """How each life of the actor `Invoices` ended."""

    @property
    def parcels(self) -> int:
        """How many orders were shipped."""
        return sum(map(len, self.shipped.values()))


class Check(NamedTuple):
    """A claim, and whether it holds."""

    claim: str
    holds: bool


def audit(books: Books) -> list[Check]:
    """Say what must be true of the *books* once everything has stopped."""
    parcels, dead = books.parcels, len(books.dead)
    numbers = [invoice.number for invoice in books.invoices]
    return [
        Check(
            f"{books.published:,} orders published = {parcels:,} shipped + {dead:,} dead letters",
            0 < books.published == parcels + dead,
        ),
        Check(
            f"the orders of each of {len(books.shipped)} customers arrived in sequence",
            all(orders == sorted(set(orders)) for orders in books.shipped.values()),
        ),
        Check(
            f"{len(numbers):,} invoices, numbered without a gap across every restart",
            numbers == [*range(1, parcels + 1)],
        ),
        Check(
            f"{books.opened:,} price lists opened, {books.closed:,} closed",
            books.opened == books.closed,
        ),
    ]
