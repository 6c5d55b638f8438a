"""Keys that fail must not starve the others: neither of workers, nor of room in the mailbox.

Workers: a try after the first one is put off while others wait and such tries have had their share
of the time. It goes back to the head of its lane; no worker waits with it.

Room: what waits behind failing messages stays in the mailbox, which would be full of it in the end.
When that is more than the share, what is due first is tried now, and so is sooner done with or
given up. Not when most messages fail: then it is not the fault of a few keys, and back-off is all
that protects what has failed.
"""

from __future__ import annotations

from typing import Final

from anyio import current_time

from callboard.handle._put_off import PutOff
from callboard.instruments import Handle
from callboard_actors import Mailbox
from callboard_brokers import Delivery, Message

_AHEAD: Final = 1.0
"""Seconds by which tries may be ahead of their share: they come in bursts."""
_LONGEST: Final = 1.0
"""Seconds after which it is looked again whether others wait."""
_WEIGHT: Final = 0.02
"""That of the last message in the part that fails: some fifty of them count."""
_MOST: Final = 0.5
"""The part of messages that may fail at first for it to be the fault of a few keys."""


class Share:
    """What tries after the first one may have of a subscriber.

    Args:
        part: Of the time of its workers, and of its mailbox.
        workers: How many there are.
        ends: Whether what fails is given up at some time, so that it pays to hasten.
    """

    def __init__(self, part: float, workers: int, *, ends: bool) -> None:
        self.mailbox: Mailbox[Delivery]
        self._part = part
        self._price = 1 / (part * workers)
        self._ends = ends
        self._made_up = 0.0
        """When all such tries are made up for."""
        self._failing = _MOST  # what has not succeeded yet proves nothing

    def around(self, handle: Handle) -> Handle:
        """Put off tries that *handle* is called with, if it is the turn of others."""

        async def shared(message: Message) -> object:
            if message.attempt > 1:
                return await self._again(handle, message)
            try:
                result = await handle(message)
            except Exception:
                self._failing += _WEIGHT * (1 - self._failing)
                raise
            self._failing -= _WEIGHT * self._failing
            return result

        return shared

    def relieve(self) -> None:
        """Have tried now what is due first, if too much waits by it."""
        if self._ends and self._failing < _MOST and self._late <= 0:
            self.mailbox.hasten(self._part)

    async def _again(self, handle: Handle, message: Message) -> object:
        if (late := self._late) > 0 and self.mailbox.ready:
            raise PutOff(min(late, _LONGEST))
        began = current_time()
        try:
            return await handle(message)
        finally:
            now = current_time()
            self._made_up = max(self._made_up, began) + (now - began) * self._price

    @property
    def _late(self) -> float:
        """Seconds until the next such try is within the share."""
        return self._made_up - _AHEAD - current_time()
