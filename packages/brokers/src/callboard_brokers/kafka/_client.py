"""The client, as far as we use it; no other module imports it.

aiokafka has no type information, so what we call is written down as Protocols, and everything
beyond this module is typed.
"""
# Its modules are reached through the untyped name:
# pyright: reportMissingTypeStubs=false, reportUnusedImport=false
# ruff: noqa: SLF001 - of a client that cannot be stopped in good order, the parts are

from __future__ import annotations

import ssl
from asyncio import Future, ensure_future, wait
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

import aiokafka
import aiokafka.admin
import aiokafka.conn
import aiokafka.coordinator.assignors.range
import aiokafka.coordinator.assignors.sticky.sticky_assignor
from anyio import CancelScope

from callboard_brokers.kafka._message import Record
from callboard_brokers.kafka._pattern import compile_pattern
from callboard_brokers.kafka._records import KafkaOptions, KafkaSource, Topic, TopicPartition

__all__ = [
    "NOWHERE",
    "Callbacks",
    "Consumer",
    "Producer",
    "create_topics",
    "errors",
    "make_consumer",
    "make_producer",
    "refusal",
    "stop",
]

_client: Any = aiokafka
errors: Final = _client.errors

_SPEAKING: Final = (
    "client_id",
    "request_timeout_ms",
    "retry_backoff_ms",
    "metadata_max_age_ms",
    "connections_max_idle_ms",
)
_READING: Final = (
    "group_id",
    "group_instance_id",
    "auto_offset_reset",
    "isolation_level",
    "client_rack",
    "session_timeout_ms",
    "heartbeat_interval_ms",
    "rebalance_timeout_ms",
    "max_poll_interval_ms",
    "fetch_min_bytes",
    "fetch_max_bytes",
    "fetch_max_wait_ms",
    "max_partition_fetch_bytes",
    "check_crcs",
)

NOWHERE: Final[TopicPartition] = _client.TopicPartition("", -1)
"""Nobody's partition: asking for its records keeps a member alive, and takes nothing."""


class Consumer(Protocol):
    """What reads."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def assignment(self) -> Collection[TopicPartition]: ...
    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int | None = None
    ) -> Mapping[TopicPartition, Sequence[Record]]: ...
    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None: ...
    async def position(self, partition: TopicPartition) -> int: ...
    def seek(self, partition: TopicPartition, offset: int) -> None: ...
    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]: ...


class Cluster(Protocol):
    """What is known of the servers."""

    def topics(self) -> Collection[str]: ...


class Link(Protocol):
    """What a producer speaks through."""

    async def fetch_all_metadata(self) -> Cluster: ...
    def force_metadata_update(self) -> Future[bool]: ...


class Producer(Protocol):
    """What publishes."""

    client: Link

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def flush(self) -> None: ...
    async def partitions_for(self, topic: str) -> Collection[int]: ...
    async def send(  # noqa: PLR0913, PLR0917 - the client's own signature
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int | None,
        timestamp_ms: int | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> Future[object]: ...


class Callbacks(Protocol):
    """What the client calls, in a task of its own, when partitions come and go."""

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition], /) -> None: ...
    async def on_partitions_assigned(self, assigned: Collection[TopicPartition], /) -> None: ...


def make_producer(servers: Sequence[str], options: KafkaOptions) -> Producer:
    """Make a producer; it waits to be started."""
    partitioner = {} if options.partitioner is None else {"partitioner": options.partitioner}
    made: Producer = _client.AIOKafkaProducer(
        **_common(servers, options),
        acks=options.acks,
        enable_idempotence=options.enable_idempotence,
        compression_type=options.compression_type,
        max_batch_size=options.max_batch_size,
        max_request_size=options.max_request_size,
        linger_ms=options.linger_ms,
        **partitioner,
    )
    return made


def make_consumer(
    servers: Sequence[str], options: KafkaOptions, source: KafkaSource, callbacks: Callbacks
) -> Consumer:
    """Make a consumer that reads *source*; it waits to be started."""
    assignors = _client.coordinator.assignors
    strategies = {
        "roundrobin": assignors.roundrobin.RoundRobinPartitionAssignor,
        "range": assignors.range.RangePartitionAssignor,
        "sticky": assignors.sticky.sticky_assignor.StickyPartitionAssignor,
    }
    made: Any = _client.AIOKafkaConsumer(
        **_common(servers, options),
        **{name: getattr(source, name) for name in _READING},
        enable_auto_commit=False,
        partition_assignment_strategy=[strategies[source.partition_assignment_strategy]],
    )
    if source.partitions:
        made.assign([_client.TopicPartition(*each) for each in source.partitions])
    else:
        _client.ConsumerRebalanceListener.register(type(callbacks))
        pattern = compile_pattern(source.pattern).pattern if source.pattern else None
        made.subscribe(topics=list(source.topics), pattern=pattern, listener=callbacks)
    consumer: Consumer = made
    return consumer


async def stop(client: Consumer | Producer, patience: float) -> None:
    """Stop *client*; after *patience* seconds without waiting for the servers any more.

    In a task of its own, since the client may await one that it has cancelled itself: whoever
    waits for it would take that for his own cancellation.
    """
    untyped: Any = client
    with CancelScope(shield=True):
        if await _ended(untyped.stop(), patience):
            return
        # What it would have done last.
        if hasattr(untyped, "_sender"):
            untyped._message_accumulator.fail_all(errors.ProducerClosed())
            await _ended(untyped._sender.close(), 1.0)
            await _ended(untyped.client.close(), 1.0)
        else:
            await _ended(untyped._client.close(), 1.0)


async def _ended(step: Coroutine[Any, Any, object], patience: float) -> bool:
    """Whether *step* comes to a good end in time."""
    task = ensure_future(step)
    await wait({task}, timeout=patience)
    if not task.done():
        task.cancel()
        await wait({task}, timeout=1.0)
    return task.done() and not task.cancelled() and task.exception() is None


async def create_topics(
    servers: Sequence[str], options: KafkaOptions, topics: Sequence[Topic]
) -> Mapping[str, str]:
    """Create *topics*; return why some could not be, without those that exist by now."""
    admin = _client.admin.AIOKafkaAdminClient(**_common(servers, options))
    try:
        await admin.start()
        wanted = [
            _client.admin.NewTopic(
                each.name, each.partitions, each.replication_factor, {}, dict(each.config)
            )
            for each in topics
        ]
        answer = await admin.create_topics(wanted)
    finally:
        await admin.close()
    harmless = {0, errors.TopicAlreadyExistsError.errno}
    return {name: text or "" for name, code, text in answer.topic_errors if code not in harmless}


async def refusal(servers: Sequence[str], options: KafkaOptions) -> str | None:
    """Say why a server turns us away, if it does: the client tells that to its log alone."""
    denied = (
        errors.AuthenticationFailedError,
        errors.AuthenticationMethodNotSupported,
        errors.IllegalSaslStateError,
        errors.SaslAuthenticationFailed,
        errors.UnsupportedSaslMechanismError,
        ssl.SSLError,
    )
    for host, port, _ in _client.conn.collect_hosts(list(servers)):
        settings = {"client_id": options.client_id, **options.security}
        try:
            connection = await _client.conn.create_conn(host, port, **settings)
        except denied as error:
            return f"{host}:{port} says: {error}"
        except (OSError, errors.KafkaError):
            continue
        connection.close()
    return None


def _common(servers: Sequence[str], options: KafkaOptions) -> dict[str, Any]:
    chosen = {name: getattr(options, name) for name in _SPEAKING}
    return {"bootstrap_servers": list(servers), **chosen, **options.security}
