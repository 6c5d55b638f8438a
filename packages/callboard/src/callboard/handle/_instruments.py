"""How instruments are composed into the path of messages, when a part of a broker starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from callboard.events import InstrumentFailed, Notify, about
from callboard.handle._finish import Finish
from callboard.handle._unconfirmed import Failed
from callboard.instruments import Handle, Instrument, OnOutcome, Outcome, Place, Send
from callboard_brokers import Delivery


class Instruments:
    """Those of a broker, the first of them outermost, as they are put at *place*."""

    def __init__(self, instruments: Sequence[Instrument], place: Place) -> None:
        self._instruments = instruments
        self._place = place

    def at(self, subscriber: str, source: Any) -> Instruments:
        """Return them as they are put around a subscriber."""
        return Instruments(
            self._instruments, replace(self._place, subscriber=subscriber, source=source)
        )

    def around_handle(self, handle: Handle) -> Handle:
        """Put them around what handles messages."""
        for each in reversed(self._instruments):
            handle = each.around_handle(handle, self._place)
        return handle

    def around_send(self, send: Send) -> Send:
        """Put them around the way out."""
        for each in reversed(self._instruments):
            send = each.around_send(send, self._place)
        return send

    def on_outcome(self, tell: Notify) -> OnOutcome | None:
        """Return what tells those who want to know; None: nobody does.

        One that raises is told of: the message is settled, and its actor has nothing to do with it.
        """
        asked = [each.on_outcome(self._place) for each in self._instruments]
        told = [each for each in asked if each is not None]

        def hear(delivery: Delivery, outcome: Outcome) -> None:
            for each in told:
                try:
                    each(delivery, outcome)
                except Exception as error:  # noqa: BLE001 - whatever an instrument raises
                    name = self._place.subscriber or ""
                    tell(InstrumentFailed(name, *about(delivery.message), error))

        return hear if told else None


def heard(finish: Finish, hear: OnOutcome | None) -> Finish:
    """Let *hear* know of each delivery that *finish* is through with; None costs nothing."""
    if hear is None:
        return finish

    async def finish_and_tell(
        delivery: Delivery, outcome: Outcome, failures: Sequence[Failed] | None = None, /
    ) -> bool:
        is_done = await finish(delivery, outcome, failures)
        if is_done:  # else it is told when it is
            hear(delivery, outcome)
        return is_done

    return finish_and_tell
