"""By what messages leave a broker, whoever publishes them: made, addressed and sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Generic, TypeVar

from callboard._errors import DeclarationError, RequestFailed
from callboard.declare._broker_kind import BrokerKind
from callboard.declare._options import BrokerOptions, PublishOptions
from callboard.events import AnswerWithheld
from callboard.handle._envelope import content_type_of, envelope, identities
from callboard.handle._outcome import FAILURE_HEADER
from callboard.instruments import Output, Send
from callboard.watch._bus import Bus
from callboard_brokers import Message
from callboard_validation import Codec

T = TypeVar("T")


class WayOut(Generic[T]):
    """Publishes of one's own accord, and addresses what handlers and rejections lead to.

    *current* returns what sends while the broker is connected, and else raises `NotRunning`.
    """

    def __init__(
        self,
        kind: BrokerKind[T],
        options: BrokerOptions,
        events: Bus,
        current: Callable[[], Send],
    ) -> None:
        self.identify = identities()
        """The source of ids for messages."""
        self._kind = kind
        self._codec = options.codec
        self._events = events
        self._reply_to = options.reply_to
        self._answers = _allowing(options.reply_to)
        self._current = current

    @property
    def send(self) -> Send:
        """What brings outputs to the broker.

        Raises:
            NotRunning: It is not connected.
        """
        return self._current()

    def envelope(self, message: object, options: PublishOptions) -> Message:
        """Return the message that carries *message*, encoded."""
        return envelope(message, options, self._codec.encode, self.identify)

    async def publish(self, message: object, target: T, options: PublishOptions) -> Any:
        """Encode *message* and publish it to *target*; return the receipt when the broker has it."""
        # As `_leave` would, without a coroutine: this is the path of whatever is published by hand.
        made = envelope(message, options, self._codec.encode, self.identify)
        sent = await self._current()([Output(self, target, made, "own")], None)
        return await sent.wait()

    async def publish_all(self, messages: Sequence[tuple[Message, T]]) -> None:
        """Publish encoded *messages*, each to its target; return when the broker has them all.

        If one fails, the broker may have others.
        """
        for target, group in groupby(messages, itemgetter(1)):
            await self._leave([Output(self, target, message, "own") for message, _ in group])

    async def request(
        self,
        message: object,
        target: T,
        options: PublishOptions,
        timeout: float,  # noqa: ASYNC109 - travels with the request
    ) -> Message:
        """Publish *message* and return the answer to it.

        Raises:
            RequestTimeout: None came within *timeout* seconds.
            RequestFailed: The handler that was asked has failed.
            DeclarationError: The broker has no way to wait for an answer.
        """
        request = self.envelope(message, options)
        answer: Message = await self._leave([Output(self, target, request, "own", timeout=timeout)])
        if (kind := answer.headers.get(FAILURE_HEADER)) is not None:
            raise RequestFailed(str(kind), answer.body.decode(errors="replace"))
        answer.binding = _Plain(self._codec)
        return answer

    def letter(self, source: Any, address: str, message: Message) -> Output:
        """Return *message*, which came from *source*, as a dead letter to *address*."""
        return Output(self, self._kind.dead_letter(address, source), message, "dead letter")

    def answer(self, reply_to: str) -> T | None:
        """Return where the answer to *reply_to* goes; None: none may go there."""
        if not self._answers(reply_to):
            self.unanswered(reply_to, f"{self._kind.name} was told reply_to={self._reply_to!r}")
            return None
        return self._kind.answer(reply_to)

    def unanswered(self, address: str, reason: str) -> None:
        """Tell of an answer that goes nowhere."""
        self._events(AnswerWithheld(self._kind.name, address, reason))

    async def _leave(self, outputs: Sequence[Output]) -> Any:
        """Send *outputs*; return the receipt when they have arrived."""
        sent = await self.send(outputs, None)
        return await sent.wait()


def _allowing(patterns: str | Sequence[str] | None) -> Callable[[str], bool]:
    """Return what tells whether an address is one of *patterns*.

    Raises:
        DeclarationError: They are no texts.
    """
    if patterns is None:
        return lambda _: True
    listed: Sequence[Any] = [patterns] if isinstance(patterns, str) else patterns
    parts: list[str] = []
    for each in listed:
        if not isinstance(each, str):
            raise DeclarationError(
                f"reply_to={patterns!r} of a broker: give addresses, with * for any text"
            )
        parts.append(".*".join(map(re.escape, each.split("*"))))
    fullmatch = re.compile("|".join(parts), re.DOTALL).fullmatch
    return lambda address: fullmatch(address) is not None


class _Plain:
    """Reads answers, which belong to no subscription."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def decode(self, message: Message, /) -> object:
        return self._codec.decode(message.body, content_type_of(message))

    async def reject(self, message: Message, /) -> None:
        """Do nothing: an answer is nobody's to settle."""
