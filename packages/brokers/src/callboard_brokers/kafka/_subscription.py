"""A Kafka source that is being read."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from time import monotonic

from anyio import (
    CancelScope,
    Event,
    current_effective_deadline,
    current_time,
    get_cancelled_exc_class,
    move_on_after,
    sleep,
)

from callboard_brokers._delivery import BatchDelivery, Delivery
from callboard_brokers._errors import BrokerError, ConnectionClosed, ConnectionLost
from callboard_brokers._message import Message
from callboard_brokers.events import FetchFailed
from callboard_brokers.kafka._client import NOWHERE, Consumer, errors
from callboard_brokers.kafka._member import Fetched, Member
from callboard_brokers.kafka._message import Record
from callboard_brokers.kafka._parcel import outgoing
from callboard_brokers.kafka._records import KafkaSource, KafkaTarget, TopicPartition, check_topic
from callboard_brokers.kafka._translate import CLIENT_ERRORS, is_passing, translated
from callboard_brokers.kafka._window import Window
from callboard_brokers.kit import brief, time_left

POLL_MS = 200
"""How soon a held partition is looked at again."""
IDLE_MS = 5000
"""How long a fetch waits for records of all that is assigned: whatever comes ends it."""

LEAVE, HURRY, FLUSH = 8.0, 2.0, 0.6
"""Seconds to leave in good order; when all is cancelled; the part of them for the last commit."""


class KafkaSubscription:
    """Reads topics. Deliveries whose `epoch` is not the subscription's are stale.

    While nobody receives, its task keeps calling the client: a member that does not is expelled
    from its group.
    """

    def __init__(self, source: KafkaSource, window: Window, member: Member, limit: int) -> None:
        self.started = Event()
        self.failure: BrokerError | None = None
        self._source = source
        self._window = window
        self._member = member
        self.consumer = member.consumer
        self._limit = limit
        self._open = True
        self._seen: object = None

    @property
    def epoch(self) -> int:
        """Grows whenever the partitions are given up."""
        return self._window.epoch

    async def receive(
        self, limit: int, max_bytes: float = math.inf, /
    ) -> Sequence[Delivery[Record]]:
        """Wait for a delivery; return at most *limit* and *max_bytes*, by partition, in order.

        Raises:
            ConnectionClosed: The subscription has been left.
        """
        if limit < 1:
            raise ValueError(f"cannot receive {limit} deliveries: ask for at least one")
        while self._open:
            taken = self._window.take(limit, max_bytes)
            if taken:
                return taken
            await self._window.arrived.wait(self._window.idle)
        raise ConnectionClosed(
            f"the subscription of {self._source.address!r} has been left; subscribe again"
        )

    def on_recall(self, give_back: Callable[[], None], /) -> None:
        """Have *give_back* release what nobody has begun, when partitions are to be given up."""
        self._window.recall = give_back

    def on_standstill(self, who: Callable[[], Sequence[Delivery]], /) -> None:
        """Have *who* say what keeps the loop, should our place in the group be lost to that."""
        self._member.standstill.who = who

    def blamed(self, deliveries: Sequence[Delivery], /) -> Sequence[Delivery]:
        """Return those for whose records the loop has stood still so long twice."""
        return self._member.standstill.blamed(deliveries)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read *partition* from *offset* on; what it has delivered before becomes stale.

        Raises:
            DestinationError: It is not assigned to this subscription.
        """
        try:
            self.consumer.seek(partition, offset)
        except CLIENT_ERRORS as error:
            raise translated(error, f"cannot seek in {partition}") from error
        self._window.recall()
        self._window.forget(partition)

    @property
    def transactional(self) -> bool:
        """Whether the source is transactional."""
        return self._source.transactional

    def enlist(self, delivery: Delivery, outputs: Sequence[tuple[Message, KafkaTarget]], /) -> None:
        """Publish *outputs* in the transaction that commits *delivery*, if that is done with.

        Nothing is sent before. They are added to what was enlisted for it until now; a nack, a
        release, or the loss of the partition forgets all of it.

        Raises:
            BrokerError: *delivery* is settled, is a batch, or its source is not transactional.
            DestinationError: A target can never be published to.
            Unpublishable: A message can never be published; or Kafka has refused it the last time.
        """
        why = (
            (not self.transactional and "its source needs transactional=True")
            or (delivery.settled and "it is settled already")
            or (isinstance(delivery, BatchDelivery) and "a batch has no one position")
        )
        if why:
            raise BrokerError(f"cannot enlist an output of {delivery.message.address!r}: {why}")
        for _, target in outputs:
            check_topic(target.topic)
        records = [outgoing(message, target, self._limit) for message, target in outputs]
        self._window.enlist(delivery, records)

    async def run(
        self, begin: Callable[[KafkaSource, Consumer], Awaitable[None]], scope: CancelScope
    ) -> None:
        """Fetch until cancelled; if that cannot go on, keep the reason and cancel *scope*."""
        try:
            await begin(self._source, self.consumer)
            while True:
                await self._turn()
        except BrokerError as error:
            self.failure = error
        except CLIENT_ERRORS as error:
            self.failure = translated(error, f"cannot read {self._source.address!r}")
        except get_cancelled_exc_class():
            if current_effective_deadline() == -math.inf:
                raise
            # The client has cancelled one of its own futures. A task group would take that for
            # its own cancellation, and end without a word.
            self.failure = ConnectionLost(f"the client has given up {self._source.address!r}")
        scope.cancel()

    async def stop_intake(self) -> None:
        """Fetch and deliver nothing more; what waits here is for whoever reads on."""
        self._open = False
        self._window.suspend()
        self._window.arrived.set()

    def close(self) -> None:
        """Deliver nothing more, and end what waits in `receive`."""
        self._open = False
        self._member.leaving = True
        self._window.suspend()
        self._window.arrived.set()
        self._window.settled.set()  # a revocation that waits for what is in flight waits in vain

    async def leave(self) -> None:
        """Commit what is settled, give back the rest, and close; not to be interrupted."""
        self.close()
        patience = time_left(LEAVE, HURRY)
        deadline = current_time() + patience
        with move_on_after(FLUSH * patience, shield=True):
            await self._member.commit()
        self._window.end_epoch()
        await self._member.close(deadline)

    async def _turn(self) -> None:
        """Take one step; what passes by itself is no reason to end."""
        self._member.standstill.turned = monotonic()
        try:
            if not await self._member.acquire():
                await self._rest()
            elif self.started.is_set():
                await self._poll()
            else:
                await self._settle_down()
                self.started.set()
        except CLIENT_ERRORS as error:
            if not is_passing(error):
                raise
            self._member.tell(FetchFailed(*self._member.whose, brief(error)))
            await sleep(1.0)

    async def _settle_down(self) -> None:
        """With "latest", what is published from now on is for us: find out where that is."""
        if self._source.auto_offset_reset == "latest":
            for name in self._member.assigned:
                with suppress(errors.IllegalStateError):  # taken away again already
                    await self.consumer.position(name)

    async def _poll(self) -> None:
        asked = self._to_ask()
        if asked is None:
            await self._rest()
            return
        # A turn in time says that the loop goes on: see `Standstill`.
        is_whole = not asked and self._member.assigned
        patience = min(IDLE_MS, self._source.max_poll_interval_ms // 5) if is_whole else POLL_MS
        fetched = await self._member.fetch(asked, patience, self._window.wanted)
        # Nothing has been awaited since the client let go of them: they are of this assignment,
        # and dropped if it has ended, since then they are fetched again, here or elsewhere.
        assigned = self._member.assigned
        if fetched and assigned:
            self._window.store(self._follow(assigned, fetched))

    async def _rest(self) -> None:
        """Stay a member, and fetch nothing."""
        await self._window.room.wait(POLL_MS / 1000)
        if self._to_ask() is None:  # else the next turn asks the client
            await self.consumer.getmany(NOWHERE, timeout_ms=0)

    def _to_ask(self) -> Collection[TopicPartition] | None:
        """Return whose records to ask for, empty is all that there are; None: nobody's."""
        assigned = self._member.assigned
        asked = self._window.open_to(assigned)
        if not (self._open and self._window.wanted) or (assigned and not asked):
            return None
        return () if len(asked) == len(assigned) else asked

    def _follow(self, assigned: Collection[TopicPartition], fetched: Fetched) -> Fetched:
        """Go on where we were: without a group the client forgets that when a topic grows."""
        if assigned is self._seen or self._source.group_id is not None:
            return fetched
        self._seen = assigned
        known = {
            name: partition.reached
            for name, partition in self._window.partitions.items()
            if partition.position is not None
        }
        for name, reached in known.items():
            self.consumer.seek(name, reached)
        return {name: records for name, records in fetched.items() if name not in known}
