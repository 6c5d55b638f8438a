"""The client, as far as we use it; no other module imports it.

aiokafka has no type information, so what we call is written down as Protocols, and everything
beyond this module is typed.
"""
# Its modules are reached through the untyped name:
# pyright: reportMissingTypeStubs=false, reportUnusedImport=false

from __future__ import annotations

import ssl
from asyncio import Future
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from random import sample
from typing import Any, Final, Protocol

import aiokafka
import aiokafka.admin
import aiokafka.conn
import aiokafka.coordinator.assignors.range
import aiokafka.coordinator.assignors.sticky.sticky_assignor
import aiokafka.protocol.group
from anyio import fail_after

from callboard_brokers.kafka._chunks import IN_CHUNKS, partition_records
from callboard_brokers.kafka._mending import pace, survive_failures, survive_refusals
from callboard_brokers.kafka._message import Bare
from callboard_brokers.kafka._names import Records
from callboard_brokers.kafka._records import (
    KafkaOptions,
    KafkaSource,
    Topic,
    TopicPartition,
    compile_pattern,
)
from callboard_brokers.kit import BaseSecurity, Pair, SASLOAuthBearer, SASLPlaintext

_client: Any = aiokafka
errors: Final = _client.errors

# What is not in this table is to the client an error of which nobody knows what it is.
_invalid = {"errno": 87, "message": "INVALID_RECORD", "description": "The record is refused."}
errors.kafka_errors.setdefault(87, type("InvalidRecord", (errors.BrokerResponseError,), _invalid))
# Its fetcher makes these two of whatever it gets; there is no other place to say so.
_fetcher: Any = _client.consumer.fetcher
_fetcher.PartitionRecords = partial(partition_records, _fetcher.PartitionRecords)
_fetcher.MemoryRecords = partial(
    Records,
    reader=_client.record.memory_records.MemoryRecords,
    again=_client.record.default_records._DefaultRecordBatchPy,  # noqa: SLF001 - see `_names.py`
)

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

heartbeat: Final[Callable[[str, int, str], object]] = _client.protocol.group.HeartbeatRequest
"""Makes the request that says: the member of this group, generation and id lives."""

NOWHERE: Final[TopicPartition] = _client.TopicPartition("", -1)
"""Nobody's partition: asking for its records keeps a member alive, and takes nothing."""


class Consumer(Protocol):
    """What reads."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def assignment(self) -> Collection[TopicPartition]: ...
    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int | None = None
    ) -> Mapping[TopicPartition, Sequence[Bare]]: ...
    async def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None: ...
    async def position(self, partition: TopicPartition) -> int: ...
    async def committed(self, partition: TopicPartition) -> int | None: ...
    def seek(self, partition: TopicPartition, offset: int) -> None: ...
    async def seek_to_beginning(self, *partitions: TopicPartition) -> object: ...
    async def seek_to_end(self, *partitions: TopicPartition) -> object: ...


class Pack(Protocol):
    """Records of one partition, that are sent as one."""

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Pair],
    ) -> object | None:
        """Add a record; None if it does not fit. The first one always does."""
        ...

    def size(self) -> int:
        """Return how many bytes it has."""
        ...


class Producer(Protocol):
    """What publishes."""

    client: Any

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
        headers: Sequence[Pair],
    ) -> Future[object]: ...
    def create_batch(self) -> Pack: ...
    async def send_batch(self, batch: Pack, topic: str, *, partition: int) -> Future[object]: ...
    async def begin_transaction(self) -> None: ...
    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, int], group_id: str
    ) -> None: ...
    async def commit_transaction(self) -> None: ...


def partitioning(producer: Producer, topic: str) -> Callable[[bytes | None], int]:
    """Return the choice of a partition by key; call it once for many keys, of a known topic."""
    untyped: Any = producer
    cluster, choose = untyped.client.cluster, untyped._partitioner  # noqa: SLF001 - the choice of its own `send`
    every = [*cluster.partitions_for_topic(topic)]
    available = [*cluster.available_partitions_for_topic(topic)]
    return lambda key: choose(key, every, available)


def make_producer(
    servers: Sequence[str], options: KafkaOptions, transactional_id: str | None = None
) -> Producer:
    """Make a producer; it waits to be started.

    Starting one with a *transactional_id* fences the one before it, and ends its transaction.
    """
    partitioner = {} if options.partitioner is None else {"partitioner": options.partitioner}
    made: Producer = _client.AIOKafkaProducer(
        **_common(servers, options),
        transactional_id=transactional_id,
        acks="all" if transactional_id else options.acks,
        enable_idempotence=options.enable_idempotence,
        compression_type=options.compression_type,
        max_batch_size=options.max_batch_size,
        max_request_size=options.max_request_size,
        linger_ms=options.linger_ms,
        **partitioner,
    )
    pace(made.client)
    survive_failures(made)
    if transactional_id is None and options.enable_idempotence:
        survive_refusals(made)
    return made


def make_consumer(
    servers: Sequence[str], options: KafkaOptions, source: KafkaSource, callbacks: object
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
        # Else it looks at every partition five times a second, though all that matters wakes it.
        consumer_timeout_ms=1000,
        value_deserializer=IN_CHUNKS,
        isolation_level=source.isolation_level
        or ("read_committed" if source.transactional else "read_uncommitted"),
        partition_assignment_strategy=[strategies[source.partition_assignment_strategy]],
    )
    pace(made._client)  # noqa: SLF001 - as the producer's, which is public
    if source.partitions:
        made.assign([_client.TopicPartition(*each) for each in source.partitions])
    else:
        _client.ConsumerRebalanceListener.register(type(callbacks))
        join(made, source, callbacks)
    consumer: Consumer = made
    return consumer


def join(consumer: Any, source: KafkaSource, callbacks: object) -> None:
    """Join the group; if *consumer* has joined before, let go of everything and join again."""
    pattern = compile_pattern(source.pattern).pattern if source.pattern else None
    consumer.subscribe(topics=list(source.topics), pattern=pattern, listener=callbacks)


async def committed(
    consumer: Any, partitions: Collection[TopicPartition]
) -> Mapping[TopicPartition, tuple[int, str]]:
    """Return the positions of the group of *consumer*, where it has some, and the texts beside."""
    # What the client's own `committed` asks, one partition at a time and without the text.
    coordinator: Any = consumer._coordinator  # noqa: SLF001 - see above
    found: Mapping[TopicPartition, tuple[int, str]]
    found = await coordinator.fetch_committed_offsets([*partitions])
    return found


async def bounds(
    consumer: Any, partitions: Collection[TopicPartition]
) -> Mapping[TopicPartition, tuple[int, int]]:
    """Return the offset of the first record of each of *partitions*, and that after the last."""
    firsts = await consumer.beginning_offsets([*partitions])
    ends = await consumer.end_offsets([*partitions])
    return {name: (firsts[name], ends[name]) for name in partitions}


async def existing(producer: Producer, names: Collection[str]) -> set[str]:
    """Return those of *names* that are topics."""
    request = _client.protocol.metadata.MetadataRequest([*names], allow_auto_topic_creation=False)
    answer = await producer.client.send(producer.client.get_random_node(), request)
    unknown = errors.UnknownTopicOrPartitionError.errno
    return {name for code, name, *_ in answer.topics if code != unknown}


async def silent(producer: Producer, patience: float) -> str | None:
    """Say why no server answers, each within *patience* seconds; None as soon as one does."""
    client: Any = producer.client
    nodes = [each.nodeId for each in client.cluster.brokers()]
    reason = "it names no server"
    for node in sample(nodes, len(nodes)):
        try:
            with fail_after(patience):
                # About no topic: it is the smallest question that every server answers.
                await client.send(node, _client.protocol.metadata.MetadataRequest([]))
        except TimeoutError:
            reason = f"no answer within {patience:g} s"
        except (OSError, errors.KafkaError) as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            return None
    return reason


async def create_topics(
    servers: Sequence[str], options: KafkaOptions, topics: Sequence[Topic]
) -> Mapping[str, str]:
    """Create *topics*; return why some can't be, without those that exist by now.

    Raises:
        KafkaError: Some can't be at the moment.
    """
    admin = _client.admin.AIOKafkaAdminClient(**_common(servers, options))
    try:
        await admin.start()
        wanted = [
            _client.admin.NewTopic(
                each.name, each.num_partitions, each.replication_factor, {}, dict(each.config)
            )
            for each in topics
        ]
        answer = await admin.create_topics(wanted)
    finally:
        await admin.close()
    failed: dict[str, str] = {}
    for name, code, text in answer.topic_errors:
        if code in {0, errors.TopicAlreadyExistsError.errno}:
            continue
        error = errors.for_code(code)
        if error.retriable:
            raise error(f"{name}: {text}")
        failed[name] = text or error.__name__
    return failed


async def connect(host: str, port: int, options: KafkaOptions) -> Any:
    """Return a bare connection to one server."""
    settings = {"client_id": options.client_id, **_secured(options.security)}
    return await _client.conn.create_conn(host, port, **settings)


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
        try:
            connection = await connect(host, port, options)
        except denied as error:
            return f"{host}:{port} says: {error}"
        except (OSError, errors.KafkaError):
            continue
        try:
            answer = await connection.send(_client.protocol.metadata.MetadataRequest([]))
        except (OSError, errors.KafkaError):
            continue
        finally:
            connection.close()
        if not answer.brokers:
            # It answers in words that the client does not understand, and so believes itself in.
            return f"{host}:{port} refuses the token"
    return None


def _common(servers: Sequence[str], options: KafkaOptions) -> dict[str, Any]:
    chosen = {name: getattr(options, name) for name in _SPEAKING}
    return {"bootstrap_servers": list(servers), **chosen, **_secured(options.security)}


def _secured(security: BaseSecurity | None) -> dict[str, Any]:
    if security is None:
        return {}
    layer = "SSL" if security.use_ssl or security.ssl_context is not None else "PLAINTEXT"
    settings: dict[str, Any] = {
        "security_protocol": layer if security.mechanism is None else f"SASL_{layer}",
        "ssl_context": security.context,
        "sasl_mechanism": security.mechanism or "PLAIN",
    }
    if isinstance(security, SASLPlaintext):
        settings["sasl_plain_username"] = security.username
        settings["sasl_plain_password"] = security.password
    elif isinstance(security, SASLOAuthBearer):
        settings["sasl_oauth_token_provider"] = _Tokens(security)
    return settings


class _Tokens:
    def __init__(self, security: SASLOAuthBearer) -> None:
        self._security = security

    async def token(self) -> str:
        return await self._security.token()


_client.abc.AbstractTokenProvider.register(_Tokens)
