"""A channel, which is read as it is published: at most once.

Nobody can be asked to wait, so what is too much is dropped, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, Final

from anyio import current_time

from callboard_brokers._delivery import Delivery
from callboard_brokers.events import MessagesDropped
from callboard_brokers.redis._message import RedisRecord
from callboard_brokers.redis._subscription import RedisSubscription, Way

TELL_EVERY: Final = 1.0


class ChannelWay(Way):
    """Reads a channel, or all that are like a pattern."""

    def __init__(self, of: RedisSubscription) -> None:
        super().__init__(of)
        self._match = self.source.pattern.match if self.source.pattern else None
        self._pattern = self.source.wire if self.source.is_pattern else None
        self._dropped, self._told_at = 0, -inf

    async def begin(self) -> None:
        """Subscribe."""
        word = "PSUBSCRIBE" if self._pattern else "SUBSCRIBE"
        await self.of.reader.ask(lambda _: None, word, self.source.wire)

    async def read(self, wanted: int, seconds: float) -> None:  # noqa: ARG002 - it cannot be asked for less
        """Wait for the end of the connection, and tell meanwhile what was dropped."""
        await self.of.reader.wire.gone.wait(seconds)
        self._tell()

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Drop these: there is nobody to give them to."""
        self._dropped += len(deliveries)

    async def depart(self) -> None:
        """Tell of what was dropped and is not told yet."""
        self._told_at = -inf
        self._tell()

    def pushed(self, said: Sequence[Any]) -> None:
        """Take messages, as many as there is room for."""
        fits = max(0, self.source.pending_msgs_limit - len(self.of.inflow))
        came = [RedisRecord(each[-2].decode(errors="replace"), each[-1]) for each in said]
        if self._match is not None:
            came = [each for each in came if self._match(each.channel) is not None]
        for each in came if self._pattern else ():
            each.pattern = self._pattern
        self.of.put(came[:fits])
        self._dropped += len(came[fits:])  # told by a task, for here is no clock

    def _tell(self) -> None:
        """Tell of all that was dropped since the last time, as one, once a second at most."""
        if self._dropped and current_time() - self._told_at >= TELL_EVERY:
            self.link.journal.counts["dropped"] += self._dropped
            self.link.journal.tell(MessagesDropped(self.key, self._dropped))
            self._dropped, self._told_at = 0, current_time()
