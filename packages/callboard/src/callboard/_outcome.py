"""What became of a message: what to publish, and how to settle it.

`concluding` turns what a handler returned into an outcome, `deciding` what it raised. Both are
composed once, when the subscription starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from callboard_actors import Rule, concerns_actor
from callboard_brokers import DestinationError, Message, Reaching, Settlement

from ._envelope import Response, Wrap
from ._errors import NackMessage, words
from ._policy import AckPolicy, settlement_of

if TYPE_CHECKING:
    from ._broker import Broker

__all__ = [
    "FAILURE_HEADER",
    "Answering",
    "Conclude",
    "Outcome",
    "Output",
    "Produce",
    "Way",
    "concluding",
    "deciding",
]

FAILURE_HEADER: Final = "x-callboard-failure"
"""Marks an answer that is a failure; its value is the type of the exception."""

Conclude: TypeAlias = "Callable[[Message[Any], object], Outcome]"
"""Says what follows from a message and the result of its handler."""


class Way:
    """A target of a broker, known before there is a message for it."""

    __slots__ = ("broker", "target")

    def __init__(self, broker: Broker[Any], target: Any) -> None:
        self.broker = broker
        self.target = target

    async def publish(self, message: Message[Any]) -> None:
        """Return when the broker has *message*, which is encoded already."""
        await self.broker.connection.publish(message, self.target)

    async def reach(self) -> bool:
        """Return whether it is worth while to publish; raise what `publish` would."""
        connection: object = self.broker.connection
        if isinstance(connection, Reaching):
            await connection.reach(self.target)  # pyright: ignore[reportUnknownMemberType] - isinstance can't say of what
        return True

    def aimed(self, target: Any) -> Way:
        """Return the way to *target* instead, which is nearly the same."""
        return Way(self.broker, target)


class Answering(Way):
    """The way to whoever has asked, at an address that he has chosen.

    If it leads nowhere, that is no fault of the message, nor of its handler: it is told of, and
    nothing is published.
    """

    __slots__ = ()

    async def publish(self, message: Message[Any]) -> None:
        """Return when the broker has *message*, or there is nobody to have it."""
        try:
            await super().publish(message)
        except DestinationError as error:
            self._tell(error)

    async def reach(self) -> bool:
        """Return whether there is somebody to answer."""
        try:
            return await super().reach()
        except DestinationError as error:
            self._tell(error)
            return False

    def aimed(self, target: Any) -> Way:
        """Return the way to *target* instead."""
        return Answering(self.broker, target)

    def _tell(self, error: DestinationError) -> None:
        self.broker.reporter.unanswered(self.target.address, str(error))


class Output:
    """A message that is to be published before its cause is settled.

    *cause* is the message of a batch that it came of; None where that goes without saying.
    """

    __slots__ = ("cause", "message", "way")

    def __init__(
        self, way: Way, result: object, message: Message[Any], cause: Message[Any] | None = None
    ) -> None:
        self.cause = cause
        self.way = way.aimed(result.aim(way.target)) if isinstance(result, Response) else way
        self.message = message


class Outcome:
    """Outputs to publish in order, a settlement (None: leave it), and the error that led there."""

    __slots__ = ("delay", "error", "is_plain", "outputs", "settlement")

    def __init__(
        self,
        settlement: Settlement | None,
        outputs: Sequence[Output] = (),
        error: Exception | None = None,
    ) -> None:
        self.settlement = settlement
        self.outputs = outputs
        self.error = error
        self.delay = error.delay if isinstance(error, NackMessage) else None
        self.is_plain = settlement is Settlement.ACK and not outputs


Produce: TypeAlias = Callable[[object, Message[Any]], Sequence[Output]]
"""Makes the outputs of a result, given the message that it came from."""


def concluding(
    policy: AckPolicy,
    publishers: Sequence[Produce],
    answer: tuple[Wrap, Callable[[str], Way | None]] | None,
) -> Conclude:
    """Compose what follows a handler's return: first the answer, then each of *publishers*.

    *answer* wraps the result and finds the way to a `reply_to`, if answers may go there; None:
    nobody is answered.
    """
    settlement = settlement_of(policy, None)
    plain = Outcome(settlement)

    def conclude(message: Message[Any], result: object) -> Outcome:
        reply_to = message.reply_to if answer is not None else None
        if not publishers and reply_to is None:
            return plain
        outputs = [each for produce in publishers for each in produce(result, message)]
        if answer is not None and reply_to is not None:
            wrap, find = answer
            if (way := find(reply_to)) is not None:
                outputs.insert(0, Output(way, result, wrap(result, message)))
        return Outcome(settlement, outputs)

    return conclude


def deciding(
    policy: AckPolicy,
    find: Callable[[str], Way | None] | None,
    report: Callable[[Message[Any], Exception, Settlement | None], None],
    rules: Sequence[Rule] = (),
) -> Callable[[Message[Any], Exception], Outcome]:
    """Compose what follows a handler's failure: a report, and an answer if nobody tries again.

    What concerns the actor by *rules*, or because it was made for it, is raised again.
    """

    def decide(message: Message[Any], error: Exception) -> Outcome:
        if concerns_actor(error, rules):
            raise error
        settlement = settlement_of(policy, error)
        report(message, error, settlement)
        outputs: list[Output] = []
        final = settlement in (Settlement.ACK, Settlement.REJECT)
        if final and find is not None and (reply_to := message.reply_to) is not None:
            way = find(reply_to)
            if way is not None:
                outputs.append(Output(way, error, _failure(error, message)))
        return Outcome(settlement, outputs, error)

    return decide


def _failure(error: Exception, cause: Message[Any]) -> Message[Any]:
    """Tell whoever waits for an answer that none will come, and why."""
    return Message(
        words(error).encode(errors="replace"),
        headers={FAILURE_HEADER: type(error).__name__},
        content_type="text/plain",
        correlation_id=cause.correlation_id,
    )
