"""What a kind of broker is to the facade: its name, how addresses become targets, its rules."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from callboard_brokers import Message

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class BrokerKind(Generic[T]):
    """What the facade has to know of a kind of broker beside its adapter."""

    name: str
    """What the log and the supervision tree call it."""
    target: Callable[[str], T]
    """Turns an address, as of a dead letter, into a target."""
    routing: Callable[[], Any]
    """The rules by which the broker in memory stands in for it under test."""
    partition: Callable[[Message], Hashable] | None = None
    """Tells the partition of a received message; None: the broker has none."""
    answer: Callable[[str], T] | None = None
    """Turns the address of an answer into a target, which is never created; None: as any other."""
    url: str = ""
    protocol: str = ""
