"""The servers: reaching them, however long it takes, and the topics that they have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from time import monotonic

from anyio import Lock, sleep

from callboard_brokers._errors import (
    AccessRefused,
    BrokerError,
    ConnectionLost,
    DestinationError,
    Unroutable,
)
from callboard_brokers.kafka._client import (
    Consumer,
    Producer,
    create_topics,
    errors,
    existing,
    refusal,
    silent,
)
from callboard_brokers.kafka._mending import start
from callboard_brokers.kafka._pulse import Pulse
from callboard_brokers.kafka._records import KafkaOptions, Topic, check_topic, topic_of
from callboard_brokers.kafka._translate import CLIENT_ERRORS, translated
from callboard_brokers.kit import Journal, Reach, SASLOAuthBearer, brief

BEAT, PATIENCE = 1.0, 2.0
"""Seconds without an answer until one is asked whether it is there, and for what it says to that."""


class Servers:
    """Where the servers are, and what of them is known to be there."""

    def __init__(self, addresses: Sequence[str], options: KafkaOptions, journal: Journal) -> None:
        self.addresses = addresses
        self.options = options
        self.journal = journal
        self.known: set[str] = set()
        self.picky: dict[str, int] = {}
        """Topics that have refused a batch, and how many records are to go there alone yet."""
        self.reach = Reach[None](",".join(addresses), journal)
        self.pulse = Pulse(options)
        self._looking = Lock()

    async def start(self, client: Consumer | Producer) -> None:
        """Start *client*; while no server can be reached, try again.

        Raises:
            AccessRefused: A server was reached and turned us away.
        """

        async def attempt() -> None:
            if isinstance(self.options.security, SASLOAuthBearer):
                await self._be_let_in()
            try:
                await start(client)
            except errors.KafkaConnectionError as error:
                await self._be_let_in()
                raise ConnectionLost(
                    f"{brief(error)}; if one runs there, see whether it wants TLS or SASL"
                ) from error

        await self.reach.patiently(attempt)

    async def _be_let_in(self) -> None:
        reason = await refusal(self.addresses, self.options)
        if reason is not None:
            raise AccessRefused(
                f"Kafka does not let us in: {reason}; check `security` and the listener"
            )

    async def watch(self, producer: Producer, heard: Callable[[], float]) -> None:
        """See again and again whether a server is there: a client that is away says nothing.

        *heard* says when one has answered last, by `time.monotonic`: who fetches or beats hears
        enough. One is asked only where that was too long ago.
        """
        while True:
            rest = heard() + BEAT - monotonic()
            silence = None if rest > 0 else await silent(producer, PATIENCE)
            if silence is None:
                self.reach.found()
            else:
                self.reach.lose(ConnectionLost(silence))
            await sleep(rest if rest > 0 else BEAT)

    async def find(
        self,
        producer: Producer,
        name: str,
        partitions: Collection[int] = (),
        *,
        create: bool = True,
    ) -> None:
        """Have the topic *name*, and look for its *partitions*, so that it can be published to.

        Raises:
            ConnectionLost: The servers cannot be asked.
            DestinationError: It is missing and can't be created, or has not all *partitions*.
        """
        if name not in self.known:
            await self.ensure(producer, [topic_of(name)], create=create)
        if not partitions:
            return
        try:
            missing = {*partitions} - {*await producer.partitions_for(name)}
            # It may have grown since the client has looked.
            if missing and not await producer.client.force_metadata_update():
                raise ConnectionLost(f"no server says which partitions the topic {name!r} has")
            if missing and (missing := missing - {*await producer.partitions_for(name)}):
                raise DestinationError(f"the topic {name!r} has no partition {min(missing)}")
        except errors.UnknownTopicOrPartitionError as error:
            raise await self.verdict(producer, name) from error
        except CLIENT_ERRORS as error:
            raise translated(error, f"cannot publish to {name!r}") from error

    async def verdict(self, producer: Producer, name: str) -> BrokerError:
        """Return why the client does not know the topic *name*.

        It takes the silence of all servers for a no; only what one of them says is one.
        """
        self.known.discard(name)
        try:
            there = await existing(producer, [name])
        except CLIENT_ERRORS as error:
            return translated(error, f"cannot ask Kafka for the topic {name!r}", ConnectionLost)
        if name in there:
            return ConnectionLost(f"the servers do not say where the topic {name!r} is")
        return Unroutable(f"Kafka has no topic {name!r}")

    async def ensure(
        self,
        producer: Producer,
        topics: Iterable[Topic],
        *,
        declared: bool = False,
        create: bool = True,
    ) -> None:
        """Have *topics*: create those that are missing, if they were *declared* or may be.

        Raises:
            DestinationError: One has an impossible name.
            Unroutable: One is missing, and is not to be created, or can't be at the moment.
            ConnectionLost: The servers cannot be asked.
        """
        async with self._looking:
            missing = [each for each in topics if each.name not in self.known]
            for each in missing:
                check_topic(each.name)
            if not missing:
                return
            try:
                there = await existing(producer, [each.name for each in missing])
                allowed = declared or (create and self.options.allow_auto_create_topics)
                absent = [each for each in missing if each.name not in there]
                refused = [each for each in absent if not _may_be_made(each, allowed)]
                await self._create([each for each in absent if each not in refused])
                self._refuse(refused)
            except CLIENT_ERRORS as error:
                raise translated(
                    error, "cannot ask Kafka for its topics", ConnectionLost
                ) from error
            self.known.update(each.name for each in missing)

    def _refuse(self, missing: Sequence[Topic]) -> None:
        """Say of topics that nobody may create that they are missing."""
        if not missing:
            return
        advice = "; create it, or allow it: allow_auto_create_topics=True"
        if self.options.allow_auto_create_topics or all(each.declare is False for each in missing):
            advice = ""
        raise Unroutable(f"Kafka has no topic {_names(missing)}{advice}")

    async def _create(self, missing: Sequence[Topic]) -> None:
        if not missing:
            return
        failed = await create_topics(self.addresses, self.options, missing)
        if failed:
            # For now: a server may be down that the replicas need, or a limit be raised.
            raise Unroutable(f"Kafka does not create the topic {_names(missing)}: {failed}")


def _may_be_made(topic: Topic, allowed: bool) -> bool:
    return allowed if topic.declare is None else topic.declare


def _names(topics: Sequence[Topic]) -> str:
    return ", ".join(repr(each.name) for each in topics)
