"""The end of a message: its outputs are published, then it is settled. In that order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from callboard.events import Notify, OutputsFailed, OutputsLost, about
from callboard.handle._outcome import Judge
from callboard.handle._output import is_hopeless
from callboard.handle._parts import is_settled, parts_of
from callboard.handle._unconfirmed import Failed, Keeper, Sent
from callboard.instruments import Outcome, Output, Send
from callboard_brokers import BatchDelivery, Delivery, Settlement

ToDeadLetters: TypeAlias = Callable[[Delivery, Exception | None], Awaitable[None]]
"""Brings a rejected delivery to where the subscription's dead letters go, and settles it."""

Unpublished: TypeAlias = Callable[[Delivery, Exception], Outcome]
"""Tells that outputs are not out, and says what follows for what they came of."""


class Finish(Protocol):
    """Ends a delivery; returns whether that is done now, and not when its outputs are confirmed."""

    def __call__(
        self, delivery: Delivery, outcome: Outcome, failures: Sequence[Failed] | None = None, /
    ) -> Awaitable[bool]:
        """End it; *failures* are those of its outputs, None: they are not sent yet."""
        ...


class Settle(Protocol):
    """Settles a delivery, for a reason."""

    def __call__(
        self,
        delivery: Delivery,
        settlement: Settlement | None,
        cause: Exception | None,
        delay: float | None = None,
        /,
    ) -> Awaitable[None]:
        """Settle it, unless *settlement* is None; after a NACK it comes again in *delay* seconds."""
        ...


def finishing(  # noqa: C901 - the end of a message is one piece: its order must stay in sight
    send: Send, settle: Settle, unpublished: Unpublished, keeper: Keeper, *, defers: bool = True
) -> Finish:
    """Compose publish-then-settle.

    What was handled well is settled when its outputs are confirmed, and the worker goes on
    meanwhile, if *keeper* can defer it; everything else is waited for, or all if nothing *defers*.

    Outputs that can't be published now are no fault of the message: it is delivered again (nack),
    never rejected. Those that never can be are a failure of the handler that made them, which
    *unpublished* decides upon: for the message of a batch that they came of, and if that can't be
    told, for all of it. Whoever waits for an answer among them is answered that. If cancelled, the
    delivery is left unsettled.
    """

    async def finish(
        delivery: Delivery, outcome: Outcome, failures: Sequence[Failed] | None = None, /
    ) -> bool:
        comes_back = failures is not None
        if failures is None:
            sent, failures = await _handed_over(send, delivery, outcome.outputs)
            is_good = outcome.settlement is Settlement.ACK or is_settled(delivery)
            is_good = is_good and defers and not failures
            if is_good and keeper.defer(delivery, outcome, sent):
                return False
            failures = [*await _failed_of(sent), *failures]
        ended, cause = outcome, outcome.error
        for outputs, error in failures:
            failed = (is_hopeless(error) and _source_of(outputs, delivery)) or delivery
            verdict = unpublished(failed, error)
            if verdict.outputs and any(each.kind == "answer" for each in outputs):
                # If that can't be sent either, the reason has been told.
                await _failed_of((await _handed_over(send, delivery, verdict.outputs))[0])
            if failed is delivery:
                ended, cause = verdict, error
                break  # all of it is decided upon
            await settle(failed, verdict.settlement, error, verdict.delay)
        # What has come back is the first of its lane: all that is open comes after it.
        if ended.settlement is Settlement.ACK and not comes_back and not await keeper.in_turn():
            return False  # what goes before it comes again, hence so does this
        keeper.lets_pass = ended.leaves
        await settle(delivery, ended.settlement, cause, ended.delay)
        keeper.lets_pass = False
        if ended.stays is not None:
            keeper.stay(delivery, ended.stays)
        return True

    return finish


def telling(name: str, judge: Judge, tell: Notify) -> Unpublished:
    """Compose what is said of outputs of *name* that are not out, and what follows from it."""

    def unpublished(delivery: Delivery, error: Exception) -> Outcome:
        hopeless = is_hopeless(error)
        verdict = judge(delivery.message, error) if hopeless else Outcome(Settlement.NACK)
        facts = name, *about(delivery.message), error
        tell(
            OutputsLost(*facts)
            if is_settled(delivery)
            else OutputsFailed(*facts, verdict.settlement)
        )
        return verdict

    return unpublished


def settling(to_dead_letters: ToDeadLetters) -> Settle:
    """Compose the settlement that follows; nothing, if the handler has settled by itself."""

    async def settle(
        delivery: Delivery,
        settlement: Settlement | None,
        cause: Exception | None,
        delay: float | None = None,
        /,
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
    return [[each] for each in outputs] if isinstance(delivery, BatchDelivery) else [outputs]


def _source_of(outputs: Sequence[Output], delivery: Delivery) -> Delivery | None:
    """Return the delivery of a batch that *outputs* came of; None: all of it, or it is no batch."""
    if not isinstance(delivery, BatchDelivery):
        return None
    return next((part for part in delivery.parts if part.message is outputs[0].cause), None)


async def _handed_over(
    send: Send, delivery: Delivery, outputs: Sequence[Output]
) -> tuple[Sequence[Sent], Sequence[Failed]]:
    """Send *outputs* until it is known of one that it fails all; return what is sent, and what not."""
    if not outputs:
        return (), ()
    sent: list[Sent] = []
    failures: list[Failed] = []
    for portion in _portions(delivery, outputs):
        try:
            sent.append((portion, await send(portion, delivery)))
        except Exception as error:  # noqa: BLE001 - whatever the broker says, the outputs are not out
            failures.append((portion, error))
            if not is_hopeless(error) or _source_of(portion, delivery) is None:
                break
    return sent, failures


async def _failed_of(sent: Sequence[Sent]) -> Sequence[Failed]:
    """Wait until all is known of what was sent; return what has failed."""
    failures: list[Failed] = []
    for outputs, confirmation in sent:
        try:
            await confirmation.wait()
        except Exception as error:  # noqa: BLE001 - likewise
            failures.append((outputs, error))
    return failures


async def _parts_to_dead_letters(
    to_dead_letters: ToDeadLetters, delivery: Delivery, cause: Exception | None
) -> None:
    for part in parts_of(delivery):
        if not part.settled:
            await to_dead_letters(part, cause)
