"""A stream: read by a group, each entry until it is settled; or by whoever likes, each once.

What a group was sent and has not acknowledged is pending by the name of its reader, and stays so over
every connection: so an acknowledgement goes by whichever there is, and a loss makes nothing stale. What
came while nobody listened, by an answer that was lost or before a crash, is read again first. What is
in hand is claimed anew from time to time, since it would else seem to be of one who has gone silent,
and what is of one who has is claimed by us. A message that is nacked stays pending, and comes again
from here; only its count is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from anyio import current_time

from callboard_brokers._delivery import Delivery
from callboard_brokers._errors import TopologyError
from callboard_brokers.events import MessagesTrimmed
from callboard_brokers.kit import Leases
from callboard_brokers.redis._client import Refused, Word, as_it_is
from callboard_brokers.redis._link import Link
from callboard_brokers.redis._message import entry
from callboard_brokers.redis._records import StreamSub
from callboard_brokers.redis._subscription import RedisSubscription, Way, ids_of

RELEASED: Final = "callboard.released"
"""The consumer that has what was given back, until somebody claims it."""
Reply: TypeAlias = "dict[bytes, list[tuple[bytes, list[bytes]]]] | None"
_LONG_AGO: Final = 2**40
_MOST: Final = 100
"""Entries that are claimed at once."""


class TailWay(Way):
    """Reads from a place on that is remembered here: a loss makes it miss nothing."""

    def __init__(self, of: RedisSubscription, end: StreamSub) -> None:
        super().__init__(of)
        self._next: str | bytes | None = None if end.start == "$" else end.start

    async def begin(self) -> None:
        """Find out where the stream ends: "$" would be another place each time that it is asked for."""
        if self._next is None:
            words = "XREVRANGE", self.key, "+", "-", "COUNT", 1
            self._next = await self.of.reader.ask(lambda last: last[0][0] if last else "0", *words)

    async def read(self, wanted: int, seconds: float) -> None:
        """Wait for what is added."""
        where = "STREAMS", self.key, self._next or "0"
        await self.of.reader.ask(self._put, "XREAD", *_how(wanted, seconds), *where)

    def _put(self, reply: Reply) -> None:
        for entries in (reply or {}).values():
            self.of.put(entry(self.key, *each) for each in entries)
            self._next = entries[-1][0]


class GroupWay(Way):
    """Reads for a group, by the name of one of its consumers."""

    def __init__(self, of: RedisSubscription, end: StreamSub) -> None:
        super().__init__(of)
        self._end, self._acks = end, not end.no_ack
        self._group = end.stream, end.group or ""
        self._me = *self._group, end.consumer or ""
        self._start, self._cursor = end.start, b"0-0"
        self._leases = Leases(max(1, round(3 * self.source.extend_for / self.source.idle)))
        self._stayed = current_time()

    async def begin(self) -> None:
        """Have the group, and take what is ours from before a crash, or a loss."""
        await have_group(self.link, self._end, self._start)
        self._start = "0"  # made again, it has lost its place: better twice than never
        start: Word = "-"
        while self._acks:
            await self.of.inflow.room()
            words = *self._group, start, "+", _MOST, self._me[2]
            found: Any = await self.of.reader.ask(as_it_is, "XPENDING", *words)
            if counts := {each[0]: each[3] for each in found if each[0] not in self.of.ids}:
                put = partial(self._put_again, counts=counts)
                self._lost(await self.of.reader.ask(put, "XCLAIM", *self._me, 0, *counts))
            if len(found) < _MOST:
                break
            start = b"(" + found[-1][0]

    async def look(self, wanted: int) -> None:
        """Take what is of somebody who has gone silent, or was given back."""
        if not self._acks:
            return
        idle = round(self.source.idle * 1000)
        words = *self._me, idle, self._cursor, "COUNT", min(wanted, _MOST)
        self._cursor, entries, gone = await self.of.reader.ask(self._claimed, "XAUTOCLAIM", *words)
        if gone:
            await self.link.call(self.key, "XACK", *self._group, *gone)
            self._lost(len(gone))
        if entries:
            self.of.look_at = 0.0  # there may be more
            between = entries[0][0], entries[-1][0], 10 * _MOST, self._me[2]
            counts: Any = await self.of.reader.ask(as_it_is, "XPENDING", *self._group, *between)
            known = {each[0]: each[3] - 1 for each in counts}
            counted = {each[0]: known.get(each[0], 0) for each in entries}
            self._lost(self._put_again(entries, counted))

    async def read(self, wanted: int, seconds: float) -> None:
        """Wait for what nobody of the group has read."""
        mode = () if self._acks else ("NOACK",)
        words = "GROUP", *self._me[1:], *_how(wanted, seconds), *mode, "STREAMS", self.key, ">"
        await self.of.reader.ask(self._put, "XREADGROUP", *words)

    async def settle(self, ids: Sequence[bytes]) -> None:
        """Acknowledge these."""
        await self.link.call(self.key, "XACK", *self._group, *ids)

    async def count(self, at: bytes, times: int) -> None:
        """Write how often that one was tried."""
        await self.link.call(self.key, "XCLAIM", *self._me, 0, at, "RETRYCOUNT", times, "JUSTID")

    async def stay(self) -> None:
        """Begin the time of what is in hand anew; what others have by now is theirs."""
        if current_time() - self._stayed > self.source.idle:
            words = *self._group, "-", "+", 100_000, self._me[2]
            ours = {each[0] for each in await self.link.call(self.key, "XPENDING", *words)}
            theirs = [each for each in self.of.held if each.token not in ours]
            self.of.held.withdraw(theirs)
            self.of.ids.difference_update(ids_of(theirs))
        if ids := ids_of(self._leases.due(self.of.held)):
            await self.link.call(self.key, "XCLAIM", *self._me, 0, *ids, "JUSTID")
        self._stayed = current_time()

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Let the next who looks claim them at once; this time does not count."""
        await self._release([(each.token, each.deliveries or 1) for each in deliveries])

    async def depart(self) -> None:
        """Give back what came while nobody listened any more."""
        words = *self._group, "-", "+", 10 * _MOST, self._me[2]
        found: Any = await self.link.call(self.key, "XPENDING", *words)
        await self._release([(each[0], each[3]) for each in found])

    async def _release(self, counted: Sequence[tuple[Any, int]]) -> None:
        for times in {each[1] for each in counted} if self._acks else ():
            ids = [at for at, each in counted if each == times]
            how = "IDLE", _LONG_AGO, "RETRYCOUNT", times - 1, "JUSTID"
            await self.link.call(self.key, "XCLAIM", *self._group, RELEASED, 0, *ids, *how)

    def _put(self, reply: Reply) -> None:
        for entries in (reply or {}).values():
            self.of.put(entry(self.key, *each) for each in entries)

    def _claimed(self, reply: list[Any]) -> tuple[bytes, list[Any], Sequence[bytes]]:
        """Return what was claimed and was not in hand; older servers do not say what is gone."""
        entries = [each for each in reply[1] if each and each[0] not in self.of.ids]
        return reply[0], entries, reply[2] if len(reply) > 2 else ()

    def _put_again(self, entries: Sequence[Any], counts: dict[bytes, int]) -> int:
        """Take what was sent before, so many times; return how many were taken out of the stream."""
        there = [each for each in entries if each and each[1] is not None]
        self.of.put((entry(self.key, *each) for each in there), counts)
        return max(0, len(counts) - len(there))

    def _lost(self, count: int) -> None:
        if count:
            self.link.journal.counts["trimmed"] += count
            self.link.journal.tell(MessagesTrimmed(self.key, self._group[1], count))


async def have_group(link: Link, end: StreamSub, start: str) -> None:
    """Have the group of *end*, which begins at *start* if it is new.

    Raises:
        TopologyError: It is missing, and not to be made.
    """
    stream, group, found = end.stream, end.group or "", list[Any]()
    try:
        if end.declare:
            await link.call(stream, "XGROUP", "CREATE", stream, group, start, "MKSTREAM")
            return
        found = await link.call(stream, "XINFO", "GROUPS", stream)
    except Refused as error:
        if error.code == "BUSYGROUP":
            return
        if end.declare:
            raise
    if not any(each[b"name"] == group.encode() for each in found):
        raise TopologyError(
            f"the stream {stream!r} has no group {group!r}; make it, or say declare=True",
            [f"group {group} of the stream {stream}"],
        )


def _how(wanted: int, seconds: float) -> tuple[Word, ...]:
    return "COUNT", wanted, "BLOCK", max(1, round(seconds * 1000))
