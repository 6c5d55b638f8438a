"""Our place in a group: what is assigned to us, what we commit, and how we let go of it.

The order of a revocation matters. What is in flight is finished and committed while the generation
that it came by still holds, and only then does the epoch end; the other way round every rebalance
would handle a whole window twice. The client calls back in a task of its own, while our poll task
waits inside the client.
"""

from __future__ import annotations

from asyncio import Future, ensure_future, wait
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Final

from anyio import Lock, move_on_after
from anyio.lowlevel import checkpoint

from callboard_brokers.kafka._client import Callbacks, Consumer, errors, stop
from callboard_brokers.kafka._journal import Journal
from callboard_brokers.kafka._partition import Partition
from callboard_brokers.kafka._records import KafkaSource, TopicPartition
from callboard_brokers.kafka._translate import CLIENT_ERRORS, brief
from callboard_brokers.kafka._window import Window

__all__ = ["Member"]

FAILURES: Final[tuple[type[Exception], ...]] = (TimeoutError, *CLIENT_ERRORS)

COMMIT, CLOSE = 10.0, 5.0
"""Seconds for a commit, after which the next one covers what it was for; and for leaving."""


class Member:
    """Commits contiguous positions, and hands partitions over."""

    def __init__(
        self,
        source: KafkaSource,
        window: Window,
        journal: Journal,
        make: Callable[[Callbacks], Consumer],
    ) -> None:
        self.leaving = False
        self.consumer = make(self)
        self._source = source
        self._window = window
        self._journal = journal
        self._one_at_a_time = Lock()
        self._ended: Collection[TopicPartition] | None = None
        self._sent: Future[None] | None = None

    @property
    def assigned(self) -> Collection[TopicPartition]:
        """What is ours now.

        Between the end of an epoch and the next assignment that is nothing, though the client
        still names, and fetches, what we had.
        """
        assignment = self.consumer.assignment()
        return () if assignment is self._ended else assignment

    async def run(self) -> None:
        """Commit when enough is completed, or when the interval has passed."""
        while self._source.group_id is not None:
            if self._window.completed < self._source.commit_every:
                await self._window.due.wait(self._source.commit_interval_ms / 1000)
            await self.commit()

    async def commit(self) -> None:
        """Commit what is settled without a gap; failures are told, and tried again next time."""
        if self._source.group_id is None:
            return
        async with self._one_at_a_time:
            self._window.completed = 0
            await self._reach()
            positions = self._positions()
            if not positions:
                return
            try:
                await self._send({each.name: at for each, at in positions.items()})
            except errors.CommitFailedError as error:
                self._lose(error)
            except FAILURES as error:
                self.tell("commit.failed", error=brief(error))
            else:
                for partition, position in positions.items():
                    partition.committed = position

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition], /) -> None:
        """Finish what is in flight, commit, and let go; called by the client."""
        self._window.suspend()
        # The group waits for rebalance_timeout; the commit and the way back need some of it.
        with move_on_after(self._source.rebalance_timeout_ms / 2000):
            while self._window.in_flight and not self.leaving:
                await self._window.settled.wait()
        await self.commit()
        unfinished = self._end()
        self.tell("partitions.revoked", partitions=sorted(revoked), unfinished=unfinished)
        if self._source.listener is not None and revoked:
            await self._source.listener.on_partitions_revoked(sorted(revoked))

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition], /) -> None:
        """Deliver again, from what is assigned now; called by the client."""
        try:
            if self._source.listener is not None:
                await self._source.listener.on_partitions_assigned(sorted(assigned))
        finally:
            if not self.leaving:
                self._window.resume()
        self.tell("partitions.assigned", partitions=sorted(assigned))

    def tell(self, event: str, **attributes: object) -> None:
        """Tell *event* with the source and the group."""
        self._journal.tell(event, self._source.address, group=self._source.group_id, **attributes)

    async def close(self) -> None:
        """Leave the group, give up a commit that hangs."""
        await stop(self.consumer, CLOSE)
        if self._sent is not None and not self._sent.done():
            # Its request has failed with the connection: now it only sleeps before it tries again.
            await checkpoint()
            self._sent.cancel()

    async def _send(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit *offsets*; never a second one while the first is on its way.

        Not by awaiting it: the client shields a commit against cancellation, and whoever cancels
        it leaves a task behind whose error nobody hears.

        Raises:
            TimeoutError: It, or the one before, takes too long; it goes on.
        """
        if self._sent is not None and not self._sent.done():
            await wait({self._sent}, timeout=COMMIT)
            if not self._sent.done():
                raise TimeoutError(f"a commit has been on its way for over {COMMIT} s")
        self._sent = ensure_future(self.consumer.commit(offsets))
        self._sent.add_done_callback(_heard)
        await wait({self._sent}, timeout=COMMIT)
        if not self._sent.done():
            raise TimeoutError(f"no answer within {COMMIT} s")
        self._sent.result()

    def _positions(self) -> dict[Partition, int]:
        """What the group has not been told. Within an epoch a position never goes back."""
        return {
            partition: position
            for partition in self._window.partitions.values()
            if (position := partition.position) is not None and position != partition.committed
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

    def _lose(self, error: Exception) -> None:
        """The group has gone on without us: what is not committed is somebody else's by now."""
        if self._source.partitions:
            # Nobody assigned them, so nobody takes them: the group has subscribers beside us.
            self.tell("commit.failed", error=brief(error))
        else:
            self.tell("partitions.lost", error=brief(error), unfinished=self._end())

    def _end(self) -> int:
        self._ended = self.consumer.assignment()
        return self._window.end_epoch()


def _heard(commit: Future[None]) -> None:
    """Ask for the error of a commit that nobody may wait for any more, so that it is not logged."""
    if not commit.cancelled():
        commit.exception()
