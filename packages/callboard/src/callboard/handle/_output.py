"""The one way out: whatever leaves a program is an `Output`, and goes through one `Send`.

A `Send` is composed when a connection is open: layers around an innermost function, which enlists
(`enlisting`), publishes a batch, or hands over one by one (`straight`). A layer that nobody has put
there costs nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, overload

from callboard._errors import DeclarationError
from callboard.instruments import Draft, Output, Send, Sender
from callboard_brokers import (
    ARRIVED,
    Arrived,
    BrokerError,
    Confirmation,
    Connection,
    Delivery,
    DestinationError,
    Message,
    Reaching,
    Transactional,
    can_batch,
    can_request,
    can_send,
)

HandOver: TypeAlias = Callable[[Message, Any], Awaitable[Confirmation]]
Unanswered: TypeAlias = Callable[[str, str], None]
"""Told of an answer that goes nowhere: its address, and why."""


class Batch(Sequence[Output]):
    """Outputs of one's own accord that have one target; made when somebody looks at them."""

    def __init__(
        self, by: Sender, target: Any, messages: Sequence[Message], draft: Draft | None
    ) -> None:
        self.target = target
        self._messages = messages
        self._make = partial(Output, by, target, kind="own", draft=draft)
        self._made: list[Output] | None = None

    @property
    def messages(self) -> Sequence[Message]:
        """What is to go there, by now."""
        return self._messages if self._made is None else [each.message for each in self._made]

    @overload
    def __getitem__(self, index: int, /) -> Output: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[Output]: ...
    def __getitem__(self, index: int | slice, /) -> Output | Sequence[Output]:
        if self._made is None:
            self._made = [self._make(message=each) for each in self._messages]
        return self._made[index]

    def __len__(self) -> int:
        return len(self._messages)


class Together:
    """Confirms several, once the last is known; fails with the first of them that has failed."""

    __slots__ = ("_sent",)

    def __init__(self, sent: Sequence[Confirmation]) -> None:
        self._sent = sent

    async def wait(self) -> object:
        return [await each.wait() for each in self._sent]

    def then(self, call: Callable[[BrokerError | None], None], /) -> None:
        failures: list[BrokerError | None] = [None] * len(self._sent)
        left = len(self._sent)

        def heard(number: int, failure: BrokerError | None) -> None:
            nonlocal left
            left -= 1
            failures[number] = failure
            if not left:
                call(next(filter(None, failures), None))

        for number, each in enumerate(self._sent):
            each.then(partial(heard, number))


class _Excused:
    """Confirms an answer: that its address leads nowhere is told, and no failure."""

    __slots__ = ("_excuse", "_sent")

    def __init__(self, sent: Confirmation, excuse: Callable[[DestinationError], None]) -> None:
        self._sent = sent
        self._excuse = excuse

    async def wait(self) -> object:
        try:
            return await self._sent.wait()
        except DestinationError as error:
            self._excuse(error)
            return None

    def then(self, call: Callable[[BrokerError | None], None], /) -> None:
        def excused(failure: BrokerError | None) -> None:
            if isinstance(failure, DestinationError):
                self._excuse(failure)
                failure = None
            call(failure)

        self._sent.then(excused)


def is_batch(outputs: Sequence[Output]) -> bool:
    """Whether *outputs* are of one's own accord, all for one target."""
    return isinstance(outputs, Batch) or outputs[0].kind == "own"


def straight(connection: Connection[Any, Any], unanswered: Unanswered) -> Send:
    """Return what hands outputs to *connection*, without waiting for confirmations if it can.

    Several of one's own accord have one target: they are one batch.
    """
    hand_over = _handing_over(connection)
    answer, ask = _answering(hand_over, unanswered), _asking(connection)
    publish_batch = connection.publish_batch if can_batch(connection) else None

    async def send(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        if len(outputs) > 1:
            if publish_batch is None or not is_batch(outputs):
                return Together([await send([each], cause) for each in outputs])
            if isinstance(outputs, Batch):
                return Arrived(await publish_batch(outputs.messages, outputs.target))
            messages = [each.message for each in outputs]
            return Arrived(await publish_batch(messages, outputs[0].target))
        output = outputs[0]
        if output.kind == "answer":
            return await answer(output)
        if output.timeout is not None:
            return await ask(output, output.timeout)
        return await hand_over(output.message, output.target)

    return send


def enlisting(
    subscription: Transactional[Any],
    connection: Connection[Any, Any],
    send: Send,
    unanswered: Unanswered,
) -> Send:
    """Return what leaves outputs to *subscription*, which publishes them with the settlement.

    Those of a delivery that is settled, by hand or before it ran, go by *send*: its transaction may
    be over.
    """

    async def leads_somewhere(output: Output) -> bool:
        if not isinstance(connection, Reaching):
            return True
        try:
            await connection.reach(output.target)  # pyright: ignore[reportUnknownMemberType] - isinstance can't say of what
        except DestinationError as error:
            if output.kind != "answer":
                raise
            unanswered(output.target.address, str(error))
            return False
        return True

    async def enlist(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        if cause is None or cause.settled:
            return await send(outputs, cause)
        # A transaction that can't be finished would be tried for ever: what it would find is found now.
        ours = [each for each in outputs if await leads_somewhere(each)]
        # Nothing is awaited from here to the settlement: half of it would be handled again.
        subscription.enlist(cause, [(each.message, each.target) for each in ours])
        return ARRIVED

    return enlist


def routed(send: Send, by: Sender, *, waits: bool) -> Send:
    """Return *send* for outputs of which some leave by other brokers than *by*; these go first.

    With *waits*, ours go when the others have arrived: they can't be part of our transactions.
    """

    async def route(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        ours = [each for each in outputs if each.by is by]
        if len(ours) == len(outputs):
            return await send(outputs, cause)
        sent = [await each.by.send([each], cause) for each in outputs if each.by is not by]
        for each in sent if waits else ():
            await each.wait()
        if ours:
            sent.append(await send(ours, cause))
        return Together(sent)

    return route


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


def _handing_over(connection: Connection[Any, Any]) -> HandOver:
    """Return what gives *connection* a message; if it can't go on before, that waits for each."""
    if can_send(connection):
        return connection.send

    async def publish(message: Message, target: Any) -> Confirmation:
        return Arrived(await connection.publish(message, target))

    return publish


def _asking(
    connection: Connection[Any, Any],
) -> Callable[[Output, float], Awaitable[Confirmation]]:
    """Return what sends requests; the receipt is the answer."""
    request = connection.request if can_request(connection) else None

    async def ask(output: Output, timeout: float) -> Confirmation:  # noqa: ASYNC109 - travels with it
        if request is None:
            raise DeclarationError(
                f"the broker of {output.target.address!r} has no way to wait for an answer"
            )
        return Arrived(await request(output.message, output.target, timeout))

    return ask


def _answering(
    hand_over: HandOver, unanswered: Unanswered
) -> Callable[[Output], Awaitable[Confirmation]]:
    """Return what sends answers.

    That one leads nowhere is no fault of the message, nor of its handler: it is told of, and
    nothing is published.
    """

    async def answer(output: Output) -> Confirmation:
        def excuse(error: DestinationError) -> None:
            unanswered(output.target.address, str(error))

        try:
            return _Excused(await hand_over(output.message, output.target), excuse)
        except DestinationError as error:
            excuse(error)
            return ARRIVED

    return answer
