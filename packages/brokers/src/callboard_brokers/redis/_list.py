"""A list: each message is for one reader, and is his until it is settled.

What is taken is moved in one step into a hash beside the list, which is the reader's own, under a
number each: so it is taken away there by its number, however long it is and whatever is equal to it.
A reader says from time to time that he is there. What one has had who does not is put back by the
others, in front of the list and in order, also in one step; he himself does so when he leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from callboard_brokers._delivery import Delivery
from callboard_brokers.redis._message import RedisRecord
from callboard_brokers.redis._records import beside
from callboard_brokers.redis._scripts import SCRIPTS
from callboard_brokers.redis._subscription import RedisSubscription, Way, ids_of


class ListWay(Way):
    """Reads a list."""

    def __init__(self, of: RedisSubscription) -> None:
        super().__init__(of)
        self._me, self._hashes = uuid4().hex, beside(self.key, "taken.")
        self._mine, self._readers = self._hashes + self._me, beside(self.key, "readers")
        self._idle = round(self.source.idle * 1000)
        self._taken = 0

    async def begin(self) -> None:
        """Look for what was taken by an answer that was lost."""
        await self.of.reader.ask(self._put_numbered, "HGETALL", self._mine)

    async def look(self, wanted: int) -> None:  # noqa: ARG002 - all that is given back goes to the list
        """Put back what others had who are gone."""
        await self._take_over("")

    async def read(self, wanted: int, seconds: float) -> None:
        """Take what is there, or wait until something is."""
        # Numbers are not given twice, though an answer may be lost.
        first, self._taken = self._taken, self._taken + wanted

        def put(reply: list[bytes]) -> int:
            self._put({b"%d" % n: each for n, each in enumerate(reply, first + 1)})
            return len(reply)

        keys = 3, self.key, self._mine, self._readers
        words = SCRIPTS["take"], *keys, self._me, self._idle, wanted, first
        if not await self.of.reader.ask(put, "EVAL", *words):
            # To the place where it is: that waits, and takes nothing.
            there = self.key, self.key, "LEFT", "LEFT", max(0.01, round(seconds, 3))
            await self.of.reader.ask(lambda _: None, "BLMOVE", *there)

    async def settle(self, ids: Sequence[bytes]) -> None:
        """Forget these."""
        await self.link.call(self.key, "HDEL", self._mine, *ids)

    async def stay(self) -> None:
        """Say that we are there; others may have everything by now."""
        words = SCRIPTS["stay"], 1, self._readers, self._me, self._idle
        if await self.link.call(self.key, "EVAL", *words) and self.of.ids:
            self.of.start_over()

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Put these back."""
        keys = 2, self.key, self._mine
        await self.link.call(self.key, "EVAL", SCRIPTS["give_back"], *keys, *ids_of(deliveries))

    async def depart(self) -> None:
        """Be no reader any more."""
        await self._take_over(self._me)

    async def _take_over(self, who: str) -> None:
        words = SCRIPTS["take_over"], 2, self.key, self._readers, self._hashes, who
        await self.link.call(self.key, "EVAL", *words)

    def _put_numbered(self, reply: dict[bytes, bytes]) -> None:
        self._put({at: each for at, each in reply.items() if at not in self.of.ids})

    def _put(self, taken: dict[bytes, bytes]) -> None:
        self.of.put(RedisRecord(self.key, taken[at], at) for at in sorted(taken, key=int))
