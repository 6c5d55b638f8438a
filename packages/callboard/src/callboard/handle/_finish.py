"""The end of a message: its outputs are published, then it is settled. In that order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from callboard.events import Notify, OutputsFailed, OutputsLost, about
from callboard.handle._outcome import Judge
from callboard.handle._parts import parts_of
from callboard.instruments import Outcome, Output, Send
from callboard_brokers import BatchDelivery, BrokerError, Delivery, Settlement

Finish: TypeAlias = Callable[[Delivery, Outcome], Awaitable[None]]
ToDeadLetters: TypeAlias = Callable[[Delivery, Exception | None], Awaitable[None]]
"""Brings a rejected delivery to where the subscription's dead letters go, and settles it."""

Settle: TypeAlias = Callable[..., Awaitable[None]]
"""Settles a delivery, given the settlement, why, and after which delay."""


def finishing(
    name: str,
    send: Send,
    to_dead_letters: ToDeadLetters,
    judge: Judge,
    tell: Notify,
) -> Finish:
    """Compose publish-then-settle, for the subscriber *name*.

    Outputs that can't be published now are no fault of the message: it is delivered again (nack),
    never rejected. Those that never can be are a failure of the handler that made them, which
    *judge* decides upon: for the message of a batch that they came of, and if that can't be told,
    for all of it. Whoever waits for an answer among them is answered that. If cancelled, the
    delivery is left unsettled.
    """
    settle = _settling(to_dead_letters)

    async def finish(delivery: Delivery, outcome: Outcome) -> None:
        settlement, cause = outcome.settlement, outcome.error
        for outputs in _portions(delivery, outcome.outputs):
            error = await _failure_of(send, delivery, outputs)
            if error is None:
                continue
            hopeless = is_hopeless(error)
            failed = (hopeless and _source_of(outputs, delivery)) or delivery
            verdict = judge(failed.message, error) if hopeless else Outcome(Settlement.NACK)
            decided = verdict.settlement
            facts = name, *about(failed.message), error
            tell(OutputsLost(*facts) if failed.settled else OutputsFailed(*facts, decided))
            if verdict.outputs and any(each.kind == "answer" for each in outputs):
                # If that can't be sent either, the reason has been told.
                await _failure_of(send, delivery, verdict.outputs)
            if failed is delivery:
                settlement, cause = decided, error
                break  # all of it is decided upon, so nothing more of it is published
            await settle(failed, decided, error)
        await settle(delivery, settlement, cause, outcome.delay)

    return finish


def _settling(to_dead_letters: ToDeadLetters) -> Settle:
    """Compose the settlement that follows; nothing, if the handler has settled by itself."""

    async def settle(
        delivery: Delivery,
        settlement: Settlement | None,
        cause: Exception | None,
        delay: float | None = None,
    ) -> None:
        if delivery.settlement is not None:
            return  # by the handler, or before it ran
        if settlement is Settlement.REJECT:
            await _parts_to_dead_letters(to_dead_letters, delivery, cause)
        elif settlement is not None:
            delivery.settle(settlement, delay)

    return settle


def _portions(delivery: Delivery, outputs: Sequence[Output]) -> Sequence[Sequence[Output]]:
    """Return *outputs* as they are published: those of a batch one by one, to tell whose has failed."""
    if not outputs:
        return ()
    return [[each] for each in outputs] if isinstance(delivery, BatchDelivery) else [outputs]


def _source_of(outputs: Sequence[Output], delivery: Delivery) -> Delivery | None:
    """Return the delivery of a batch that *outputs* came of; None: all of it, or it is no batch."""
    if not isinstance(delivery, BatchDelivery):
        return None
    return next((part for part in delivery.parts if part.message is outputs[0].cause), None)


async def _failure_of(
    send: Send, delivery: Delivery, outputs: Sequence[Output]
) -> Exception | None:
    try:
        sent = await send(outputs, delivery)
        await sent.wait()
    except Exception as error:  # noqa: BLE001 - whatever the broker says, the outputs are not out
        return error
    return None


def is_hopeless(error: Exception) -> bool:
    """Whether what could not be published never can be, wherever it came from.

    An adapter says so of its errors. What it has not foreseen, a value that can't be written or of
    a type that it can't take, will be there the next time too.
    """
    return (
        error.hopeless
        if isinstance(error, BrokerError)
        else isinstance(error, TypeError | ValueError)
    )


async def _parts_to_dead_letters(
    to_dead_letters: ToDeadLetters, delivery: Delivery, cause: Exception | None
) -> None:
    for part in parts_of(delivery):
        if not part.settled:
            await to_dead_letters(part, cause)
