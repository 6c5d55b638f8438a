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
    answer: Callable[[str], T]
    """Turns an address that waits for an answer into a target, which is never created."""
    dead_letter: Callable[[str, Any], T]
    """Turns the address of dead letters, and the source of what was rejected, into a target: of the
    same kind as that source, where a broker has several."""
    routing: Callable[[], Any]
    """The rules by which the broker in memory stands in for it under test."""
    partition: Callable[[Message], Hashable] | None = None
    """Tells the partition of a received message; None: the broker has none."""
    url: str = ""
    protocol: str = ""
