"""Streams and consumers: made, merged, or looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from uuid import uuid4

from callboard_brokers._errors import BrokerError, ConnectionLost, TopologyError
from callboard_brokers.nats._client import NO_JETSTREAM
from callboard_brokers.nats._config import SECONDS, ConsumerConfig, JStream, said
from callboard_brokers.nats._link import Asked, Link
from callboard_brokers.nats._message import NatsRecord
from callboard_brokers.nats._records import (
    WAITING,
    KvWatch,
    NatsSource,
    NatsTarget,
    ObjWatch,
    Schedule,
)
from callboard_brokers.nats._subject import covers

Info: TypeAlias = dict[str, Any]

BUCKETS: Final = ("KV_", "OBJ_")
"""Streams that are as whoever made the bucket wanted them: what we say is for a new one."""
NOT_FOUND: Final = 404
_OVERLAP: Final = 10065
_PASSING: Final = {500, 503}
_OFF: Final = {10076, 10039}
_INVALID: Final = 10052
"""What there cannot be, which is one of those by its code."""
_THRESHOLD: Final = 300.0
"""Seconds for which a consumer without a name outlasts its reader, who may ask for nothing as long
as he has no room."""


class ApiError(BrokerError):
    """What JetStream says in place of what was asked for, by two numbers."""

    def __init__(self, text: str, code: int, kind: int) -> None:
        super().__init__(text)
        self.code = code
        self.kind = kind


class Topology:
    """What is there on the server, and what is made there."""

    def __init__(self, link: Link) -> None:
        self._link = link
        domain = link.options.domain
        self.prefix = f"$JS.{domain}.API" if domain else "$JS.API"
        self.born: dict[str, str] = {}
        """When each stream was made: of another one, our positions say nothing."""
        self._streams: dict[str, tuple[JStream, set[str]]] = {}
        self.queues: set[str] = set()
        """Those that lose whatever is acknowledged, be it due or not."""
        self._scheduling: dict[str, Info] = {}
        """What those are like that were asked whether they keep back what is not due yet."""

    async def ask(self, call: str, words: Mapping[str, Any] | None = None) -> Info:
        """Return the answer of JetStream.

        Raises:
            ApiError: It says no.
            ConnectionLost: It says nothing.
            TopologyError: There is no JetStream.
        """
        subject = f"{self.prefix}.{call}"
        asked = Asked(subject, self._link.options.api_timeout, _read)
        self._link.ask(subject, b"", json.dumps(words).encode() if words else b"", asked)
        return await asked.wait()

    def note(self, stream: JStream | None, subjects: Sequence[str]) -> None:
        """Remember what *stream* is to be like."""
        if stream is not None:
            if stream.mirror or stream.sources:  # what they read comes from there
                subjects = ()
            known, wanted = self._streams.get(stream.name, (stream, set[str]()))
            fuller = max(known, stream, key=lambda each: len(said(each)))
            self._streams[stream.name] = fuller, wanted | {*subjects, *stream.subjects}

    async def have(self, sources: Sequence[NatsSource]) -> None:
        """Have the streams, and the consumers of *sources* that have a name.

        Raises:
            TopologyError: Something is there and different, or missing and not to be made.
        """
        await self.have_streams()
        for source in sources:
            if source.consumer is None:
                continue
            try:
                await self.have_consumer(source)
            except ApiError as error:
                text = f"cannot have the consumer {source.consumer!r}: {error}"
                raise TopologyError(text, [source.consumer]) from error

    async def have_streams(self) -> None:
        """Have the streams that were noted, with their subjects.

        Raises:
            TopologyError: One is there and different, or another has its subjects, or it is missing
                and not to be made.
        """
        self._scheduling.clear()
        for each in [*self._streams.values()]:
            await self._have_stream(*each)

    async def _find_consumer(self, source: NatsSource, name: str | None = None) -> Info | None:
        """Return what is known of the consumer of *source*, or one by another *name*; None: it is not there.

        Raises:
            TopologyError: It is there and different.
        """
        name, stream = name or source.consumer, source.stream_name
        if name is None:
            return None
        found = await self._look(f"CONSUMER.INFO.{stream}.{name}")
        differs = _differences(_consumer(source, "")[0], found["config"]) if found else ""
        if differs:
            what = f"the consumer {name!r} of the stream {stream!r}"
            raise TopologyError(f"{what} is there, and differs: {differs}", [name])
        return found

    async def have_consumer(
        self, source: NatsSource, name: str | None = None, begin: int | None = None
    ) -> Info:
        """Return what is known of the consumer of *source*, which is made if it is not there.

        One without a name of its own is found by *name*, and else begins at the sequence *begin*.

        Raises:
            TopologyError: It is there and different.
            ApiError: The stream is missing, or this cannot be.
        """
        found = await self._find_consumer(source, name)
        if found is not None:
            return found
        inbox = f"{self._link.options.inbox_prefix}.{uuid4().hex}"
        wanted, defaults = _consumer(source, inbox)
        new = source.consumer or f"callboard-{uuid4().hex}"
        config = {**defaults, "name": new, **wanted}
        if begin is not None:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": begin}
            config.pop("opt_start_time", None)
        if "filter_subjects" in config and self._link.client.version < (2, 10):
            raise TopologyError("several filter_subjects need NATS 2.10 or newer", [new])
        stream = source.stream_name
        words = {"stream_name": stream, "config": config, "action": "create"}
        return await self.ask(f"CONSUMER.CREATE.{stream}.{new}", words)

    async def _have_stream(self, stream: JStream, subjects: set[str]) -> None:
        found = await self._look(f"STREAM.INFO.{stream.name}")
        if found is None:
            if not stream.declare:
                text = f"missing on the NATS server, and not to be made: the stream {stream.name!r}"
                raise TopologyError(text, [stream.name])
            wanted = {**said(stream), "subjects": _needed(subjects, ())}
            self._know(stream.name, await self._change("CREATE", stream, wanted))
            return
        self._know(stream.name, found)
        config: Info = found["config"]
        differs = _differences(
            {name: value for name, value in said(stream).items() if name != "subjects"}, config
        )
        if differs and stream.declare and not stream.name.startswith(BUCKETS):
            raise TopologyError(
                f"the stream {stream.name!r} is there, and differs: {differs}", [stream.name]
            )
        there: list[str] = config.get("subjects") or []
        lacking = _needed(subjects, there)
        if lacking and stream.declare:
            await self._change("UPDATE", stream, {**config, "subjects": [*there, *lacking]})

    async def have_schedules(self, stream: JStream) -> None:
        """Have *stream* keep back what is not due yet; asked once.

        Raises:
            TopologyError: It does not, and is not to be changed.
        """
        subject = f"{WAITING}.{stream.name}.>"
        known, _ = self._streams.get(stream.name, (stream, ()))
        config = await self._scheduler(stream.name)
        there: list[str] = config.get("subjects") or []
        lacking = _needed({subject}, there)
        if lacking or not config.get("allow_msg_schedules"):
            if not (known.declare and stream.declare):
                raise TopologyError(
                    f"the stream {stream.name!r} keeps nothing back: it needs allow_msg_schedules, and"
                    f" the subject {subject!r}",
                    [stream.name],
                )
            told = {"subjects": [*there, *lacking], "allow_msg_schedules": True}
            changed = await self._change("UPDATE", stream, config | told)
            self._scheduling[stream.name] = changed["config"]

    async def check_schedule(self, stream: JStream, schedule: Schedule) -> None:
        """Return if *stream* keeps what is sent by *schedule* until it is due; asked once.

        Raises:
            TopologyError: It would lose it, without a word.
        """
        config = await self._scheduler(stream.name)
        if config.get("retention") == "interest":
            raise TopologyError(
                f"the stream {stream.name!r} cannot keep a message back: its retention is 'interest',"
                " so that it removes what no consumer wants, before it is due; publish to a stream"
                " with retention 'limits' or 'workqueue'",
                [stream.name],
            )
        age: float = config.get("max_age", 0) / 1e9
        if not age or not isinstance(schedule.time, datetime):
            return
        seconds = (schedule.time - datetime.now(UTC)).total_seconds()
        if seconds >= age:
            raise TopologyError(
                f"the stream {stream.name!r} cannot keep a message back for {seconds:.0f} s: its"
                f" max_age is {age:g} s, after which it removes what still waits; give it a longer"
                " one, or delay less",
                [stream.name],
            )

    async def _scheduler(self, name: str) -> Info:
        """Return what the stream *name* is like."""
        if name not in self._scheduling:
            if (found := await self._look(f"STREAM.INFO.{name}")) is None:
                raise TopologyError(f"there is no stream {name!r}", [name])
            self._scheduling[name] = found["config"]
        return self._scheduling[name]

    def _know(self, name: str, found: Info) -> None:
        """Note what is to be known of a stream while it is read."""
        self.born[name] = found["created"]
        is_queue = found["config"].get("retention") == "workqueue"
        (self.queues.add if is_queue else self.queues.discard)(name)

    async def _change(self, how: str, stream: JStream, config: Info) -> Info:
        try:
            return await self.ask(f"STREAM.{how}.{stream.name}", config)
        except ApiError as error:
            text = f"cannot have the stream {stream.name!r}: {error}"
            if error.kind == _OVERLAP:
                text += f"; {await self._owners(config['subjects'], stream.name)}"
            raise TopologyError(text, [stream.name]) from error

    async def _owners(self, subjects: Sequence[str], name: str) -> str:
        """Name the streams that read *subjects* already."""
        found: list[str] = []
        for subject in subjects:
            owners: list[str] = (await self.ask("STREAM.NAMES", {"subject": subject})).get(
                "streams"
            ) or []
            found += [f"{owner!r} reads {subject!r}" for owner in owners if owner != name]
        return ", ".join(found)

    async def _look(self, call: str) -> Info | None:
        try:
            return await self.ask(call)
        except ApiError as error:
            if error.code == NOT_FOUND:
                return None
            raise


def subjects_of(target: NatsTarget) -> list[str]:
    """Return what a stream has to read for *target*."""
    return [target.subject, *([target.schedule.target] if target.schedule else [])]


def _read(record: NatsRecord) -> Info:
    if record.status == 503:
        raise TopologyError(NO_JETSTREAM, ["JetStream"])
    answer: Info = json.loads(record.data)
    if (error := answer.get("error")) is not None:
        code, kind, text = error["code"], error.get("err_code", 0), error.get("description", "")
        if code not in _PASSING or kind == _INVALID:
            raise ApiError(text, code, kind)
        if kind in _OFF:
            raise TopologyError(f"there is no JetStream: {text}", ["JetStream"])
        raise ConnectionLost(f"JetStream cannot answer now: {text}")
    return answer


def _needed(subjects: set[str], there: Sequence[str]) -> list[str]:
    """Return which of *subjects* none of the others covers, nor of those that are *there*."""
    return sorted(
        each
        for each in subjects
        if not any(covers(pattern, each) for pattern in there)
        and not any(other != each and covers(other, each) for other in subjects)
    )


def _consumer(source: NatsSource, inbox: str) -> tuple[Info, Info]:
    """Return what *source* says of its consumer, and what we say where it does not.

    One that pushes does so to the *inbox*.
    """
    given = ConsumerConfig(
        durable_name=source.consumer,
        deliver_policy=source.deliver_policy,
        ack_wait=source.ack_wait,
        max_deliver=source.max_deliver,
        headers_only=source.headers_only,
        idle_heartbeat=source.idle_heartbeat,
        flow_control=source.flow_control,
    )
    wanted = said(source.config or ConsumerConfig()) | said(given)
    if len(source.filters) == 1:
        wanted["filter_subject"] = source.filters[0]
    elif source.filters:
        wanted["filter_subjects"] = list(source.filters)
    if source.accounted:
        # One by one: else a member would settle what another one has.
        wanted["ack_policy"] = "explicit"
        defaults: Info = {"max_ack_pending": -1}
        lasting = max(_THRESHOLD, source.extend_for)
    else:
        defaults = {"ack_policy": "none", "mem_storage": True, "num_replicas": 1}
        lasting = _THRESHOLD
    if not source.consumer:
        defaults["inactive_threshold"] = round(lasting * 1e9)
    defaults |= _watching(source)
    if source.kind == "push":
        defaults |= {"deliver_subject": inbox, "max_ack_pending": 1000}
        if source.queue:
            wanted["deliver_group"] = source.queue
        elif source.consumer:  # else each member would get all of it
            defaults["deliver_group"] = source.consumer
    return wanted, defaults


def _watching(source: NatsSource) -> Info:
    """Return how the consumer of a watch begins, and what it leaves out."""
    kv, objects = source.kv_watch, source.obj_watch
    if kv is None and not objects:
        return {}
    history = (isinstance(kv, KvWatch) and kv.include_history) or (
        isinstance(objects, ObjWatch) and objects.include_history
    )
    words: Info = {"deliver_policy": "all" if history else "last_per_subject"}
    if isinstance(kv, KvWatch):
        words["headers_only"] = kv.headers_only or kv.meta_only
        if kv.inactive_threshold is not None:
            words["inactive_threshold"] = round(kv.inactive_threshold * 1e9)
    return words


def _differences(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """Return in which of *wanted* what is *there* differs; empty if in nothing."""
    return ", ".join(
        f"{name} is {_shown(name, there.get(name))}, and should be {_shown(name, value)}"
        for name, value in wanted.items()
        if name != "opt_start_time" and not _same(name, value, there.get(name))
    )


def _same(name: str, wanted: Any, there: Any) -> bool:
    """Whether they mean the same; what is nothing is not there."""
    if name == "metadata":  # the server adds some
        return bool({**(there or {}), **wanted} == (there or {}))
    if name in {"filter_subjects", "sources"}:
        return sorted(map(str, wanted)) == sorted(map(str, there or ()))
    return bool(wanted == there or (wanted in {0, -1, ""} and not there))


def _shown(name: str, value: Any) -> str:
    if name in SECONDS and isinstance(value, int):
        return f"{value / 1e9:g} s"
    return repr(value)
