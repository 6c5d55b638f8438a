"""Where to read and where to write; no client is needed for these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final, Literal, TypeAlias

from callboard_brokers._errors import DestinationError
from callboard_brokers.kit import hinted, seconds_until
from callboard_brokers.nats._config import (
    ConsumerConfig,
    DeliverPolicy,
    JStream,
    check_name,
    kv_stream,
    object_stream,
    timestamp,
)
from callboard_brokers.nats._subject import Subject, check_subject

Kind: TypeAlias = Literal["core", "pull", "push", "ordered", "kv", "object"]


@hinted()
@dataclass(frozen=True, slots=True)
class PullSub:
    """How messages are asked for: for a batch handler, how many and how long to wait for them."""

    batch_size: int = 1
    timeout: float | None = 5.0
    batch: bool = False


@hinted(timeout="timeout= is to be taken out: changes come when they happen")
@dataclass(frozen=True, slots=True)
class KvWatch:
    """A bucket of keys and values whose changes are read, from the present values on."""

    name: str
    headers_only: bool = field(default=False, kw_only=True)
    include_history: bool = field(default=False, kw_only=True)
    ignore_deletes: bool = field(default=False, kw_only=True)
    meta_only: bool = field(default=False, kw_only=True)
    inactive_threshold: float | None = field(default=None, kw_only=True)
    declare: bool = field(default=True, kw_only=True)


@hinted(
    timeout="timeout= is to be taken out: changes come when they happen",
    meta_only="meta_only= is to be taken out: handlers get the names of the objects alone",
    inactive_threshold="inactive_threshold= is to be taken out: a reader that is gone is forgotten after 300 s",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class ObjWatch:
    """What to read of the changes in a bucket of objects, from those that are there on."""

    ignore_deletes: bool = False
    include_history: bool = False
    declare: bool = True


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a stream publishes a message by itself, and to which subject of its own.

    Once, at a *time*; or again and again, from NATS 2.14 on: every `timedelta` of whole seconds, or
    by an expression of cron, of five fields or six, with the seconds in front, in a *timezone* (None:
    UTC), which the server has to know. Of what is published to one subject, the last schedule holds.
    """

    time: datetime | timedelta | str
    target: str
    timezone: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_subject(self.target)
        time = self.time
        if isinstance(time, timedelta) and (time < timedelta(seconds=1) or time.microseconds):
            raise DestinationError(f"a Schedule every {time}: give whole seconds, from 1 on")
        if isinstance(time, str) and len(time.split()) not in {5, 6}:
            raise DestinationError(
                f"a Schedule by {time!r}: give five fields, as '*/5 * * * *', or six with seconds first"
            )
        if self.timezone is not None and not isinstance(time, str):
            raise DestinationError(
                f"a Schedule of {time!r} has timezone={self.timezone!r}, which is for expressions of cron"
            )

    @property
    def pattern(self) -> str:
        """When, as the server reads it."""
        if isinstance(self.time, datetime):
            return f"@at {timestamp(self.time)}"
        if isinstance(self.time, timedelta):
            return f"@every {self.time // timedelta(seconds=1)}s"
        return self.time if len(self.time.split()) == 6 else f"0 {self.time}"


@dataclass(frozen=True)
class NatsSource:
    """A subject, or a stream, or what changes in a bucket.

    The *subject* may have wildcards and names in braces, each for one token. Without a *stream* it
    is read as it is published: readers of one *queue* share it, and what nobody reads is lost.
    With one it is read by a consumer, which redelivers what is not acknowledged: that of a name,
    *durable*, is shared and keeps its place; without a name, each reader has one of its own.
    With *kv_watch* the subject is a key, with *obj_watch* it is a bucket.
    """

    subject: str = ""
    queue: str = ""
    """Who shares the messages; of a stream, its consumer is called so, unless *durable* says more."""
    stream: str | JStream | None = field(default=None, kw_only=True)
    durable: str | None = field(default=None, kw_only=True)
    config: ConsumerConfig | None = field(default=None, kw_only=True)
    """More of the consumer; what is said beside it comes first."""
    filter_subjects: Sequence[str] = field(default=(), kw_only=True)
    """In place of the one subject; wildcards, but no names in braces."""
    deliver_policy: DeliverPolicy | None = field(default=None, kw_only=True)
    """Where a new consumer begins; None is "all"."""
    ack_wait: float | None = field(default=None, kw_only=True)
    """Seconds until a message of a reader who has gone silent comes again; None is 30."""
    max_deliver: int | None = field(default=None, kw_only=True)
    """How often a message is delivered, releases included; None is without end."""
    headers_only: bool | None = field(default=None, kw_only=True)
    extend_for: float = field(default=3600.0, kw_only=True)
    """Seconds for which a message stays ours while it is handled, however often that takes longer
    than `ack_wait`; then another reader may get it."""
    pull_sub: bool | PullSub = field(default=True, kw_only=True)
    """False has the server push, for consumers that are made so."""
    ordered_consumer: bool = field(default=False, kw_only=True)
    """Read in order, once, without acknowledging; from the beginning, unless a policy says more."""
    idle_heartbeat: float | None = field(default=None, kw_only=True)
    flow_control: bool | None = field(default=None, kw_only=True)
    kv_watch: str | KvWatch | None = field(default=None, kw_only=True)
    obj_watch: bool | ObjWatch = field(default=False, kw_only=True)
    pending_msgs_limit: int = field(default=512 * 1024, kw_only=True)
    """How many messages without a stream may wait here; the newest beyond are dropped, and told."""
    pending_bytes_limit: int = field(default=128 * 2**20, kw_only=True)

    def __post_init__(self) -> None:
        chosen = [self.stream is not None, self.kv_watch is not None, bool(self.obj_watch)]
        if sum(chosen) > 1:
            raise DestinationError(
                f"a NATS source has stream={self.stream!r}, kv_watch={self.kv_watch!r} and"
                f" obj_watch={self.obj_watch!r}; give one of the three at most"
            )
        _check_consumer(self)
        if self.consumer is not None:
            check_name(self.consumer, "consumer")
        for subject in self.filter_subjects:
            check_subject(subject, wild=True)
        if self.kind in {"kv", "object"}:
            check_name(self.bucket, "bucket")
        if self.queue:
            check_subject(self.queue)
        if self.subject or self.kind == "core":
            Subject(self.subject)
        _ = self.jstream

    @property
    def kind(self) -> Kind:
        """In which of its ways it is read."""
        if self.kv_watch is not None:
            return "kv"
        if self.obj_watch:
            return "object"
        if self.stream is None:
            return "core"
        if self.ordered_consumer:
            return "ordered"
        return "push" if self.pull_sub is False else "pull"

    @cached_property
    def pattern(self) -> Subject:
        """What it reads: of subjects, or of keys."""
        return Subject(self.subject or ">")

    @property
    def filters(self) -> Sequence[str]:
        """The subjects that a consumer is asked for; none is the whole stream."""
        if self.kind == "kv":
            return [f"$KV.{self.bucket}.{self.pattern.wire}"]
        if self.kind == "object":
            return [f"$O.{self.bucket}.M.>"]
        return self.filter_subjects or ([self.pattern.wire] if self.subject else [])

    @property
    def bucket(self) -> str:
        """The bucket that is watched; empty if none is."""
        if self.obj_watch:
            return self.subject
        return self.kv_watch.name if isinstance(self.kv_watch, KvWatch) else self.kv_watch or ""

    @property
    def jstream(self) -> JStream | None:
        """The stream that it reads; None: it reads none."""
        if self.kind == "kv":
            declare = not isinstance(self.kv_watch, KvWatch) or self.kv_watch.declare
            return kv_stream(self.bucket, declare=declare)
        if self.kind == "object":
            declare = not isinstance(self.obj_watch, ObjWatch) or self.obj_watch.declare
            return object_stream(self.bucket, declare=declare)
        return JStream(self.stream) if isinstance(self.stream, str) else self.stream

    @property
    def stream_name(self) -> str:
        """The name of that stream; empty if there is none."""
        stream = self.jstream
        return stream.name if stream else ""

    @property
    def accounted(self) -> bool:
        """Whether its consumer accounts for each message, which comes again until it is settled."""
        return self.kind in {"pull", "push"}

    @property
    def consumer(self) -> str | None:
        """The name of its consumer; None: it has none that outlasts it."""
        named = self.durable or (self.config.durable_name if self.config else None)
        return named or (self.queue or None if self.kind in {"pull", "push"} else None)

    def prefixed(self, prefix: str, /) -> NatsSource:
        """Return it with *prefix* in front of its subjects, or its keys; a bucket keeps its name."""
        return replace(
            self,
            subject=self._prefixed(prefix),
            filter_subjects=[prefix + each for each in self.filter_subjects],
        )

    def _prefixed(self, prefix: str) -> str:
        if self.kind == "object" or (self.stream is not None and not self.subject):
            return self.subject
        return prefix + (self.subject or ">")

    @property
    def addresses(self) -> Sequence[str]:
        """Where what it reads is published."""
        return self.filter_subjects or [self.address]

    @property
    def address(self) -> str:
        """What the log calls it."""
        stream = self.stream.name if isinstance(self.stream, JStream) else self.stream
        return self.subject or ",".join(self.filter_subjects) or self.bucket or stream or ""


@dataclass(frozen=True)
class NatsTarget:
    """A subject to publish to.

    With a *stream* publishing waits until that has the message, at most *timeout* seconds; without
    one nobody says whether anybody has got it. Of two messages with the same *deduplication_id*
    within two minutes the stream keeps the first, on whatever subjects of it.
    """

    subject: str
    stream: str | JStream | None = field(default=None, kw_only=True)
    timeout: float = field(default=5.0, kw_only=True)
    deduplication_id: str | None = field(default=None, kw_only=True)
    schedule: Schedule | None = field(default=None, kw_only=True)
    delay: float | timedelta | None = field(default=None, kw_only=True)
    """Seconds for which the stream keeps it back."""
    at: datetime | None = field(default=None, kw_only=True)
    """Until when the stream does."""

    def __post_init__(self) -> None:
        check_subject(self.subject)
        if isinstance(self.stream, str):
            check_name(self.stream, "stream")
        if not (self.deduplication_id or "").isprintable():
            raise DestinationError(
                f"cannot publish to {self.subject!r} with deduplication_id="
                f"{self.deduplication_id!r}: give a text of one line"
            )

    @property
    def jstream(self) -> JStream | None:
        """The stream; None: there is none."""
        return JStream(self.stream) if isinstance(self.stream, str) else self.stream

    @property
    def stream_name(self) -> str:
        """The name of that stream; empty if there is none."""
        return self.stream.name if isinstance(self.stream, JStream) else self.stream or ""

    def prefixed(self, prefix: str, /) -> NatsTarget:
        """Return it with *prefix* in front of the subject.

        Raises:
            DestinationError: There is no such subject.
        """
        return replace(self, subject=prefix + self.subject)

    @property
    def address(self) -> str:
        """What the log and the documents call it."""
        return self.subject


WAITING: Final = "_delayed"
"""The first token of the subjects at which a stream keeps what is not due yet."""


def due(target: NatsTarget, name: str) -> NatsTarget:
    """Return where what is for *target* waits by *name*, and when it goes on from there.

    Raises:
        DestinationError: There is no such time, or no stream that could keep it.
    """
    seconds = seconds_until(target.subject, target.delay, target.at)
    if seconds is None:
        return target
    if (stream := target.jstream) is None or target.schedule is not None:
        raise DestinationError(
            f"cannot publish to {target.subject!r} in {seconds:g} s: only a stream keeps messages back;"
            " give stream=, and no schedule= beside the delay"
        )
    time = datetime.now(UTC) + timedelta(seconds=seconds)
    return replace(
        target,
        subject=f"{WAITING}.{stream.name}.{name}",
        schedule=Schedule(time, target.subject),
        delay=None,
        at=None,
    )


_OF_A_STREAM: Final = (
    "durable",
    "config",
    "filter_subjects",
    "deliver_policy",
    "ack_wait",
    "max_deliver",
    "headers_only",
    "pull_sub",
    "ordered_consumer",
    "idle_heartbeat",
    "flow_control",
)


def _check_consumer(source: NatsSource) -> None:
    """Refuse options of a consumer where there is none, and of a group where nothing is shared."""
    consumer = {name: getattr(source, name) for name in _OF_A_STREAM}
    given = [
        name
        for name, value in consumer.items()
        if value and (value is not True or name != "pull_sub")
    ]
    if given and source.stream is None:
        raise DestinationError(
            f"a NATS source of {source.subject!r} has {given[0]}={consumer[given[0]]!r}, but no"
            " stream that could keep it; give stream too"
        )
    if source.queue and source.kind not in {"core", "pull", "push"}:
        raise DestinationError(
            f"a NATS source of {source.address!r} has queue={source.queue!r}, but what it reads is"
            " nobody else's; leave it out"
        )
    if source.queue and source.kind != "core" and source.consumer == source.queue:
        check_name(source.queue, "consumer")
    if source.ordered_consumer and source.consumer:
        raise DestinationError(
            f"an ordered consumer is nobody else's; leave out durable={source.consumer!r}"
        )
    if source.filter_subjects and source.subject:
        raise DestinationError(
            f"a NATS source has subject={source.subject!r} and"
            f" filter_subjects={list(source.filter_subjects)}; give one of them"
        )
