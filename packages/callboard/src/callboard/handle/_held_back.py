"""What a handler publishes by hand, held back until it has succeeded.

It leaves then with the results of the handler, before them: so it is out before the message is
settled, or in the same transaction, and what a handler publishes that fails is never seen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from callboard._errors import AckMessage, NackMessage
from callboard.handle._fence import ATTEMPT, Attempt
from callboard.handle._finish import Unpublished
from callboard.handle._outcome import Conclude, Judge
from callboard.handle._output import is_hopeless
from callboard.instruments import Handle, Outcome, Output, Send
from callboard_brokers import ARRIVED, AckStatus, Confirmation, Delivery, Message

Flush: TypeAlias = Callable[[Message, Sequence[Output]], Awaitable[None]]
_UNDONE: Final = (AckStatus.NACKED, AckStatus.REJECTED)


class HeldBack:
    """Keeps what the handlers of one worker publish, which handles one message at a time.

    *flush* sends it as soon as a handler has returned, and no later; None: it leaves with what
    follows from the message.
    """

    def __init__(self, flush: Flush | None) -> None:
        self._flush = flush
        self._outputs: Sequence[Output] = ()

    def around(self, handle: Handle) -> Handle:
        """Hold back what leaves during *handle*; requests go on, for somebody waits for the answer."""

        async def hold(message: Message) -> object:
            held: list[Output] = []
            self._outputs = ()
            attempt = ATTEMPT.get() or Attempt()
            before = ATTEMPT.set(attempt)
            attempt.diverts = lambda way: _keeping(held, way)
            try:
                result = await handle(message)
            except AckMessage:
                await self._release(message, attempt, held)
                raise
            finally:
                attempt.diverts = None  # a task that it has left behind is held back no more
                ATTEMPT.reset(before)
            await self._release(message, attempt, held)
            return result

        return hold

    def concluding(self, conclude: Conclude) -> Conclude:
        """Let it leave before what *conclude* makes of the result."""

        def conclude_and_leave(message: Message, result: object) -> Outcome:
            return self._with(conclude(message, result))

        return conclude_and_leave

    def deciding(self, decide: Judge) -> Judge:
        """Let it leave though the handler has raised something: that all is well."""

        def decide_and_leave(message: Message, error: Exception) -> Outcome:
            outcome = decide(message, error)
            return self._with(outcome) if isinstance(error, AckMessage) else outcome

        return decide_and_leave

    async def _release(self, message: Message, attempt: Attempt, held: Sequence[Output]) -> None:
        """Let it leave, unless *attempt* has given *message* back; a letter of it may be an ack."""
        if not held or attempt.is_rejected or message.committed() in _UNDONE:
            return
        if self._flush is None:
            self._outputs = held
        else:
            await self._flush(message, held)

    def _with(self, outcome: Outcome) -> Outcome:
        held, self._outputs = self._outputs, ()
        if not held:
            return outcome
        return Outcome(
            outcome.settlement,
            [*held, *outcome.outputs],
            outcome.error,
            delay=outcome.delay,
            leaves=outcome.leaves,
        )


def flushing(send: Send, unpublished: Unpublished) -> Flush:
    """Return what sends outputs by themselves, and waits until they are out.

    *unpublished* tells of those that are not, which the message comes again for.
    """

    async def flush(message: Message, outputs: Sequence[Output]) -> None:
        try:
            # Not for the sake of a delivery, in whose transaction they might be.
            await (await send(outputs, None)).wait()
        except Exception as error:
            delivery: Any = message.delivery
            if not is_hopeless(error):
                unpublished(delivery, error)
                raise NackMessage from error
            raise

    return flush


def _keeping(held: list[Output], way: Callable[[], Send]) -> Send:
    """Return what puts outputs to those that are *held*, and sends nothing but requests."""

    async def keep(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        if outputs[0].timeout is not None:
            return await way()(outputs, cause)
        for each in outputs:
            # It follows from the message now, one by one: several may have targets of their own.
            each.kind = "result"
            held.append(each)
        return ARRIVED

    return keep
