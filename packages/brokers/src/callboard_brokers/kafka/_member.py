"""Our place in a group: what is assigned to us, what we commit, and how we let go of it.

The order of a revocation matters. What nobody has begun is given back, what is in hand is finished
and committed while the generation that it came by still holds, and only then does the epoch end;
the other way round every rebalance would handle a whole window twice. The client calls back in a
task of its own, while our poll task waits inside the client.
"""

from __future__ import annotations

from asyncio import Future, ensure_future, wait
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

from anyio import CancelScope, Lock, current_time, fail_after, move_on_after, sleep
from anyio.lowlevel import checkpoint

from callboard_brokers._errors import BrokerError
from callboard_brokers.events import (
    PartitionsAssigned,
    PartitionsLost,
    PartitionsRevoked,
    PartitionsRevoking,
    SettlementsFailed,
)
from callboard_brokers.kafka._ahead import LIMIT
from callboard_brokers.kafka._client import Consumer, committed, errors, join
from callboard_brokers.kafka._mending import Place, place_of, stop
from callboard_brokers.kafka._message import Bare
from callboard_brokers.kafka._partition import Partition, Progress
from callboard_brokers.kafka._records import KafkaSource, TopicPartition
from callboard_brokers.kafka._servers import Servers
from callboard_brokers.kafka._standstill import Standstill
from callboard_brokers.kafka._translate import CLIENT_ERRORS
from callboard_brokers.kafka._window import Window
from callboard_brokers.kafka._writer import Fenced, Writer
from callboard_brokers.kit import brief, heard, together

FAILURES: Final[tuple[type[Exception], ...]] = (TimeoutError, BrokerError, *CLIENT_ERRORS)

Fetched: TypeAlias = Mapping[TopicPartition, Sequence[Bare]]

COMMIT, RETRY = 10.0, 1.0
"""Seconds for a commit, after which the next one covers what it was for; before that."""
REST = 5.0
"""Seconds until it is looked where the log goes on, though there is nothing in it to handle."""
LEAST = 0.5
"""Seconds to leave the group in, whatever else has taken its time: else it waits for us in vain."""


class Member:
    """Commits contiguous positions, and hands partitions over."""

    def __init__(
        self,
        source: KafkaSource,
        window: Window,
        servers: Servers,
        make: Callable[[object], Consumer],
    ) -> None:
        self.leaving = False
        self.standstill = Standstill(source.max_poll_interval_ms / 1000)
        self.consumer = make(self)
        self._source = source
        self._window = window
        self._servers = servers
        self.tell = servers.journal.tell
        self._one_at_a_time = Lock()
        self._sent: Future[None] | None = None
        self._fetching = CancelScope()
        self._revoking = False
        self._announced: Collection[TopicPartition] | None = None
        self._owned: Collection[TopicPartition] | None = None
        self._room_beside = LIMIT
        self._remembered: Mapping[TopicPartition, Progress] = {}
        self._writers: dict[TopicPartition, Writer] = {}

    @property
    def assigned(self) -> Collection[TopicPartition]:
        """What is ours now.

        Between the end of an epoch and the next assignment that is nothing, though the client
        still names, and fetches, what we had.
        """
        assignment = self.consumer.assignment()
        if self._source.group_id is None or assignment is self._owned:
            return assignment
        return ()

    async def fetch(
        self, partitions: Collection[TopicPartition], patience_ms: int, limit: int
    ) -> Fetched:
        """Wait for records of *partitions*, empty is of all; for none when others are assigned."""
        with CancelScope() as self._fetching:
            return await self.consumer.getmany(
                *partitions, timeout_ms=patience_ms, max_records=limit
            )
        return {}

    async def run(self) -> None:
        """Stay a member; commit when enough is completed, or when the interval has passed."""
        if self._source.group_id is None:
            return
        if not self._source.partitions:
            # Besides those of the client: three in a session outlast one that is lost.
            self._servers.pulse.add(self._place, self._source.session_timeout_ms / 3000)
        window, source = self._window, self._source
        while True:
            if window.completed < source.commit_every:
                await window.due.wait(source.interval)
            if not await self.commit():
                await sleep(RETRY)
            elif window.at_rest:
                await window.stirred.wait(REST)

    async def commit(self) -> bool:
        """Commit what is settled without a gap; failures are told, and tried again next time."""
        if self._source.group_id is None:
            return True
        async with self._one_at_a_time:
            # First: what completes while this is on its way makes the next commit due.
            self._window.completed = 0
            await self._reach()
            positions = self._positions()
            try:
                if self._source.transactional:
                    await self._write(positions)
                elif positions:
                    await self._send(positions)
            except (Fenced, errors.CommitFailedError) as error:
                await self._lose(error)
            except errors.OffsetMetadataTooLargeError as error:
                self._room_beside = 0  # this server wants positions alone
                self.tell(SettlementsFailed(*self.whose, brief(error)))
                return False
            except FAILURES as error:
                self.tell(SettlementsFailed(*self.whose, brief(error)))
                return False
            return True

    async def acquire(self) -> bool:
        """Find out how far the group is in what is assigned; return False until it is announced.

        Not in the callback of the assignment: while that runs, the client sends no heartbeat.
        """
        assignment = self.consumer.assignment()
        if self._source.group_id is None or assignment is self._owned:
            return True
        # Explicit partitions are ours from the beginning: nobody announces them.
        if not self._source.partitions and assignment is not self._announced:
            return False
        await (self._fence if self._source.transactional else self._restore)(assignment)
        return assignment is self._owned

    async def _restore(self, assignment: Collection[TopicPartition]) -> None:
        """Go on where the group is, without what it has done beyond that."""
        known = await committed(self.consumer, assignment)
        if self._may_own(assignment):
            await self._go_to({name: known.get(name) for name in assignment})
        if self._may_own(assignment):
            self._own(assignment)
            self._remembered = {}

    async def _fence(self, assignment: Collection[TopicPartition]) -> None:
        """Make sure that nobody else can write for the group what we shall."""
        group = self._source.group_id or ""
        writers = {name: Writer(self._servers, self.consumer, group, name) for name in assignment}
        try:
            await self._open(writers)
            if self._may_own(assignment):
                self._writers = writers
                self._own(assignment)
        finally:
            if self._owned is not assignment:
                await _closed(writers)

    def _may_own(self, assignment: Collection[TopicPartition]) -> bool:
        """Whether nothing has happened to *assignment* meanwhile."""
        announced = self._source.partitions or assignment is self._announced
        return bool(announced) and not (self._revoking or self.leaving)

    def _own(self, assignment: Collection[TopicPartition]) -> None:
        self._owned = assignment
        self._window.resume()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition], /) -> None:
        """Finish what is in flight, commit, and let go; called by the client."""
        self._revoking = True  # whoever is about to acquire what is taken away finds out by this
        self._window.suspend()
        self._window.recall()
        self.tell(PartitionsRevoking(*self.whose, sorted(revoked), self._window.in_flight))
        # The group waits for rebalance_timeout; the commit and the way back need some of it.
        with move_on_after(self._source.rebalance_timeout_ms / 2000):
            while self._window.in_flight and not self.leaving:
                await self._window.settled.wait()
        await self.commit()
        unfinished = await self._end()
        self.tell(PartitionsRevoked(*self.whose, sorted(revoked), unfinished))
        if self._source.listener is not None and revoked:
            await self._source.listener.on_partitions_revoked(sorted(revoked))

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition], /) -> None:
        """Have what is assigned now acquired; called by the client."""
        try:
            if self._source.listener is not None:
                await self._source.listener.on_partitions_assigned(sorted(assigned))
        finally:
            self._revoking = False
            self._announced = self.consumer.assignment()
            # Whoever rests, or waits for what he had, looks whether it is ours.
            self._window.room.set()
            self._fetching.cancel()
        self.tell(PartitionsAssigned(*self.whose, sorted(assigned)))

    @property
    def whose(self) -> tuple[str, str | None]:
        """What it reads, and its group; for what it tells."""
        return self._source.address, self._source.group_id

    async def close(self, deadline: float) -> None:
        """Leave the group until *deadline*, cancelled or not; give up a commit that hangs."""
        self._servers.pulse.discard(self._place)
        with CancelScope(shield=True):
            await self._let_go()
            await stop(self.consumer, max(LEAST, deadline - current_time()))
            if self._sent is not None and not self._sent.done():
                # Its request has failed with the connection: it only sleeps before the next try.
                await checkpoint()
                self._sent.cancel()

    def _place(self) -> Place | None:
        """Where the pulse beats for us; called from its thread."""
        return None if self.standstill.lasts() else place_of(self.consumer)

    async def _write(self, positions: Mapping[Partition, Progress]) -> None:
        """Commit *positions* with what was enlisted for them, each in a transaction.

        Raises:
            Fenced: One of the partitions is somebody else's.
            TimeoutError: It takes too long.
        """
        # No shield: what is cut off is found out about by the last commit, if there is time.
        with fail_after(COMMIT):
            outcomes = await together(
                [
                    partial(self._write_one, partition, position)
                    for partition, (position, _) in positions.items()
                ]
            )
        failures = [failure for failure in outcomes if failure is not None]
        for failure in sorted(failures, key=lambda failure: not isinstance(failure, Fenced)):
            raise failure

    async def _write_one(self, partition: Partition, position: int, *, alone: bool = False) -> None:
        writer, offsets = self._writers[partition.name], partition.sources(position)
        try:
            await writer.write(partition.enlisted(position), position, alone=alone)
        except BrokerError as error:
            if not error.hopeless or not offsets:
                raise
            if alone:
                self._refuse(partition, offsets[0], error)
                raise
            # The client sends several outputs as one, which is refused as a whole.
            if len(offsets) == 1:
                await self._write_one(partition, position, alone=True)
            else:
                await self._write_one(partition, offsets[len(offsets) // 2])
        else:
            # At once, whatever becomes of the others: what is written must not be written again.
            partition.written(writer.position or position)

    def _refuse(self, partition: Partition, offset: int, error: BrokerError) -> None:
        """Read *partition* again from *offset*, for whose outputs Kafka has no use.

        Nothing from there on is written, and by now nobody can be told. When that record is
        handled once more, its outputs fail at once, and its handler's policy says what then.
        """
        self._window.recall()
        with suppress(errors.IllegalStateError):  # taken away again already
            self.consumer.seek(partition.name, offset)
        self._window.refuse(partition, offset, error)

    async def _send(self, positions: Mapping[Partition, Progress]) -> None:
        """Commit *positions*; never a second time while the first is on its way.

        Not by awaiting it: the client shields a commit against cancellation, and whoever cancels
        it leaves a task behind whose error nobody hears.

        Raises:
            TimeoutError: It, or the one before, takes too long; it goes on.
        """
        if self._sent is not None and not self._sent.done():
            await wait({self._sent}, timeout=COMMIT)
            if not self._sent.done():
                raise TimeoutError(f"a commit has been on its way for over {COMMIT} s")
        offsets = {partition.name: position for partition, position in positions.items()}
        self._sent = ensure_future(self.consumer.commit(offsets))
        self._sent.add_done_callback(heard)
        await wait({self._sent}, timeout=COMMIT)
        if not self._sent.done():
            raise TimeoutError(f"no answer within {COMMIT} s")
        self._sent.result()
        for partition, position in positions.items():
            partition.committed = position

    def _positions(self) -> dict[Partition, Progress]:
        """What the group has not been told. Within an epoch a position never goes back."""
        # The outputs of what is done beyond a position wait: in a transaction nothing goes ahead.
        beside = 0 if self._source.transactional else self._room_beside
        return {
            partition: progress
            for partition in self._window.partitions.values()
            if (progress := partition.progress(beside)) is not None
            and progress != partition.committed
        }

    async def _reach(self) -> None:
        """Find where partitions go on of which everything is settled.

        Thus a group is anchored where it began before anything is settled; "latest" would else
        skip, after a restart, what came in between.
        """
        # Partitions that are taken away meanwhile have no position; the next round looks again.
        with move_on_after(1.0), suppress(*CLIENT_ERRORS):
            for name in self.assigned:
                partition = self._window.partition(name)
                if not partition.span:
                    # A position that is known comes without waiting: nothing is fetched meanwhile.
                    partition.reach(await self.consumer.position(name))

    async def _open(self, writers: Mapping[TopicPartition, Writer]) -> None:
        for failure in await together([each.open for each in writers.values()]):
            if failure is not None:
                raise failure
        positions = {name: writer.position for name, writer in writers.items()}
        await self._go_to(
            {name: None if at is None else (at, "") for name, at in positions.items()}
        )

    async def _go_to(self, positions: Mapping[TopicPartition, Progress | None]) -> None:
        """Read from where the group is, or from where it begins.

        Though the client goes there by itself, it may have handed out records since, which were
        dropped because nobody knew yet which of them are done.
        """
        new = [name for name, at in positions.items() if self._farthest(name, at) is None]
        with suppress(errors.IllegalStateError):  # taken away again already
            for name, committed in positions.items():
                known = self._farthest(name, committed)
                self._window.restore(name, committed, known)
                if known is not None:
                    self.consumer.seek(name, known[0])
            if new and self._source.auto_offset_reset == "earliest":
                await self.consumer.seek_to_beginning(*new)
            elif new and self._source.auto_offset_reset == "latest":
                await self.consumer.seek_to_end(*new)

    def _farthest(self, name: TopicPartition, committed: Progress | None) -> Progress | None:
        """Return where we were before we lost the partition, if the group is not beyond that."""
        remembered = self._remembered.get(name)
        if remembered is None or (committed is not None and committed[0] > remembered[0]):
            return committed
        return remembered

    async def _lose(self, error: Exception) -> None:
        """The group has gone on without us: what is not committed is somebody else's by now."""
        if self._source.partitions:
            # Nobody assigned them, so nobody takes them: the group has subscribers beside us.
            self.tell(SettlementsFailed(*self.whose, brief(error)))
            return
        if not self._source.transactional:
            # If they come back to us, what we have done with them is not done again.
            self._remembered = {
                name: progress
                for name, partition in self._window.partitions.items()
                if (progress := partition.progress(LIMIT)) is not None
            }
        self.tell(PartitionsLost(*self.whose, brief(error), await self._end()))
        if self._source.transactional and not (self._revoking or self.leaving):
            # The group may still count us in: a transaction can also be fenced by its time-out.
            join(self.consumer, self._source, self)

    async def _end(self) -> int:
        self._announced = self._owned = None
        self._window.recall()
        unfinished = self._window.end_epoch()
        await self._let_go()
        return unfinished

    async def _let_go(self) -> None:
        writers, self._writers = self._writers, {}
        await _closed(writers)


async def _closed(writers: Mapping[TopicPartition, Writer]) -> None:
    with CancelScope(shield=True):  # each close has a deadline of its own
        await together([writer.close for writer in writers.values()])
