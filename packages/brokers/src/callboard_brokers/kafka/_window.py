"""What was fetched and is not done with; decides what to deliver, to fetch and to commit.

No I/O and no waiting in here: tasks around it do what it decides, and are woken by its signals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from math import inf

from anyio import current_time

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import BrokerError
from callboard_brokers._port import Capacity
from callboard_brokers.events import PartitionHeld, SettledLate, SettledTwice
from callboard_brokers.kafka._message import Bare, KafkaMessage, Record
from callboard_brokers.kafka._parcel import Outgoing
from callboard_brokers.kafka._partition import Partition, Progress, Waiting
from callboard_brokers.kafka._records import KafkaSource, TopicPartition, path_of
from callboard_brokers.kit import Journal, Signal


class Window:
    """The assigned partitions, in one epoch after the other."""

    def __init__(self, source: KafkaSource, capacity: Capacity, journal: Journal) -> None:
        self.partitions: dict[TopicPartition, Partition] = {}
        self.epoch = 1
        self.delivering = source.group_id is None or bool(source.partitions)
        self.completed = 0
        self.commit_every = source.commit_every
        self.recall: Callable[[], None] = _nothing
        """Has the reader give back what it has not begun."""
        self.arrived = Signal()  # there may be something to deliver
        self.room = Signal()  # there may be room to fetch for
        self.due = Signal()  # enough is completed for a commit
        self.stirred = Signal()  # there will be something to commit
        self.settled = Signal()  # nothing is in flight any more
        self._source = source
        self._capacity = capacity
        self._journal = journal
        self._waiting = 0
        self._bytes = 0
        self._mean = max(1, capacity.bytes // capacity.messages)
        self._turns: deque[Partition] = deque()
        self._later: list[tuple[float, int, Partition, Waiting]] = []
        self._sequence = 0
        self._made = 0

    # What is fetched

    @property
    def wanted(self) -> int:
        """How many records to fetch now; none until half of what may wait is taken.

        By what the records of the last fetch had on average. Larger ones pass the bound by one
        fetch: what the client holds of each partition, that is in memory in any case.
        """
        most = self._capacity
        full = self._waiting > most.messages // 2 or self._bytes > most.bytes // 2
        if full or not self.delivering:
            return 0
        fit = max(1, (most.bytes - self._bytes) // self._mean)
        return min(fit, most.messages - self._waiting)

    def open_to(self, assigned: Collection[TopicPartition]) -> Collection[TopicPartition]:
        """Return those of *assigned* that are not too far ahead, to fetch from."""
        return [name for name in assigned if not self._is_shut(name)]

    def store(self, fetched: Mapping[TopicPartition, Sequence[Bare]]) -> None:
        """Keep what was fetched; the client has passed it, so it counts as unsettled at once."""
        size = count = 0
        for name, records in fetched.items():
            partition = self.partition(name)
            if records[0].offset < partition.reached:
                # The topic was deleted and made again: its offsets begin anew.
                self.forget(name)
                partition = self.partition(name)
            if not partition.waiting:
                self._turns.append(partition)
            kept = partition.store(records)
            size += _bytes_of(kept)
            count += len(kept)
        self._waiting += count
        self._bytes += size
        self._mean = max(1, size // max(1, count))
        self.arrived.set()
        self.stirred.set()

    def partition(self, name: TopicPartition) -> Partition:
        """Return the partition, new if it was not known in this epoch."""
        known = self.partitions.get(name)
        if known is None:
            path = path_of(self._source.pattern, name.topic) or {}
            self._made += 1
            known = Partition(name, self.epoch, self._made, self, path)
            self.partitions[name] = known
        return known

    # What is delivered

    def take(self, limit: int, max_bytes: float = inf) -> list[Delivery[Record]]:
        """Deliver up to *limit* records, the partitions by turns, each in the order of its log.

        None comes after the one by which their values come to *max_bytes*.
        """
        if self._later:
            self._ripen()
        taken: list[Delivery[Record]] = []
        for _ in range(len(self._turns) if self.delivering else 0):
            partition = self._turns.popleft()
            size = partition.take(limit - len(taken), max_bytes, taken)
            max_bytes -= size
            self._bytes -= size
            if partition.waiting:
                self._turns.append(partition)
            if len(taken) == limit or max_bytes <= 0:
                break
        self._waiting -= len(taken)
        if taken and self.wanted:
            self.room.set()
        return taken

    @property
    def idle(self) -> float | None:
        """Seconds until a record is due that was to come later; None if there is none."""
        return max(0.0, self._later[0][0] - current_time()) if self._later else None

    # What is settled

    def enlist(self, delivery: Delivery, outputs: Sequence[Outgoing]) -> None:
        """Keep *outputs* with their delivery, unless that is stale."""
        message = delivery.message
        if isinstance(message, KafkaMessage):
            record = message.raw_message
            partition = self.partitions.get(TopicPartition(record.topic, record.partition))
            if partition is not None:
                partition.enlist(delivery.token, outputs)

    def again(self, partition: Partition, waiting: Waiting, delay: float) -> None:
        """Deliver it again after *delay* seconds, unless its partition is given up by then."""
        self._sequence += 1
        heappush(self._later, (current_time() + delay, self._sequence, partition, waiting))
        self.arrived.set()

    def look(self) -> None:
        """See whether everything in flight is settled, for whoever waits to give it up."""
        if not self.in_flight:
            self.settled.set()

    def dropped(self, kind: type[SettledLate | SettledTwice], partition: Partition) -> None:
        """Tell of a settlement that changes nothing."""
        self._journal.tell(kind(*partition.name))

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing that could be settled, or was since the last commit."""
        return not (self.completed or self._waiting or self._later or self.in_flight)

    # What becomes of an epoch

    @property
    def in_flight(self) -> int:
        """How many deliveries are not settled."""
        return sum(partition.in_flight for partition in self.partitions.values())

    def suspend(self) -> None:
        """Deliver nothing more."""
        self.delivering = False
        self.room.set()  # who waits for it has to see that nothing is wanted any more

    def end_epoch(self) -> int:
        """Let go of all partitions; return how many deliveries are still in flight.

        Only after the last commit of the epoch: from now on their settlements are stale.
        """
        self.suspend()
        unfinished = self.in_flight
        for partition in self.partitions.values():
            partition.live = False
        self.partitions.clear()
        self._turns.clear()
        self._later.clear()
        self._waiting = self._bytes = 0
        self.epoch += 1
        return unfinished

    def resume(self) -> None:
        """Deliver again."""
        self.delivering = True
        self.arrived.set()
        self.stirred.set()

    def forget(self, name: TopicPartition) -> None:
        """Let go of one partition, to read it from elsewhere."""
        gone = self.partitions.pop(name, None)
        if gone is not None:
            gone.live = False
            self._waiting -= len(gone.waiting)
            self._bytes -= _bytes_of(gone.waiting)
            gone.waiting.clear()

    def restore(
        self, name: TopicPartition, committed: Progress | None, known: Progress | None
    ) -> None:
        """Read one partition anew, of which so much is *committed*, and so much *known* as done."""
        self.forget(name)
        self.partition(name).restore(committed, known)

    def refuse(self, partition: Partition, offset: int, error: BrokerError) -> None:
        """Read one partition anew, where Kafka has refused what came of *offset*."""
        refused = {key: each for key, each in partition.refused.items() if key[0] == offset}
        for topic in partition.topics_of(offset):
            refused[offset, topic] = error
        self.restore(partition.name, partition.committed, None)
        self.partition(partition.name).refused = refused

    def _is_shut(self, name: TopicPartition) -> bool:
        partition = self.partitions.get(name)
        if partition is None:
            return False
        # Held when its span is used up, until half of it is free again.
        bound = self._source.max_span // (2 if partition.held else 1)
        before, partition.held = partition.held, partition.span > bound
        if partition.held and not before:
            place = name.topic, name.partition, partition.position, partition.span
            self._journal.tell(PartitionHeld(*place))
        return partition.held

    def _ripen(self) -> None:
        """Put what is due in front of what waits, in the order in which it was given back."""
        now, ripe = current_time(), list[tuple[Partition, Waiting]]()
        while self._later and self._later[0][0] <= now:
            *_, partition, waiting = heappop(self._later)
            ripe.append((partition, waiting))
        for partition, waiting in reversed(ripe):
            if partition.live:
                if not partition.waiting:
                    self._turns.appendleft(partition)
                partition.waiting.appendleft(waiting)
                self._waiting += 1
                self._bytes += _bytes_of([waiting])


def _bytes_of(waiting: Iterable[Waiting]) -> int:
    return sum([len(record.value or b"") for record, _ in waiting])


def _nothing() -> None:
    """Do nothing: nobody reads yet, or he can give nothing back."""
