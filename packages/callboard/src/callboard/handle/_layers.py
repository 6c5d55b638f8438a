"""Layers that are put around a handler where they are wanted, and cost nothing where not."""

from __future__ import annotations

import logging
from collections.abc import Callable

from anyio import current_time, sleep_until

from callboard._errors import Suppressed
from callboard.declare._handler import Handler
from callboard.declare._rate import Rate
from callboard.declare._retry import Verdict
from callboard.events import about, described
from callboard.handle._outcome import Conclude, Verdicts
from callboard.handle._passage import PASSAGE
from callboard.instruments import Handle, Outcome
from callboard.watch._say import say
from callboard_brokers import Message, Settlement


def acknowledged_first(handle: Handle) -> Handle:
    """Acknowledge a message before it is handled: at most once."""

    async def acknowledge(message: Message) -> object:
        await message.ack()
        return await handle(message)

    return acknowledge


class Pace:
    """Lets messages wait for their turn, among those of all workers of a subscriber."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._spent = 0.0

    def around(self, handle: Handle) -> Handle:
        """Put this around *handle*."""

        async def in_time(message: Message) -> object:
            now, count = current_time(), len(getattr(message, "parts", (message,)))
            self._spent, begins = self._rate.after(self._spent, now, count)
            if begins > now:
                await sleep_until(begins)
            return await handle(message)

        return in_time


def logged(handle: Handle, name: str, logger: logging.Logger, level: int) -> Handle:
    """Write two lines for every message, if *logger* writes lines of *level* at the start."""
    if not logger.isEnabledFor(level):
        return handle

    async def log(message: Message) -> object:
        told = described(*about(message))
        say(logger, level, "%s received %s", name, told)
        result = await handle(message)
        say(logger, level, "%s processed %s", name, told)
        return result

    return log


def minded(
    conclude: Conclude,
    verdicts: Verdicts,
    report: Callable[[Message, Exception, Verdict], None],
) -> Conclude:
    """Settle by its policy what has failed, though a middleware has made a result of it.

    As long as it is tried again, nothing leaves.
    """

    def conclude_failure(message: Message, result: object) -> Outcome:
        outcome, passage = conclude(message, result), PASSAGE.get()
        if passage is None or (failure := passage.failure) is None:
            return outcome
        verdict = verdicts(message, failure)
        settlement, delay, attempt, leaves, stays = verdict
        report(message, Suppressed(failure), verdict)
        again = settlement is Settlement.NACK or stays is not None
        outputs = () if again else outcome.outputs
        return Outcome(
            settlement, outputs, failure, delay=delay, attempt=attempt, leaves=leaves, stays=stays
        )

    return conclude_failure


def recorded(target: object, handle: Handle) -> Handle:
    """Let the recorder that a test broker put under a handler see every message, and its end."""
    recorder = target.recorder if isinstance(target, Handler) else None
    return handle if recorder is None else recorder.around(handle)
