"""The rules of NATS for the broker in memory, which stands in for it under test."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import count
from time import time_ns
from typing import Final

from callboard_brokers._message import Message
from callboard_brokers.memory import MemoryRecord, MemoryTarget, Readership
from callboard_brokers.nats._config import ConsumerConfig, JStream
from callboard_brokers.nats._message import (
    NatsMessage,
    NatsRecord,
    check_size,
    header_of,
    reader,
)
from callboard_brokers.nats._records import KvWatch, NatsSource, NatsTarget, ObjWatch, due
from callboard_brokers.nats._subject import Subject, covers
from callboard_brokers.nats._views import view

_MAX_PAYLOAD: Final = 2**20
"""What a server takes unless it is told otherwise."""
_KEPT: Final = 10_000
_PLAIN: Final = reader(lambda _: {})


class _Published(NatsRecord):
    """What was published, with its place in each stream that has it."""

    __slots__ = ("nanoseconds", "places")

    def __init__(self, subject: bytes, reply: bytes, header: bytes, data: bytes) -> None:
        super().__init__(subject, reply, header, data)
        self.nanoseconds = time_ns()
        self.places: dict[str, int] = {}


class _Stream:
    """What a stream captures, and has."""

    def __init__(self, stream: JStream) -> None:
        self.subjects: set[str] = set()
        self.has: deque[tuple[str, Message[_Published]]] = deque(maxlen=stream.max_msgs or _KEPT)
        self._numbers = count(1)

    def keep(self, name: str, subject: str, message: Message[_Published]) -> None:
        """Keep *message*; *name* is its own."""
        message.raw_message.places[name] = next(self._numbers)
        self.has.append((subject, message))

    def captures(self, subject: str) -> bool:
        """Whether what is published to *subject* is for it."""
        return any(covers(each, subject) for each in self.subjects)


class _Waiting(MemoryRecord):
    """What waits for one reader, who sees of it what *show* makes."""

    __slots__ = ("_consumer", "_sent", "_show", "_stream")

    def __init__(
        self,
        show: Callable[[NatsRecord], NatsMessage | None],
        stream: str | None,
        consumer: str,
        published: Message[_Published],
        address: str,
    ) -> None:
        super().__init__(published, address.partition(" ")[0], None, published.metadata.path)
        self._show, self._stream, self._consumer = show, stream, consumer
        self._sent = published.raw_message

    def message(self) -> NatsMessage:
        """Make a message as a reader gets it."""
        sent, reply = self._sent, self._sent.reply
        if self._stream is not None:
            numbers = self.deliveries, sent.places.get(self._stream, 0), self.sequence
            place = ".".join(map(str, (*numbers, sent.nanoseconds, 0)))
            reply = f"$JS.ACK.{self._stream}.{self._consumer}.{place}".encode()
        record = NatsRecord(sent.subject, reply, sent.header, sent.data)
        return self._show(record) or _plain(record)


class NatsRouting:
    """Subjects, queue groups, streams and watches.

    Streams are those that are declared. What one captures is kept, so that a consumer that begins
    later finds it. A message is published to whoever reads its subject; with a stream, to that
    stream, and, as there, to those who read the subject without one, if anybody has declared it.
    Nothing is too old, and nobody looks for duplicates.
    """

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._declared: set[str] = set()

    def prepare(self, sources: Sequence[NatsSource], targets: Sequence[NatsTarget], /) -> None:
        """Have the streams of these."""
        for source in sources:
            self._note(source.jstream, source.filters)
        for target in targets:
            self._note(target.jstream, [target.subject])

    def source(self, source: NatsSource, /) -> Readership:
        """Prepare *source*: a queue group, or the readers of one consumer, share its messages."""
        stream, name = source.jstream, source.consumer or source.queue
        self._note(stream, source.filters)
        show, match = _shown(source), _matching(source)
        make = partial(_Waiting, show, stream.name if stream else None, name or "ephemeral")

        def record(
            published: Message, address: str, _key: bytes | None, _path: Mapping[str, str]
        ) -> MemoryRecord | None:
            return None if show(published.raw_message) is None else make(published, address)

        def earlier() -> Iterator[MemoryRecord]:
            has = self._streams[stream.name].has if stream else ()
            found = [each for each in has if match(each[0]) is not None]
            for subject, message in _from_where_it_begins(source, found):
                if show(message.raw_message) is not None:
                    yield make(message, subject)

        return Readership(
            name or None,
            (source.queue, source.subject) if stream is None else (stream.name, name),
            match,
            keeps=stream is not None,
            record=record,
            earlier=earlier,
        )

    def target(self, target: NatsTarget, /) -> MemoryTarget:
        """Say where *target* is: at its subject, and in which stream."""
        target = due(target, "test")
        if target.schedule is not None:
            time = target.schedule.time
            if not isinstance(time, datetime):
                return MemoryTarget(target.subject)  # nothing comes of it: the server has the clock
            delay = (time.astimezone(UTC) - datetime.now(UTC)).total_seconds()
            return MemoryTarget(target.schedule.target, delay=delay)
        if (stream := target.jstream) is None:
            return MemoryTarget(target.subject)
        known = "" if stream.name in self._declared else "unknown "
        return MemoryTarget(f"{target.subject} in the {known}stream {stream.name}")

    def carried(self, message: Message, target: NatsTarget, /) -> Message[_Published]:
        """Return *message* as it is on the wire; streams that capture its subject have it.

        Raises:
            Unpublishable: NATS can't carry it.
        """
        target = due(target, "test")
        header, subject = header_of(message, target), target.subject
        check_size(header, message.body, _MAX_PAYLOAD, subject)
        # To a stream, where to reply to travels as a header.
        reply = (message.reply_to or "") if target.stream is None else ""
        sent = _Published(subject.encode(), reply.encode(), header, message.body)
        carried = Message(message.body, raw_message=sent, metadata=message.metadata)
        if target.schedule is None:
            self._keep(subject, carried, target.jstream)
        return carried

    def record(
        self, published: Message, address: str, _key: bytes | None, _path: Mapping[str, str], /
    ) -> MemoryRecord:
        """Make what nobody reads but whoever waits for an answer."""
        return _Waiting(_plain, None, "", published, address)

    def _keep(self, subject: str, message: Message[_Published], into: JStream | None) -> None:
        if into is not None:
            self._streams.setdefault(into.name, _Stream(into)).keep(into.name, subject, message)
            return
        for name, stream in self._streams.items():
            if stream.captures(subject):
                stream.keep(name, subject, message)

    def _note(self, stream: JStream | None, subjects: Sequence[str]) -> None:
        if stream is not None:
            self._declared.add(stream.name)
            known = self._streams.setdefault(stream.name, _Stream(stream))
            known.subjects |= {*subjects, *stream.subjects}


def _plain(record: NatsRecord) -> NatsMessage:
    return NatsMessage.received(record, record.data, record.address, None, _PLAIN)


def _shown(source: NatsSource) -> Callable[[NatsRecord], NatsMessage | None]:
    """Return what a reader of *source* sees of a record; None: it is not for him."""
    if source.jstream is None:
        load = reader(source.pattern.match)
        return lambda each: NatsMessage.received(each, each.data, each.address, None, load)
    return view(source)


def _matching(source: NatsSource) -> Callable[[str], Mapping[str, str] | None]:
    """Return what tells whether *source* gets what is published to an address."""
    name = source.stream_name
    filters = source.filters if name else [source.pattern.wire]
    subjects = [Subject(each) for each in filters or [">"]]

    def match(address: str) -> Mapping[str, str] | None:
        subject, _, where = address.partition(" in the ")
        if where and (where != f"stream {name}" if name else where.startswith("unknown")):
            return None
        return {} if any(each.match(subject) is not None for each in subjects) else None

    return match


def _from_where_it_begins(
    source: NatsSource, has: Sequence[tuple[str, Message[_Published]]]
) -> Sequence[tuple[str, Message[_Published]]]:
    """Return what a new consumer of *source* finds of what its stream *has* for it."""
    config, watch = source.config or ConsumerConfig(), source.kv_watch or source.obj_watch
    history = isinstance(watch, KvWatch | ObjWatch) and watch.include_history
    policy = source.deliver_policy or config.deliver_policy
    if watch and not history:
        policy = "last_per_subject"
    name = source.stream_name
    match policy:
        case "new":
            return ()
        case "last":
            return has[-1:]
        case "last_per_subject":
            return [each for n, each in enumerate(has) if each[0] not in dict(has[n + 1 :])]
        case "by_start_sequence":
            first = config.opt_start_seq or 0
            return [each for each in has if each[1].raw_message.places[name] >= first]
        case "by_start_time":
            since = config.opt_start_time.timestamp() * 1e9 if config.opt_start_time else 0
            return [each for each in has if each[1].raw_message.nanoseconds >= since]
        case _:
            return has
