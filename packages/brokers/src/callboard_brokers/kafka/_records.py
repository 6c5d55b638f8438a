"""Where to read, where to write, and what a topic is like; no client is needed for these."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Protocol, Self

from callboard_brokers._errors import DestinationError
from callboard_brokers.kit import BaseSecurity

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
# A quantifier such as {2,3} is not a name, so the braces of regular expressions keep their meaning.
_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)\}")
_SEGMENT = r"(?P<\1>[^./]+)"


_CHOICES: Final[Mapping[str, tuple[str | None, ...]]] = {
    "auto_offset_reset": ("latest", "earliest", "none"),
    "isolation_level": ("read_uncommitted", "read_committed", None),
    "partition_assignment_strategy": ("roundrobin", "range", "sticky"),
}
_POSITIVE: Final = ("max_span", "commit_every", "session_timeout_ms", "heartbeat_interval_ms")


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class Topic(str):
    """The name of a topic, and what it is like if it has to be created.

    Give it wherever a name is asked for. -1 leaves a number to the server. With *declare* it is
    created if it is missing, without it has to be there; None: as `allow_auto_create_topics` says.
    """

    __slots__ = ("config", "declare", "num_partitions", "replication_factor")

    num_partitions: int
    replication_factor: int
    declare: bool | None
    config: Mapping[str, str]

    def __new__(
        cls,
        name: str,
        num_partitions: int = -1,
        replication_factor: int = -1,
        *,
        declare: bool | None = True,
        config: Mapping[str, str] | None = None,
    ) -> Self:
        """Make it."""
        made = super().__new__(cls, name)
        made.num_partitions = num_partitions
        made.replication_factor = replication_factor
        made.declare = declare
        made.config = config or {}
        return made

    @property
    def name(self) -> str:
        """The name alone."""
        return str(self)

    def __add__(self, other: str, /) -> Topic:
        return self._named(str(self) + other)

    def __radd__(self, other: str, /) -> Topic:
        """Return it with a prefix."""
        return self._named(other + str(self))

    def __eq__(self, other: object) -> bool:
        """Whether it is the same name, and of another `Topic`, whether all else is the same."""
        if isinstance(other, Topic):
            return self._parts == other._parts
        return str(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __repr__(self) -> str:
        return (
            f"Topic({str(self)!r}, num_partitions={self.num_partitions},"
            f" replication_factor={self.replication_factor})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Topic, declare=self.declare, config=self.config), self._parts[:3]

    @property
    def _parts(self) -> tuple[str, int, int, bool | None, Mapping[str, str]]:
        numbers = self.num_partitions, self.replication_factor
        return str(self), *numbers, self.declare, self.config

    def _named(self, name: str) -> Topic:
        numbers = self.num_partitions, self.replication_factor
        return Topic(name, *numbers, declare=self.declare, config=self.config)


def topic_of(name: str) -> Topic:
    """Return *name* if it says what the topic is like, else one that says nothing."""
    return name if isinstance(name, Topic) else Topic(name, declare=None)


class RebalanceListener(Protocol):
    """Told which partitions come and go; while it is, nothing is delivered."""

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition], /) -> None:
        """Before the first delivery from *assigned*."""
        ...

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition], /) -> None:
        """After the last settlement for *revoked* has been committed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSource:
    """Topics, a pattern of topics, or explicit partitions; one of the three.

    A *pattern* is a regular expression for the whole name of a topic. `{name}` in it matches one
    segment, without dots, and becomes a parameter of the path.
    Members of a *group_id* share the partitions and the positions in them; without a group, each
    reader reads everything, and commits nothing. The client's own times end in `_ms`: milliseconds.
    """

    topics: Sequence[str] = ()
    pattern: str | None = None
    partitions: Sequence[TopicPartition] = ()
    group_id: str | None = None
    group_instance_id: str | None = None
    """Static membership: a member that is back within its session keeps its partitions."""
    auto_offset_reset: Literal["latest", "earliest", "none"] = "latest"
    """Where to begin without a valid position; "none" makes that an error."""
    transactional: bool = False
    """What is enlisted for a record is published in one transaction with its settlement."""
    isolation_level: Literal["read_uncommitted", "read_committed"] | None = None
    """None is "read_committed" for a transactional source, else "read_uncommitted"."""
    client_rack: str | None = None
    partition_assignment_strategy: Literal["roundrobin", "range", "sticky"] = "roundrobin"
    session_timeout_ms: int = 6_000
    heartbeat_interval_ms: int = 1_000
    rebalance_timeout_ms: int = 60_000
    """How long the group waits for a member; half of it is for finishing what is in flight."""
    max_poll_interval_ms: int = 300_000
    fetch_min_bytes: int = 1
    fetch_max_bytes: int = 50 * 2**20
    fetch_max_wait_ms: int = 500
    max_partition_fetch_bytes: int = 2**20
    check_crcs: bool = True
    commit_interval: float | None = None
    """Seconds; None is 0.1 for a transactional source, whose outputs wait for it, else 1."""
    commit_every: int = 1000
    """Commit after so many settlements, if they come before the interval has passed."""
    max_span: int = 10_000
    """A partition is held while its oldest unsettled record is so far behind the newest."""
    listener: RebalanceListener | None = None

    def __post_init__(self) -> None:
        given = [bool(each) for each in (self.topics, self.pattern, self.partitions)]
        if sum(given) != 1:
            raise DestinationError(
                f"a Kafka source has topics={list(self.topics)}, pattern={self.pattern!r} and"
                f" partitions={list(self.partitions)}; give exactly one of the three"
            )
        _check_values(self)
        for topic in self.topics:
            check_topic(topic)
        if self.pattern is not None:
            compile_pattern(self.pattern)
        if self.group_instance_id is not None and self.group_id is None:
            raise DestinationError(
                f"group_instance_id={self.group_instance_id!r} names a member of no group;"
                " give group_id too"
            )
        if self.transactional and (self.group_id is None or self.partitions):
            raise DestinationError(
                f"a transactional source of {self.address!r} needs a group_id, and topics or a"
                f" pattern; it has group_id={self.group_id!r}, partitions={list(self.partitions)}"
            )

    @property
    def interval(self) -> float:
        """Seconds between two commits, if there is something to commit."""
        if self.commit_interval is None:
            return 0.1 if self.transactional else 1.0
        return self.commit_interval

    def prefixed(self, prefix: str, /) -> KafkaSource:
        """Return it with *prefix* in front of every topic; of a pattern, taken literally."""
        return replace(
            self,
            topics=[prefix + each for each in self.topics],
            pattern=self.pattern and f"{re.escape(prefix)}(?:{self.pattern})",
            partitions=[TopicPartition(prefix + topic, n) for topic, n in self.partitions],
        )

    @property
    def addresses(self) -> Sequence[str]:
        """The topics, each once; a pattern is one."""
        topics = self.topics or dict.fromkeys(topic for topic, _ in self.partitions)
        return [self.pattern] if self.pattern else [*topics]

    @property
    def address(self) -> str:
        """What the log calls it."""
        return self.pattern or ",".join(
            self.topics or [f"{topic}:{number}" for topic, number in self.partitions]
        )


@dataclass(frozen=True)
class KafkaTarget:
    """A topic to publish to; *key* replaces the message's own.

    Without a *partition*, the key decides on it. A *tombstone* is a null in place of the body:
    compaction removes the key. With *no_confirm*, publishing does not wait until Kafka has the
    record: `flush` does, and a failure is told as `publish.failed`. Without *create*, a missing
    topic is never created, whatever the options of the connection allow.
    """

    topic: str
    key: str | bytes | None = field(default=None, kw_only=True)
    partition: int | None = field(default=None, kw_only=True)
    timestamp_ms: int | None = field(default=None, kw_only=True)
    tombstone: bool = field(default=False, kw_only=True)
    no_confirm: bool = field(default=False, kw_only=True)
    create: bool = field(default=True, kw_only=True)

    def prefixed(self, prefix: str, /) -> KafkaTarget:
        """Return it with *prefix* in front of the topic.

        Raises:
            DestinationError: No topic can have this name.
        """
        check_topic(prefix + self.topic)
        return replace(self, topic=prefix + self.topic)

    @property
    def address(self) -> str:
        """What the log and the documents call it."""
        return self.topic


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaOptions:
    """How to speak to the servers; names and units are those of the client."""

    client_id: str = "callboard"
    request_timeout_ms: int = 40_000
    retry_backoff_ms: int = 100
    metadata_max_age_ms: int = 300_000
    connections_max_idle_ms: int = 540_000
    security: BaseSecurity | None = None
    acks: Literal["all", 0, 1] = "all"
    enable_idempotence: bool = True
    compression_type: Literal["gzip", "snappy", "lz4", "zstd"] | None = None
    max_batch_size: int = 16_384
    max_request_size: int = 2**20
    linger_ms: int = 0
    partitioner: Callable[[bytes | None, list[int], list[int]], int] | None = None
    topics: Sequence[Topic] = ()
    """Created while connecting, if they are missing."""
    allow_auto_create_topics: bool = True
    """Create a missing topic when it is first used, as the server would make it."""
    reply_topic: str = "callboard.replies"
    """Where answers to requests go. Processes may share it: each takes its own."""


def _check_values(source: KafkaSource) -> None:
    """Refuse what type checkers would, and what they can't."""
    if isinstance(source.topics, str):
        raise DestinationError(f"topics={source.topics!r} is one name: give a list, or by position")
    for name, allowed in _CHOICES.items():
        if getattr(source, name) not in allowed:
            raise DestinationError(
                f"{name}={getattr(source, name)!r} of a Kafka source is none of {allowed}"
            )
    if source.listener is not None and source.group_id is None:
        raise DestinationError("a listener is told what a group assigns; give group_id too")
    for name in _POSITIVE:
        value: object = getattr(source, name)
        if not isinstance(value, int) or value < 1:
            raise DestinationError(
                f"{name}={value!r} of a Kafka source must be a whole number, at least 1"
            )
    if source.commit_interval is not None and not source.commit_interval > 0:
        raise DestinationError(
            f"commit_interval={source.commit_interval!r} of a Kafka source must be more than 0"
            " seconds; commit_every=1 commits after each settlement"
        )


def check_topic(name: object) -> None:
    """Raise `DestinationError` unless Kafka allows *name*."""
    if not isinstance(name, str) or not _TOPIC.fullmatch(name) or name in {".", ".."}:
        raise DestinationError(
            f"{name!r} cannot be the name of a topic: give up to 249 of a-z, A-Z, 0-9, '.', '_', '-'"
        )


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression, which matches whole names only.

    Raises:
        DestinationError: It is none.
    """
    try:
        return re.compile(rf"(?:{_PARAMETER.sub(_SEGMENT, pattern)})\Z")
    except re.error as error:
        raise DestinationError(f"{pattern!r} is no pattern of topics: {error}") from error


def path_of(pattern: str | None, topic: str) -> Mapping[str, str] | None:
    """Return the parameters that *pattern* finds in *topic*, may be none; None if it does not match."""
    if pattern is None:
        return {}
    found = compile_pattern(pattern).match(topic)
    return found.groupdict() if found else None
