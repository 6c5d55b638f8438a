"""Which addresses a source reads, and whom it shares them with.

Pure and pluggable, so that a test double of another broker is this broker with that one's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from callboard_brokers._errors import DestinationError
from callboard_brokers._message import Message
from callboard_brokers.kit._template import Template
from callboard_brokers.kit._when import seconds_until
from callboard_brokers.memory._records import MemoryRecord, MemorySource, MemoryTarget

S_contra = TypeVar("S_contra", contravariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

Match: TypeAlias = Callable[[str], Mapping[str, str] | None]
"""Returns the path parameters of an address that matches, may be empty; None if it does not."""
Paths: TypeAlias = Mapping[Hashable, Mapping[str, str]]
"""The keys of those who get a message, each with the parameters of its path."""
Onward: TypeAlias = tuple[Message, Paths] | None


Record: TypeAlias = Callable[[Message, str, bytes | None, Mapping[str, str]], MemoryRecord | None]
"""Makes what is stored in the queue of a group, of a message, its address, key and path; None: the
message is not for that group after all."""


@dataclass(frozen=True, slots=True)
class Readership:
    """A source, prepared: readers with equal *key* share one queue; *group* is its name.

    A *group* of None is a queue for this reader alone, whatever its key.
    """

    group: str | None
    key: Hashable
    match: Match
    address: str | None = None
    """What its messages are addressed to; None: where they were published."""
    limit: int | None = None
    """How often a message may come again; None: as the broker in memory says."""
    keeps: bool = True
    """Whether the group keeps what comes while nobody reads; False: it ends with its last reader."""
    record: Record | None = None
    """Makes what is stored for it; None: as it is made for everybody."""
    earlier: Callable[[], Iterable[MemoryRecord]] = tuple
    """What it finds when it begins: what was published before, and kept elsewhere."""


class Routing(Protocol[S_contra, T_contra]):
    """The rules of a broker. Matches are remembered, so they depend on the address only."""

    def source(self, source: S_contra, /) -> Readership:
        """Prepare *source*, once for a subscription.

        Raises:
            DestinationError: It cannot be read.
        """
        ...

    def target(self, target: T_contra, /) -> MemoryTarget:
        """Say where *target* is; called for every message.

        Raises:
            DestinationError: It cannot be published to.
        """
        ...


@runtime_checkable
class Recording(Protocol):
    """Rules that also say what a record looks like, for handlers that look at `raw_message`."""

    def record(
        self, published: Message, address: str, key: bytes | None, path: Mapping[str, str], /
    ) -> MemoryRecord:
        """Make what is stored in the queue of a group."""
        ...


@runtime_checkable
class Declaring(Protocol[S_contra, T_contra]):
    """Rules that depend on what is declared, beside the source and the target in hand."""

    def prepare(self, sources: Sequence[S_contra], targets: Sequence[T_contra], /) -> None:
        """Have what these declare.

        Raises:
            TopologyError: Something is different, or missing and not to be made.
        """
        ...


@runtime_checkable
class Carrying(Protocol[T_contra]):
    """Rules that also say what the broker makes of a message, and what it can't carry."""

    def carried(self, message: Message, target: T_contra, /) -> Message:
        """Return *message* as it travels to *target*.

        Raises:
            BrokerError: What the broker would raise, since it can't carry it.
        """
        ...


@runtime_checkable
class Distributing(Declaring[S_contra, T_contra], Protocol[S_contra, T_contra]):
    """Rules by which an address alone does not say who gets a message; every one is asked about.

    Instead of `Readership.match`, and readers are known by their `Readership.key`.
    """

    def readers(self, message: Message, target: T_contra, /) -> Paths:
        """Return who gets *message*.

        Raises:
            DestinationError: It can't be published there, or nobody gets it and it must not be lost.
        """
        ...

    def onward(self, record: MemoryRecord, reader: Hashable, reason: str, /) -> Onward:
        """Return what becomes of *record*, which *reader* has given up, and who gets it.

        None: it is kept with the dead letters.
        """
        ...


class Templates:
    """The default rules: `logs.{level}` matches `logs.error`, with level "error" in the path.

    A parameter matches one segment: characters other than `.` and `/`, at least one.
    """

    def source(self, source: MemorySource, /) -> Readership:
        """Prepare *source*."""
        return Readership(
            source.group, (source.address, source.group), Template(source.address).match
        )

    def target(self, target: MemoryTarget, /) -> MemoryTarget:
        """Return *target*."""
        if "{" in target.address or not target.address:
            raise DestinationError(
                f"cannot publish to {target.address!r}: give the address itself,"
                " not a template, not an empty one"
            )
        if target.delay is not None or target.at is not None:
            seconds_until(target.address, target.delay, target.at)  # or it is none
        return target
