"""What became of a message: what to publish, and how to settle it.

`concluding` turns what a handler returned into an outcome, `deciding` what it raised. Both are
composed once, when the subscription starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from callboard._errors import Suppressed, words
from callboard.declare._policy import AckPolicy, settlement_of
from callboard.declare._retry import Verdict
from callboard.handle._envelope import Wrap, aimed
from callboard.instruments import Draft, Outcome, Output, Sender
from callboard_actors import Rule, concerns_actor
from callboard_brokers import Message, Settlement

FAILURE_HEADER: Final = "x-callboard-failure"
"""Marks an answer that is a failure; its value is the type of the exception."""

Conclude: TypeAlias = "Callable[[Message, object], Outcome]"
"""Says what follows from a message and the result of its handler."""


class Answering(Sender, Protocol):
    """A broker that knows where whoever has asked waits for an answer."""

    def answer(self, reply_to: str) -> Any | None:
        """Return the target of an answer to *reply_to*; None: none may go there."""
        ...


Produce: TypeAlias = Callable[[object, Message], Sequence[Output]]
"""Makes the outputs of a result, given the message that it came from."""

Verdicts: TypeAlias = Callable[[Message, Exception], Verdict]
"""Says how a message is settled that has failed."""

Judge: TypeAlias = Callable[[Message, Exception], Outcome]
"""Says what follows from the failure of a message."""


def concluding(
    policy: AckPolicy,
    publishers: Sequence[Produce],
    answer: tuple[Wrap, Answering, Draft | None] | None,
    *,
    is_heard: bool = False,
) -> Conclude:
    """Compose what follows a handler's return: first the answer, then each of *publishers*.

    *answer* wraps the result, and says by whom it goes, and through what; None: nobody is answered.
    What *is_heard* takes no short cut.
    """
    settlement = settlement_of(policy, None)
    plain = Outcome(settlement)
    plain.is_plain &= not is_heard

    def conclude(message: Message, result: object) -> Outcome:
        reply_to = message.reply_to if answer is not None else None
        if not publishers and reply_to is None:
            return plain
        outputs = [each for produce in publishers for each in produce(result, message)]
        if answer is not None and reply_to is not None:
            wrap, by, draft = answer
            if (target := by.answer(reply_to)) is not None:
                wrapped, aim = wrap(result, message), aimed(result, target)
                outputs.insert(0, Output(by, aim, wrapped, "answer", draft=draft))
        return Outcome(settlement, outputs)

    return conclude


def deciding(
    verdicts: Verdicts,
    by: Answering | None,
    report: Callable[[Message, Exception, Verdict], None],
    rules: Sequence[Rule] = (),
) -> Judge:
    """Compose what follows a handler's failure: a report, and an answer if nobody tries again.

    It goes by *by*; None: nobody is answered. What concerns the actor by *rules*, or because it was made for it, is raised again.
    """

    def decide(message: Message, error: Exception) -> Outcome:
        if concerns_actor(error, rules):
            raise error
        raised = error
        if isinstance(error, Suppressed):
            if error.failure is None:
                return Outcome(verdicts(message, error).settlement)
            error = error.failure
        verdict, reply_to = verdicts(message, error), message.reply_to
        settlement, delay, attempt, leaves, stays = verdict
        outputs: list[Output] = []
        final = settlement in (Settlement.ACK, Settlement.REJECT)
        if final and by is not None and reply_to is not None:
            target = by.answer(reply_to)
            if target is not None:
                outputs.append(Output(by, target, _failure(error, message), "answer"))
        report(message, raised, verdict)
        return Outcome(
            settlement, outputs, error, delay=delay, attempt=attempt, leaves=leaves, stays=stays
        )

    return decide


def _failure(error: Exception, cause: Message) -> Message:
    """Tell whoever waits for an answer that none will come, and why."""
    return Message(
        words(error).encode(errors="replace"),
        headers={FAILURE_HEADER: type(error).__name__},
        content_type="text/plain",
        correlation_id=cause.correlation_id,
    )
