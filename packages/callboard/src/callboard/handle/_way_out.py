"""By what messages leave a broker, whoever publishes them: made, addressed and sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, Generic, TypeVar

from callboard._errors import DeclarationError, RequestFailed
from callboard.declare._broker_kind import BrokerKind
from callboard.declare._options import BrokerOptions, PublishOptions
from callboard.events import AnswerWithheld
from callboard.handle._dead_letter import Post
from callboard.handle._envelope import (
    Response,
    envelopes,
    identities,
    unencoded,
)
from callboard.handle._outcome import FAILURE_HEADER
from callboard.handle._output import Batch
from callboard.handle._own import Reader, own, parsed
from callboard.handle._passage import Chain, publishing
from callboard.instruments import Draft, Output, Send
from callboard.watch._bus import Bus
from callboard_brokers import ARRIVED, Message

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
        self._correlate = options.id_generator
        self._reader = Reader([options])
        self._parse = None if options.parser is None else own(options.parser)
        self._events = events
        self._reply_to = options.reply_to
        self._answers = _allowing(options.reply_to)
        self._current = current
        self.chain: Chain
        """The middlewares that all passes which is published; set when the broker starts."""

    @property
    def send(self) -> Send:
        """What brings outputs to the broker.

        Raises:
            NotRunning: It is not connected.
        """
        return self._current()

    def envelopes(
        self,
        bodies: Iterable[object],
        options: PublishOptions,
        key: bytes | None = None,
        chain: Chain | None = None,
    ) -> list[Message]:
        """Return the messages that carry *bodies*: encoded, unless *chain* is to see them first.

        None: what the broker publishes of its own accord passes.
        """
        chain = chain or self.chain
        encode = unencoded if chain.publishes else chain.encode
        return envelopes(bodies, options, encode, self.identify, key, self._correlate)

    async def publish(self, message: object, target: T, options: PublishOptions) -> Any:
        """Encode *message* and publish it to *target*; return the receipt when the broker has it."""
        send = self._current()
        if self.chain.publishes:
            return await self.publish_through(self.chain, message, target, options)
        # As `_leave` would, without a coroutine: this is the path of whatever is published by hand.
        [made] = envelopes(
            (message,), options, self.chain.encode, self.identify, None, self._correlate
        )
        sent = await send((Output(self, target, made, "own"),), None)
        return None if sent is ARRIVED else await sent.wait()

    async def publish_through(
        self, chain: Chain, message: object, target: T, options: PublishOptions
    ) -> Any:
        """Do the same through the middlewares of *chain*."""
        draft = chain.draft(partial(chain.encode, content_type=options.content_type))
        encode = unencoded if draft is not None else chain.encode
        [made] = envelopes((message,), options, encode, self.identify, None, self._correlate)
        return await self._leave([Output(self, target, made, "own", draft=draft)], draft)

    async def publish_batch(
        self,
        messages: Sequence[object],
        target: T,
        options: PublishOptions,
        key: str | bytes | None = None,
        chain: Chain | None = None,
    ) -> None:
        """Publish *messages* at once to *target*; return when the broker has them all.

        A `Response` among them says for itself what the others are told here, its key among it,
        which else is *key* or that of *target*. If one fails, the broker may have others.
        """
        whole: Any = target
        if hasattr(whole, "key"):  # what is published together need not have one key
            key, target = key if key is not None else whole.key, replace(whole, key=None)
        draft = self._draft(chain)
        draft = draft and draft._replace(together=True)
        # Nothing is sent before all are made: one that can't be is refused with all others.
        for where, made in self._runs(messages, target, options, key, chain):
            await self._leave(Batch(self, where, made, draft), draft)

    async def request(
        self,
        message: object,
        target: T,
        options: PublishOptions,
        timeout: float,  # noqa: ASYNC109 - travels with the request
        chain: Chain | None = None,
    ) -> Message:
        """Publish *message* and return the answer to it.

        Raises:
            RequestTimeout: None came within *timeout* seconds.
            RequestFailed: The handler that was asked has failed.
            DeclarationError: The broker has no way to wait for an answer.
        """
        chain = chain or self.chain
        [request] = self.envelopes([message], options, chain=chain)
        draft = self._draft(chain)
        asked = Output(self, target, request, "own", timeout=timeout, draft=draft)
        answer: Message = await self._leave([asked], draft)
        if (kind := answer.header(FAILURE_HEADER)) is not None:
            raise RequestFailed(str(kind), answer.body.decode(errors="replace"))
        if self._parse is not None:
            answer = await parsed(self._parse, answer)
        answer.binding = _Plain(self._reader)
        return await chain.answered(answer) if chain.places else answer

    def post(self, source: Any) -> Post:
        """Return how letters of what comes from *source* leave."""
        return Post(partial(self._letter, source), partial(self._kind.where, source))

    def _letter(self, source: Any, address: str, letter: Message, message: Message) -> Output:
        """Return the *letter* of *message*, which came from *source*, on its way to *address*."""
        target = self._kind.dead_letter(address, source)
        with suppress(Exception):  # what came over the wire may be past reading
            target = self._kind.alike(message, target)
        return Output(self, target, letter, "dead letter")

    def answer(self, reply_to: str) -> T | None:
        """Return where the answer to *reply_to* goes; None: none may go there."""
        if not self._answers(reply_to):
            self.unanswered(reply_to, f"{self._kind.name} was told reply_to={self._reply_to!r}")
            return None
        return self._kind.answer(reply_to)

    def unanswered(self, address: str, reason: str) -> None:
        """Tell of an answer that goes nowhere."""
        self._events(AnswerWithheld(self._kind.name, address, reason))

    async def _leave(self, outputs: Sequence[Output], draft: Draft | None) -> Any:
        """Send *outputs*, which are a *draft* if there is one; return the receipt when they are there."""
        send = self.send if draft is None else publishing(self.send)
        return await (await send(outputs, None)).wait()

    def _runs(
        self,
        messages: Sequence[object],
        target: T,
        options: PublishOptions,
        key: str | bytes | None,
        chain: Chain | None,
    ) -> Sequence[tuple[T, list[Message]]]:
        """Return what is made of *messages*, in their order, and where each run of them goes."""
        plain, runs = Response(None, key=key), list[tuple[T, list[Message]]]()
        kinds = {*map(type, messages)}
        if kinds and not any(issubclass(kind, Response) for kind in kinds):
            return [(target, self.envelopes(messages, options, plain.key, chain))]

        def said_by(each: object) -> Response:
            return each if isinstance(each, Response) else plain

        for said, run in groupby(messages, said_by):
            bodies = [each if said is plain else said.body for each in run]
            its_key = plain.key if said.key is None else said.key
            made = self.envelopes(bodies, said.over(options), its_key, chain)
            where = said.place(target)
            if runs and runs[-1][0] == where:
                runs[-1][1].extend(made)
            else:
                runs.append((where, made))
        return runs

    def _draft(self, chain: Chain | None) -> Draft | None:
        chain = chain or self.chain
        return chain.draft(chain.encode)


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

    def __init__(self, reader: Reader) -> None:
        self.decode = reader.read

    async def reject(self, message: Message, /) -> None:
        """Do nothing: an answer is nobody's to settle."""
