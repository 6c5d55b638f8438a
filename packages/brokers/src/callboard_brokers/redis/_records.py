"""Where to read and where to write; no client is needed for these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias

from callboard_brokers._errors import DestinationError
from callboard_brokers.kit import Template, seconds_until
from callboard_brokers.redis._format import MessageFormat

Kind: TypeAlias = Literal["channel", "list", "stream"]


class _End:
    """What can be read and published to: its first field is its name."""

    __slots__ = ()
    kind: ClassVar[Kind]
    __match_args__: ClassVar[tuple[str, ...]]

    @property
    def address(self) -> str:
        """The name."""
        return str(getattr(self, self.__match_args__[0]))


@dataclass(frozen=True, slots=True)
class PubSub(_End):
    """A channel, whose messages are for those who listen at that moment.

    With a *pattern*, or names in braces, it stands for all channels that are like it.
    """

    kind = "channel"
    channel: str
    pattern: bool = field(default=False, kw_only=True)
    polling_interval: float | None = field(default=None, kw_only=True)
    """Of no use: what is published is sent at once."""


@dataclass(frozen=True, slots=True)
class ListSub(_End):
    """A list, each of whose messages is for one reader; it is taken away when it is settled."""

    kind = "list"
    name: str
    batch: bool = field(default=False, kw_only=True)
    max_records: int = field(default=10, kw_only=True)
    polling_interval: float | None = field(default=None, kw_only=True)
    """Of no use: what is pushed is taken at once."""
    min_idle_time: int | None = field(default=None, kw_only=True)
    """Milliseconds after which what a reader had who has gone silent is for others; None is 10,000."""


@dataclass(frozen=True, slots=True)
class StreamSub(_End):
    """A stream, which keeps what was read.

    Those of one *group* share its messages, each of them by a name of its own as *consumer*: what it
    had in hand is its own after a restart. Without a group each reader gets all that is published from
    now on, or after *last_id*.
    """

    kind = "stream"
    stream: str
    polling_interval: int | None = field(default=None, kw_only=True)
    """Of no use: what is added is sent at once."""
    group: str | None = field(default=None, kw_only=True)
    consumer: str | None = field(default=None, kw_only=True)
    batch: bool = field(default=False, kw_only=True)
    no_ack: bool = field(default=False, kw_only=True)
    """Have the group forget a message when it is read: at most once."""
    last_id: str | None = field(default=None, kw_only=True)
    """After which entry a new group begins, or a reader without one; "0" is all that is there. None, "$" and
    ">" are what comes from now on. A group that is there goes on where it was."""
    maxlen: int | None = field(default=None, kw_only=True)
    """About how many entries the stream keeps when something is published there by this."""
    max_records: int | None = field(default=None, kw_only=True)
    min_idle_time: int | None = field(default=None, kw_only=True)
    """Milliseconds after which what a reader had who has gone silent is for others; None is 30,000."""
    claim_min_idle_time: int | None = field(default=None, kw_only=True)
    """The same."""
    declare: bool = field(default=True, kw_only=True)
    """Make the group, and the stream, if they are missing."""

    def __post_init__(self) -> None:
        if (self.group is None) != (self.consumer is None) or "" in {self.group, self.consumer}:
            raise ValueError(
                f"StreamSub({self.stream!r}) has group={self.group!r} and consumer={self.consumer!r};"
                " give both, the consumer by a name that no other process has and that it keeps"
            )
        idle = self.min_idle_time or self.claim_min_idle_time
        if self.group is None and (self.no_ack or idle):
            raise ValueError(
                f"StreamSub({self.stream!r}) has no group that could account for its messages; give"
                " group= and consumer= beside no_ack= or min_idle_time="
            )

    @property
    def start(self) -> str:
        """Where a new group begins: at the end, "$", unless more was said."""
        return "$" if self.last_id in {None, ">"} else str(self.last_id)


End: TypeAlias = PubSub | ListSub | StreamSub
_KINDS: Final[Mapping[str, type[End]]] = {each.kind: each for each in (PubSub, ListSub, StreamSub)}


class _Ended:
    """What has exactly one of the three."""

    @cached_property
    def end(self) -> End:
        """What it reads, or publishes to.

        Raises:
            DestinationError: It is none, or several, or has no name.
        """
        said = {kind: getattr(self, kind) for kind in _KINDS}
        given = {kind: each for kind, each in said.items() if each is not None}
        ends = [_KINDS[kind](e) if isinstance(e, str) else e for kind, e in given.items()]
        if len(ends) != 1 or not ends[0].address:
            raise DestinationError(
                f"{type(self).__name__} has {given}: give exactly one of channel=, list= and stream=,"
                " by its name"
            )
        end: End = ends[0]
        return end

    @property
    def kind(self) -> Kind:
        """Which of them."""
        return self.end.kind

    @property
    def address(self) -> str:
        """The name of that."""
        return self.end.address

    def prefixed(self, prefix: str, /) -> Self:
        """Return it with *prefix* in front of the name."""
        renamed: dict[str, Any] = {self.end.__match_args__[0]: prefix + self.address}
        given: dict[str, Any] = {self.kind: replace(self.end, **renamed)}
        return replace(self, **given)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType] - both are


@dataclass(frozen=True)
class RedisSource(_Ended):
    """One of a *channel*, a *list* and a *stream*: by its name, or with more of it.

    Names in braces in a channel stand for a part of its name each.
    """

    channel: str | PubSub | None = None
    list: str | ListSub | None = field(default=None, kw_only=True)
    stream: str | StreamSub | None = field(default=None, kw_only=True)
    extend_for: float = field(default=3600.0, kw_only=True)
    """Seconds for which a message stays ours while it is handled, however often that takes longer
    than `min_idle_time`; then another reader may get it."""
    pending_msgs_limit: int = field(default=64 * 1024, kw_only=True)
    """How many messages of a channel may wait here; the newest beyond are dropped, and told."""

    def __post_init__(self) -> None:
        _ = self.pattern

    @cached_property
    def pattern(self) -> Template | None:
        """The names in braces that a channel has; None: it has none."""
        named = self.kind == "channel" and "{" in self.address
        return Template(self.address) if named else None

    @property
    def wire(self) -> str:
        """The name, or the pattern, that the server is asked for."""
        return self.address if self.pattern is None else self.pattern.glob()

    @property
    def is_pattern(self) -> bool:
        """Whether that is a pattern."""
        return self.pattern is not None or getattr(self.end, "pattern", False)

    @property
    def group(self) -> str | None:
        """Who shares what it reads; None: nobody, or whoever reads a list."""
        return getattr(self.end, "group", None)

    @property
    def idle(self) -> float:
        """Seconds after which what a reader had who has gone silent is for others."""
        said = [getattr(self.end, name, None) for name in ("min_idle_time", "claim_min_idle_time")]
        return (said[0] or said[1] or (30_000 if self.kind == "stream" else 10_000)) / 1000

    @cached_property
    def counted(self) -> bool:
        """Whether a group accounts for each message, and counts how often it was sent."""
        return self.group is not None and not getattr(self.end, "no_ack", False)

    @property
    def accounted(self) -> bool:
        """Whether each message comes again until it is settled."""
        return self.counted or self.kind == "list"


@dataclass(frozen=True)
class RedisTarget(_Ended):
    """One of a *channel*, a *list* and a *stream* to publish to.

    Of a stream, about *maxlen* entries are kept. What has a *delay*, in seconds, or is *at* a time, is
    kept by the server until then; whoever of us reads there sees to it that it is published.
    """

    channel: str | PubSub | None = None
    list: str | ListSub | None = field(default=None, kw_only=True)
    stream: str | StreamSub | None = field(default=None, kw_only=True)
    maxlen: int | None = field(default=None, kw_only=True)
    message_format: type[MessageFormat] | None = field(default=None, kw_only=True)
    """None: as the broker writes."""
    delay: float | timedelta | None = field(default=None, kw_only=True)
    at: datetime | None = field(default=None, kw_only=True)
    pipeline: Any = field(default=None, kw_only=True, compare=False, repr=False)
    """One of the client's, to which it is added: it leaves by `await pipeline.execute()`."""

    def __post_init__(self) -> None:
        if self.kind == "channel" and ("{" in self.address or self.seconds is not None):
            raise DestinationError(
                f"cannot publish to {self.address!r}: give the channel itself, no names in braces, and"
                " no delay; a list or a stream keeps a message until it is due"
            )

    @property
    def limit(self) -> int | None:
        """About how many entries the stream keeps; None: all."""
        return getattr(self.end, "maxlen", None) if self.maxlen is None else self.maxlen

    @property
    def seconds(self) -> float | None:
        """After how many seconds it is due; None: at once.

        Raises:
            DestinationError: There is no such time.
        """
        return seconds_until(self.address, self.delay, self.at)


def beside(name: str, suffix: str) -> str:
    """Return the name of a key that a cluster keeps where it keeps *name*."""
    opening, _, rest = name.partition("{")
    tagged = len(opening) < len(name) and not rest.startswith("}") and "}" in rest
    return f"{name}.{suffix}" if tagged else f"{{{name}}}.{suffix}"
