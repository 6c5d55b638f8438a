"""The life of one message. To know what happens to a message, read this file.

A worker is the actor at the end of a subscription's mailbox. It handles a delivery, then
finishes it; the steps are composed when the subscription starts (`_pipeline.py`, `_outcome.py`,
`_finish.py`), so that nothing is looked up here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from callboard.handle._failures import note_failure
from callboard.handle._finish import Finish
from callboard.handle._unconfirmed import Handled, Keeper
from callboard.instruments import Handle, Outcome
from callboard_brokers import Delivery, Message, Settlement

_ACK: Final = Settlement.ACK


class Worker:
    """Takes deliveries one after another."""

    __slots__ = ("_conclude", "_decide", "_failed", "_finish", "_handle", "_keeper", "_unconfirmed")

    def __init__(
        self,
        handle: Handle,
        conclude: Callable[[Message, object], Outcome],
        decide: Callable[[Message, Exception], Outcome],
        finish: Finish,
        keeper: Keeper,
    ) -> None:
        self._handle = handle
        self._conclude = conclude
        self._decide = decide
        self._finish = finish
        self._keeper = keeper
        self._unconfirmed, self._failed = keeper.unconfirmed.lanes, keeper.unconfirmed.failed

    async def receive(self, delivery: Delivery) -> None:
        """Handle, then finish: outputs before the settlement, so nothing is acknowledged too early.

        A cancellation passes: the delivery stays unsettled, hence is delivered again. So does what
        concerns the actor, such as `ActorCrash`: `decide` raises it again for the supervisor.
        """
        message = delivery.message
        message.binding = self._keeper
        if self._failed and (handled := self._failed.pop(delivery, None)):
            await self._resume(delivery, handled)
            return
        try:
            # middlewares → decode → inject → handler; then what it returned becomes outputs
            outcome = self._conclude(message, await self._handle(message))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is decided upon here
            note_failure(delivery)
            outcome = self._decide(message, error)
        if outcome.is_plain and delivery.settlement is None and not self._unconfirmed:
            delivery.settle(_ACK)  # as `finish` would, without a coroutine
        else:
            await self._finish(delivery, outcome)
            self._keeper.end()

    async def fail(self, delivery: Delivery, error: Exception) -> None:
        """Finish a delivery that has failed with *error*, which the actor has survived."""
        await self._finish(delivery, self._decide(delivery.message, error))
        self._keeper.end()

    async def _resume(self, delivery: Delivery, handled: Handled) -> None:
        """Finish what was *handled* before, and has come back: its outputs are not out."""
        await self._finish(delivery, handled.outcome, handled.failures)
        self._keeper.end()
