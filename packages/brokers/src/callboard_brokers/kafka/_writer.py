"""Exactly once: outputs and the position behind their inputs, in one transaction.

There is one writer, hence one transactional id, for each partition of a group. Kafka checks neither
member nor generation of what a transaction commits, so safety must not depend on the group:

* Opening a writer fences every earlier one and ends its transaction, for good or for bad. Only then
  is the committed position read, and reading goes on from there, so it cannot be stale.
* From then on, until another writer is opened, nobody else can move that position. Every
  transaction moves it from where this writer has put it, or found it.

After a failure nothing is mended: the next attempt opens the writer anew, and finds out by the
position whether the last one counted. So a writer compares and swaps, and the group only decides
who tries: see docs/decisions/0013-kafka-transactions.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from callboard_brokers._errors import BrokerError
from callboard_brokers.kafka._client import Consumer, Producer, errors, make_producer
from callboard_brokers.kafka._mending import abandon, start
from callboard_brokers.kafka._outgoing import Shared, confirmed, ignore, is_alone, send
from callboard_brokers.kafka._parcel import Outgoing
from callboard_brokers.kafka._records import TopicPartition
from callboard_brokers.kafka._servers import Servers
from callboard_brokers.kit import brief

FENCED: Final[tuple[type[Exception], ...]] = (errors.ProducerFenced, errors.InvalidProducerEpoch)


class Fenced(BrokerError):
    """Another writer has moved the position: the partition is somebody else's."""


class Writer:
    """Writes what comes of one partition; not to be used by two tasks at once."""

    def __init__(
        self, servers: Servers, consumer: Consumer, group: str, name: TopicPartition
    ) -> None:
        self.position: int | None = None
        """Where the group is, None while it is nowhere; nobody else can change it."""
        self._servers = servers
        self._consumer = consumer
        self._group = group
        self._name = name
        self._producer: Producer | None = None
        self._attempt: int | None = None

    async def open(self) -> None:
        """Fence whoever wrote before, and see where he got to."""
        await self.close()
        identity = f"callboard.{self._group}.{self._name.topic}.{self._name.partition}"
        servers = self._servers
        producer = make_producer(servers.addresses, servers.options, identity)
        try:
            await start(producer)
            self.position = await self._consumer.committed(self._name)
        except BaseException:
            await abandon(producer)
            raise
        self._producer = producer

    async def write(
        self, outputs: Sequence[Outgoing], position: int, *, alone: bool = False
    ) -> None:
        """Publish *outputs* and commit *position*, both or neither; see `position` afterwards.

        If one is refused, all of its batch are blamed; if each goes *alone*, it is that one.

        If it fails, or is cancelled, it may have happened all the same, and the next call finds
        out. If it had, that call does no more.

        Raises:
            Fenced: Somebody else has moved the position, or may: read again from where it is.
        """
        if self._producer is None and await self._reopened():
            return
        self._attempt = position
        try:
            await self._transact(outputs, position, alone)
        except BaseException as error:
            await self.close()
            if isinstance(error.__cause__ or error, FENCED):
                raise Fenced(f"{self._name} has another writer: {brief(error)}") from error
            raise
        self.position = position

    async def close(self) -> None:
        """Let go of the producer; whoever opens a writer next ends its transaction."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await abandon(producer)

    async def _transact(self, outputs: Sequence[Outgoing], position: int, alone: bool) -> None:
        producer, sent = self._producer, list[Shared]()
        if producer is None:
            raise Fenced(f"the writer of {self._name} was closed")
        await producer.begin_transaction()
        try:
            for number, output in enumerate(outputs):
                apart = alone or is_alone(self._servers, output)
                future = await send(self._servers, producer, output, alone=apart)
                sent.append((future, (number,)))
        except BaseException:
            ignore(sent)
            raise
        # The client's commit waits for them too, but does not mind their failures.
        for failure in (await confirmed(sent, outputs.__getitem__)).values():
            raise failure
        await producer.send_offsets_to_transaction({self._name: position}, self._group)
        await producer.commit_transaction()

    async def _reopened(self) -> bool:
        """Open again after a failure; return whether what failed has happened all the same."""
        before, attempt = self.position, self._attempt
        await self.open()
        if self.position == before:
            return False
        if self.position == attempt:
            return True
        await self.close()
        raise Fenced(f"{self._name} has moved from {before} to {self.position} without us")
