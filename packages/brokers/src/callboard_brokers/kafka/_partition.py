"""One assigned partition, for as long as it is assigned: what waits, and what is being handled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Final, Protocol, TypeAlias

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import BrokerError
from callboard_brokers._message import Metadata
from callboard_brokers._settlement import Settlement
from callboard_brokers._tracker import Tracked, Tracker
from callboard_brokers.events import SettledLate, SettledTwice
from callboard_brokers.kafka._ahead import decode, encode
from callboard_brokers.kafka._message import Bare, KafkaMessage, Record, metadata_of
from callboard_brokers.kafka._parcel import Outgoing
from callboard_brokers.kafka._records import TopicPartition
from callboard_brokers.kit import REDELIVER, Signal

Progress: TypeAlias = tuple[int, str]
"""A position, and what Kafka keeps beside it: what is done beyond it."""

Waiting: TypeAlias = tuple[Bare, object]
"""A record, and by what the tracker knows it."""

_offset: Final[Callable[[Bare | Tracked], int]] = attrgetter("offset")
_DONE: Final = (Settlement.ACK, Settlement.REJECT)
"""Looked up once: a member of an enumeration costs more than the rest of what an ack decides."""


class Owner(Protocol):
    """What a partition tells of what is settled: the window that it is part of."""

    completed: int
    commit_every: int
    due: Signal

    @property
    def delivering(self) -> bool: ...
    def look(self) -> None: ...
    def again(self, partition: Partition, waiting: Waiting, delay: float, /) -> None: ...
    def dropped(self, kind: type[SettledLate | SettledTwice], partition: Partition, /) -> None: ...


class Partition:
    """Hands out records, and is the ledger of their deliveries.

    It lives for one assignment. Once it has ended, whatever is settled is stale: by then the
    position may be somebody else's.
    """

    def __init__(
        self,
        name: TopicPartition,
        epoch: int,
        serial: int,
        window: Owner,
        path: Mapping[str, str],
    ) -> None:
        self.name = name
        self.live = True
        self.held = False
        self.in_flight = 0
        self.committed: Progress | None = None
        self.waiting: deque[Waiting] = deque()
        self._epoch = epoch
        self._window = window
        self._load = partial(metadata_of, path=path)
        self._bare = Metadata(path=path)
        self._tracker: Tracker | None = None
        self._ahead: Collection[int] = ()
        self._failures: dict[object, int] = {}
        self._serial = serial
        self._enlisted: dict[Tracked, Sequence[Outgoing]] = {}
        self.refused: Mapping[tuple[int, str], BrokerError] = {}
        """Why Kafka has no use for what comes of an offset, by offset and topic."""

    @property
    def position(self) -> int | None:
        """Everything below this offset is done with; None before the first record."""
        return None if self._tracker is None else self._tracker.position

    @property
    def reached(self) -> int:
        """One after the newest record; 0 before the first."""
        return 0 if self._tracker is None else self._tracker.position + self._tracker.span

    @property
    def span(self) -> int:
        """How far the oldest record that is not done with is behind the newest."""
        return 0 if self._tracker is None else self._tracker.span

    def restore(self, committed: Progress | None, known: Progress | None) -> None:
        """Take notice of what is *committed*, and *known* as done from an assignment before."""
        self.committed = committed
        self._ahead = () if known is None else decode(*known)

    def progress(self, limit: int) -> Progress | None:
        """Return what may be committed, in *limit* characters; None before the first record."""
        if self._tracker is None:
            return None
        position = self._tracker.position
        return position, encode(position, self._tracker.ahead(), limit) if limit else ""

    def store(self, records: Sequence[Bare]) -> Sequence[Waiting]:
        """Keep, and return, what was fetched and is not done with; offsets ascend, with gaps."""
        tracker = self._tracked_from(records[0].offset)
        kept = [*zip(records, tracker.extend(map(_offset, records)), strict=True)]
        if self._ahead:
            kept = [each for each in kept if not each[1].done]
        self.waiting.extend(kept)
        return kept

    def reach(self, position: int) -> None:
        """Take notice that the log goes on at *position*.

        A group begins there; or markers of transactions, which are no records, lie before it.
        """
        self._tracked_from(position).skip(position)

    def take(self, limit: int, max_bytes: float, into: list[Delivery[Record]]) -> int:
        """Deliver up to *limit* records and *max_bytes*, oldest first; return how many bytes."""
        make, load, epoch, waiting = KafkaMessage.fetched, self._load, self._epoch, self.waiting
        name, failures = self.name, self._failures
        before, size = len(into), 0
        for _ in range(min(limit, len(waiting))):
            record, tracked = waiting.popleft()
            # Reading headers costs as much as all else; where there are none, all are alike.
            bare = None if record.headers else self._bare
            message = make(record, name, load, bare)
            tries = failures[tracked] + 1 if failures and tracked in failures else None
            into.append(Delivery(message, self, epoch, tries, tracked))
            size += len(message.body)
            if size >= max_bytes:
                break
        self.in_flight += len(into) - before
        return size

    def enlist(self, token: object, outputs: Sequence[Outgoing]) -> None:
        """Keep *outputs* until the record is done with, unless it came by another assignment.

        Raises:
            BrokerError: Kafka has refused such outputs of this record before.
        """
        if isinstance(token, Tracked) and token.epoch == self._serial:
            for output in outputs if self.refused else ():
                if (failure := self.refused.get((token.offset, output.topic))) is not None:
                    raise failure
            self._enlisted[token] = [*self._enlisted.get(token, ()), *outputs]

    def enlisted(self, position: int) -> list[Outgoing]:
        """Return the outputs of what lies before *position*, in the order of the log."""
        before = [tracked for tracked in self._enlisted if tracked.offset < position]
        before.sort(key=_offset)
        return [output for tracked in before for output in self._enlisted[tracked]]

    def sources(self, position: int) -> list[int]:
        """Return the offsets before *position* of which there are outputs, in order."""
        return sorted(tracked.offset for tracked in self._enlisted if tracked.offset < position)

    def topics_of(self, offset: int) -> set[str]:
        """Return where the outputs of the record at *offset* are to go."""
        enlisted = [
            outputs for tracked, outputs in self._enlisted.items() if tracked.offset == offset
        ]
        return {output.topic for outputs in enlisted for output in outputs}

    def written(self, position: int) -> None:
        """Take notice that everything before *position* is committed, and its outputs with it."""
        self.committed = position, ""
        for tracked in [each for each in self._enlisted if each.offset < position]:
            del self._enlisted[tracked]

    def settle(self, delivery: Delivery, settlement: Settlement, delay: float | None, /) -> None:
        """Take *delivery* off what is in flight; without an ack or reject it comes again."""
        if not self.live:
            if settlement is not Settlement.RELEASE:  # nothing was done, so nothing is done twice
                self._window.dropped(SettledLate, self)
            return
        self.in_flight -= 1
        window = self._window
        if settlement in _DONE:
            token = delivery.token
            if isinstance(token, Tracked):
                token.done = True
            if self._failures:
                self._failures.pop(token, None)
            window.completed += 1
            if window.completed == window.commit_every:
                window.due.set()
        else:
            self._again(delivery, settlement, delay)
        # Only who is to give the partition up waits for the last of what is in flight.
        if not window.delivering:
            window.look()

    def settled_twice(self, delivery: Delivery, /) -> None:
        """Count it."""
        del delivery
        self._window.dropped(SettledTwice, self)

    def _tracked_from(self, position: int) -> Tracker:
        if self._tracker is None:
            self._tracker = Tracker(position, epoch=self._serial, ahead=self._ahead)
        return self._tracker

    def _again(self, delivery: Delivery, settlement: Settlement, delay: float | None) -> None:
        token, message = delivery.token, delivery.message
        if not isinstance(message, KafkaMessage):
            return
        # What this try would have published goes with it: the next one makes its own.
        if self._enlisted and isinstance(token, Tracked):
            self._enlisted.pop(token, None)
        if settlement is Settlement.RELEASE:
            delay = 0.0
        else:
            failures = self._failures[token] = delivery.deliveries or 1
            delay = REDELIVER.whole(failures - 1) if delay is None else delay
        self._window.again(self, (message.raw_message, token), delay)
