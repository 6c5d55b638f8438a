"""The rules of Redis for the broker in memory, which stands in for it under test."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from time import time
from typing import Final

from callboard_brokers import Message, TopologyError
from callboard_brokers.memory import MemoryRecord, MemoryTarget, Readership
from callboard_brokers.redis import (
    BinaryMessageFormatV1,
    MessageFormat,
    RedisMessage,
    RedisRecord,
    RedisSource,
    RedisTarget,
    StreamSub,
    view,
    written,
)

_KEPT: Final = 10_000
_ANSWERS: Final = RedisSource("answers")


class _Waiting(MemoryRecord):
    """What waits for one reader, who sees of it what *show* makes."""

    __slots__ = ("_sent", "_show")

    def __init__(
        self,
        show: Callable[[RedisRecord], RedisMessage],
        published: Message[RedisRecord],
        name: str,
    ) -> None:
        super().__init__(published, name, None, published.metadata.path)
        self._show, self._sent = show, published.raw_message

    def message(self) -> RedisMessage:
        """Make a message as a reader gets it."""
        return self._show(self._sent)


class RedisRouting:
    """Channels and their patterns, lists, streams and their groups.

    What is published to a list before anybody has read it, and all that is added to a stream, is kept, so
    that a reader who begins later finds it.
    """

    def __init__(self, form: type[MessageFormat] = BinaryMessageFormatV1) -> None:
        self._form = form
        self._kept: dict[str, deque[Message[RedisRecord]]] = {}
        self._read: set[str] = set()
        self._groups: set[tuple[str, str]] = set()
        self._ids = count(1)

    def prepare(self, sources: Sequence[RedisSource], _targets: Sequence[RedisTarget], /) -> None:
        """Have the groups of these.

        Raises:
            TopologyError: One is missing, and not to be made.
        """
        ends = [each.end for each in sources if isinstance(each.end, StreamSub)]
        for end in sorted(ends, key=lambda each: not each.declare):
            group = (end.stream, end.group or "")
            if end.declare:
                self._groups.add(group)
            elif end.group is not None and group not in self._groups:
                raise TopologyError(
                    f"the stream {end.stream!r} has no group {end.group!r}",
                    [f"group {end.group} of the stream {end.stream}"],
                )

    def source(self, source: RedisSource, /) -> Readership:
        """Prepare *source*: those of a list, or of a group of a stream, share its messages."""
        show, where = view(source, self._form), _where(source.kind, source.address)
        shared = where if source.kind == "list" else source.group

        def record(
            published: Message, address: str, _key: bytes | None, _path: Mapping[str, str]
        ) -> MemoryRecord:
            return _Waiting(show, published, _name(address))

        return Readership(
            shared,
            (where, shared),
            _matching(source, where),
            keeps=source.kind != "channel",
            record=record,
            earlier=partial(self._earlier, source, where, show),
        )

    def target(self, target: RedisTarget, /) -> MemoryTarget:
        """Say where *target* is."""
        seconds = target.seconds
        return MemoryTarget(_where(target.kind, target.address), delay=seconds)

    def carried(self, message: Message, target: RedisTarget, /) -> Message[RedisRecord]:
        """Return *message* as it is on the wire; what is to be kept of it is.

        Raises:
            Unpublishable: It can't travel so.
        """
        octets, where = written(message, target, self._form), _where(target.kind, target.address)
        at = f"{time() * 1000:.0f}-{next(self._ids)}".encode() if target.kind == "stream" else None
        sent = RedisRecord(target.address, octets, at)
        carried = Message(message.body, raw_message=sent, metadata=message.metadata)
        if target.kind != "channel" and where not in self._read:
            kept = self._kept.setdefault(where, deque(maxlen=target.limit or _KEPT))
            kept.append(carried)
        return carried

    def record(
        self, published: Message, address: str, _key: bytes | None, _path: Mapping[str, str], /
    ) -> MemoryRecord:
        """Make what nobody reads but whoever waits for an answer."""
        return _Waiting(view(_ANSWERS, self._form), published, _name(address))

    def _earlier(
        self, source: RedisSource, where: str, show: Callable[[RedisRecord], RedisMessage]
    ) -> Iterator[MemoryRecord]:
        """Yield what a new reader, or group, finds."""
        kept = [*self._kept.get(where, ())]
        end = source.end
        if source.kind == "list":
            self._read.add(where)  # from now on its readers keep it
            self._kept.pop(where, None)
        elif isinstance(end, StreamSub):
            if end.start == "$":
                return
            kept = [each for each in kept if _follows(each.raw_message.id or b"", end.start)]
        for each in kept:
            yield _Waiting(show, each, source.address)


def _where(kind: str, name: str) -> str:
    return name if kind == "channel" else f"the {kind} {name}"


def _name(where: str) -> str:
    return re.sub(r"^the (list|stream) ", "", where)


def _follows(at: bytes, last: str) -> bool:
    first, _, second = last.partition("-")
    there = tuple(map(int, at.split(b"-")))
    return there > (int(first), int(second or 0))


def _matching(source: RedisSource, where: str) -> Callable[[str], Mapping[str, str] | None]:
    """Return what tells whether *source* gets what is published there."""
    if source.pattern is not None:
        return source.pattern.match
    if source.is_pattern:
        matches = re.compile(_regular(source.address), re.DOTALL).fullmatch
        return lambda address: None if matches(address) is None else {}
    return lambda address: {} if address == where else None


def _regular(glob: str) -> str:
    """Return the expression for a pattern of the server: `*` is anything, dots too."""
    pieces = re.findall(r"\\.|\[\^?[^\]]*\]|.", glob, re.DOTALL)
    kinds = {"*": ".*", "?": "."}
    return "".join(
        kinds.get(each)
        or (each if each.startswith("[") and len(each) > 1 else re.escape(each[-1:]))
        for each in pieces
    )
