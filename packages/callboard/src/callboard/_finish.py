"""The end of a message: its outputs are published, then it is settled. In that order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from callboard_brokers import Delivery, Settlement

from ._outcome import Outcome
from ._reporter import Reporter

__all__ = ["Bury", "Finish", "finishing"]

Finish: TypeAlias = Callable[[Delivery[Any], Outcome], Awaitable[None]]
Bury: TypeAlias = Callable[[Delivery[Any], Exception | None], Awaitable[None]]
"""Brings a rejected delivery to where the subscription's dead letters go, and settles it."""


def finishing(bury: Bury, reporter: Reporter) -> Finish:
    """Compose publish-then-settle.

    Outputs that can't be published are no fault of the message: it is delivered again (nack),
    never rejected. If cancelled, the delivery is left unsettled.
    """

    async def finish(delivery: Delivery[Any], outcome: Outcome) -> None:
        settlement = outcome.settlement
        if outcome.outputs:
            try:
                for output in outcome.outputs:
                    await output.way.publish(output.message)
            except Exception as error:  # noqa: BLE001 - whatever the broker says, the outputs are not out
                reporter.unpublished(delivery, error)
                settlement = Settlement.NACK
        if delivery.settlement is not None:
            return  # by the handler, or before it ran
        if settlement is Settlement.REJECT:
            await bury(delivery, outcome.error)
        elif settlement is not None:
            delivery.settle(settlement, outcome.delay)
        else:
            reporter.left(delivery)

    return finish
