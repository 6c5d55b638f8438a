"""What a stream keeps of a subject, looked through by asking for one message after the other.

No consumer is made: one of a stream that works as a queue would have to be the only one.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from callboard_brokers._errors import Unroutable
from callboard_brokers._message import Message
from callboard_brokers.nats._message import NatsMessage, NatsRecord, reader
from callboard_brokers.nats._subject import Subject
from callboard_brokers.nats._topology import ApiError, Info, Topology

_NONE: Final = 404


class NatsKept:
    """Reads what the stream has up to *last*, its last message when this was opened."""

    def __init__(self, topology: Topology, stream: str, subject: str, last: int) -> None:
        self._topology = topology
        self._stream, self._subject = stream, subject
        self._next, self._last = 1, last
        self._load = reader(lambda _: {})

    async def read(self, limit: int, /) -> Sequence[Message]:
        """Return the next *limit* at most, the oldest first; none: that was all."""
        found: list[Message] = []
        while len(found) < limit and self._next <= self._last:
            words = {"seq": self._next, "next_by_subj": self._subject}
            try:
                answer = await self._topology.ask(f"STREAM.MSG.GET.{self._stream}", words)
            except ApiError as error:
                if error.code != _NONE:
                    raise
                self._next = self._last + 1
                break
            record = self._record(answer["message"])
            self._next = int(answer["message"]["seq"]) + 1
            if self._next <= self._last + 1:
                found.append(
                    NatsMessage.received(record, record.data, record.address, None, self._load)
                )
        return found

    async def remove(self, messages: Sequence[Message], /) -> None:
        """Have *messages* deleted from the stream."""
        for each in messages:
            words = {"seq": each.raw_message.metadata.sequence, "no_erase": True}
            try:
                await self._topology.ask(f"STREAM.MSG.DELETE.{self._stream}", words)
            except ApiError as error:
                if "no message found" not in str(error):  # else somebody was faster
                    raise

    def _record(self, found: Info) -> NatsRecord:
        time, at = round(datetime.fromisoformat(found["time"]).timestamp() * 1e9), found["seq"]
        reply = f"$JS.ACK.{self._stream}.-.1.{at}.{at}.{time}.0"
        header, body = (b64decode(found.get(name, "")) for name in ("hdrs", "data"))
        return NatsRecord(found["subject"].encode(), reply.encode(), header, body)


@asynccontextmanager
async def revisited(topology: Topology, subject: str) -> AsyncGenerator[NatsKept]:
    """Open what a stream keeps of *subject*, which may have wildcards.

    Raises:
        Unroutable: No stream keeps it.
    """
    wire = Subject(subject).wire
    found = await topology.ask("STREAM.NAMES", {"subject": wire})
    names: Sequence[str] = found.get("streams") or ()
    if not names:
        raise Unroutable(f"no stream keeps {subject!r}: what is published there is gone")
    info = await topology.ask(f"STREAM.INFO.{names[0]}")
    yield NatsKept(topology, names[0], wire, int(info["state"]["last_seq"]))
