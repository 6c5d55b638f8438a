"""The way of a message, and of what is published, through middlewares that are objects.

Their places are composed at start; for each message there are objects of its own, and nothing at all
where nobody has put such a middleware. Which hooks they have of their own is known before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import partial
from inspect import isawaitable
from typing import Any, Final, NamedTuple, TypeAlias

from callboard._context import ContextRepo
from callboard._errors import Suppressed
from callboard.declare._broker_kind import BrokerKind
from callboard.declare._codec import AnyCodec
from callboard.declare._command import BatchPublishCommand, PublishCommand, PublishType
from callboard.declare._middleware import Middleware, is_hooked, overrides, wrapped_by
from callboard.handle._batch import InvalidParts
from callboard.handle._envelope import encoding
from callboard.handle._finish import Settle
from callboard.handle._outcome import Judge
from callboard.handle._output import Together
from callboard.instruments import Draft, Handle, Output, Send, Sender
from callboard_actors import Rule, concerns_actor
from callboard_brokers import (
    ARRIVED,
    Arrived,
    Confirmation,
    Delivery,
    Message,
    Metadata,
    Settlement,
)
from callboard_validation import OWN, Codec, Serializer

Call: TypeAlias = Callable[[Any], Awaitable[Any]]
_TYPES: Final = {"answer": PublishType.REPLY}


class Place(NamedTuple):
    """One of the middlewares of a chain, and which hooks there are to call."""

    make: Any
    enters: str | None
    """The method that is called first of all; None: there is nothing to call."""
    consumes: bool
    publishes: bool
    leaves: str | None
    """The method that is called last of all."""


class Chain:
    """The objects of a chain of middlewares, outermost first, and what is around them."""

    def __init__(  # noqa: PLR0913, PLR0917 - what is around, which nobody else needs together
        self,
        middlewares: Sequence[Middleware],
        context: ContextRepo,
        kind: BrokerKind[Any],
        codec: AnyCodec,
        sender: Sender,
        serializer: Serializer = OWN,
    ) -> None:
        self.middlewares = middlewares
        self.places = [
            Place(
                each,
                _outer(each, "__aenter__", "on_receive"),
                overrides(each, "consume_scope"),
                overrides(each, "publish_scope"),
                _outer(each, "__aexit__", "after_processed"),
            )
            for each in middlewares
            if is_hooked(each)
        ]
        self.context = context
        self.kind = kind
        self.sender = sender
        """The broker whose they are."""
        self.leaves = any(each.leaves is not None for each in self.places)
        self.codec = codec
        self.serializer = serializer
        """What chooses the library of the type of a result."""
        self.encode = encoding(codec)
        # A codec of the user's own is awaited, which only what leaves by a draft is.
        by_draft = not isinstance(codec, Codec)
        self.publishes = by_draft or any(each.publishes for each in self.places)

    def by(self, codec: AnyCodec | None) -> Chain:
        """Return the same for what *codec* encodes; None: what encodes here."""
        if codec is None or codec is self.codec:
            return self
        return Chain(self.middlewares, self.context, self.kind, codec, self.sender, self.serializer)

    def objects(self, raw_message: object) -> list[Any]:
        """Make the objects of a message, or of a publication."""
        return [each.make(raw_message, context=self.context) for each in self.places]

    def draft(self, encode: Callable[[object], Any]) -> Draft | None:
        """Return what makes a message of what is published through this; None: it is made at once."""
        return Draft(encode, self) if self.publishes else None

    async def answered(self, answer: Message) -> Message:
        """Let an answer pass like a message that was received."""
        passage = Passage(self, answer)
        handle: Handle = _itself
        for number in reversed(range(len(self.places))):
            handle = partial(passage.objects[number].consume_scope, handle)
        try:
            await passage.enter()
            passed: Any = await handle(answer)
        except BaseException as error:
            await passage.leave(error)
            raise
        await passage.leave(None)
        return passed if isinstance(passed, Message) else answer  # pyright: ignore[reportUnknownVariableType] - isinstance can't say of what


def _outer(middleware: Any, outer: str, inner: str) -> str | None:
    """Return the name of what is to be called: *outer*, or what that would call, if it is the usual."""
    if overrides(middleware, outer):
        return outer
    return inner if overrides(middleware, inner) else None


async def _itself(message: Message) -> object:
    return message


class Passage:
    """One message on its way: its objects, and those of them that it has not left again.

    Attributes:
        failure: What has failed, where a middleware has made a result of it.
    """

    __slots__ = ("_entered", "chain", "failure", "message", "objects")

    def __init__(self, chain: Chain, message: Message) -> None:
        self.chain = chain
        self.message = message
        self.objects = chain.objects(message.raw_message)
        self.failure: Exception | None = None
        self._entered: list[Callable[..., Awaitable[bool | None]]] = []

    async def enter(self) -> None:
        """Call what is to see the message first, outermost first."""
        for place, each in zip(self.chain.places, self.objects, strict=True):
            if place.enters is not None:
                await getattr(each, place.enters)()
            if place.leaves is not None:
                self._entered.append(getattr(each, place.leaves))

    async def leave(self, error: BaseException | None) -> bool:
        """Call what is to see how it has ended, innermost first; return whether *error* is none now.

        Raises:
            BaseException: One of them has failed in its turn.
        """
        now = error
        while self._entered:
            exit_ = self._entered.pop()
            try:
                kind, trace = (type(now), now.__traceback__) if now is not None else (None, None)
                if await exit_(kind, now, trace):
                    now = None
            except BaseException as another:  # noqa: BLE001 - it takes the place of the first
                now = another
        if now is not None and now is not error:
            raise now
        return now is not error


PASSAGE: Final[ContextVar[Passage | None]] = ContextVar("callboard-passage", default=None)


def enclosed(
    handle: Handle,
    chain: Chain,
    rules: Sequence[Rule],
    making: Sequence[Callable[[Handle], Handle]] = (),
) -> Handle:
    """Put the middlewares of *chain* around *handle*, the first of them outermost.

    They see messages first as they came, then as they are made by *making*, innermost first.

    Raises:
        DeclarationError: A function among them returns nothing that could be called.
    """
    number = len(chain.places)
    for each in reversed(chain.middlewares):
        if is_hooked(each):
            number -= 1
            if chain.places[number].consumes:
                handle = _consuming(number, handle)
        else:
            wrap: Any = each
            handle = wrapped_by(wrap, handle)
    for each in making:
        handle = each(handle)
    return _passing(handle, chain, rules) if chain.places else handle


def _consuming(number: int, inner: Handle) -> Handle:
    async def consume(message: Message) -> object:
        passage = PASSAGE.get()
        if passage is None:
            return await inner(message)
        return await passage.objects[number].consume_scope(inner, message)

    return consume


def _passing(handle: Handle, chain: Chain, rules: Sequence[Rule]) -> Handle:
    async def passes(message: Message) -> object:
        passage = Passage(chain, message)
        PASSAGE.set(passage)  # it ends with the message
        try:
            await passage.enter()
            return await handle(message)
        except BaseException as error:
            is_none = await passage.leave(error)
            if (
                not is_none
                or not isinstance(error, Exception)
                or isinstance(error, InvalidParts)
                or concerns_actor(error, rules)
            ):
                raise
            raise Suppressed(passage.failure) from error

    return passes


def leaving(settle: Settle, judge: Judge) -> Settle:
    """Let the middlewares see how a message has ended, before it is settled."""

    async def leave_and_settle(
        delivery: Delivery,
        settlement: Settlement | None,
        cause: Exception | None,
        delay: float | None = None,
        /,
    ) -> None:
        if (passage := PASSAGE.get()) is not None:
            # What it has failed by has been seen already, where the handler has.
            try:
                is_none = await passage.leave(None if cause is passage.failure else cause)
            except Exception as error:  # noqa: BLE001 - a failure of the message, as any other
                verdict = judge(passage.message, error)
                settlement, cause, delay = verdict.settlement, error, verdict.delay
            else:
                if is_none and cause is not None:
                    settlement, cause = Settlement.ACK, None
        await settle(delivery, settlement, cause, delay)

    return leave_and_settle


def publishing(send: Send) -> Send:
    """Let drafts pass the middlewares on their way out, each by itself; what is made goes on."""

    async def leave(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        first = outputs[0]
        if first.draft is not None and first.draft.together:
            return await _publish_together(send, outputs, first.draft)
        sent = [
            await (send([each], cause) if each.draft is None else _publish(send, each, cause))
            for each in outputs
        ]
        return sent[0] if len(sent) == 1 else Together(sent)

    return leave


async def _publish(send: Send, output: Output, cause: Delivery | None) -> Confirmation:
    draft: Any = output.draft
    chain: Chain = draft.chain
    sent: Confirmation = ARRIVED  # unless it is held back

    async def hand_over(command: PublishCommand) -> object:
        nonlocal sent
        encode = chain.encode if command.body is not value else draft.encode
        output.message = _made(command, await _encoded(encode(command.body)), output.message)
        output.target = command.target
        output.draft = None
        sent = await send([output], cause)
        return await sent.wait() if output.kind == "own" else None

    value: Any = output.message.body if not output.message.tombstone else None
    kind = PublishType.REQUEST if output.timeout is not None else PublishType.PUBLISH
    command = _command(chain.kind.command, value, output, _TYPES.get(output.kind, kind), chain)
    receipt = await _through(chain, hand_over)(command)
    return Arrived(receipt) if output.kind == "own" else sent


async def _publish_together(send: Send, outputs: Sequence[Output], draft: Draft) -> Confirmation:
    chain: Chain = draft.chain

    async def hand_over(command: BatchPublishCommand) -> object:
        left = [*zip(values, outputs, strict=True)]
        chosen: list[Output] = []
        for body in command.batch_bodies:
            # A body keeps the key that it came with; one that is new has that of its place.
            near = next((n for n, (value, _) in enumerate(left) if value is body), 0)
            _, output = left.pop(near) if left else (None, outputs[-1])
            message = _made(command, await _encoded(draft.encode(body)), output.message)
            chosen.append(Output(output.by, command.target, message, "own"))
        if not chosen:
            return None
        return await (await send(chosen, None)).wait()

    values: list[Any] = [None if o.message.tombstone else o.message.body for o in outputs]
    command = _command(chain.kind.commands, values, outputs[0], PublishType.PUBLISH, chain)
    return Arrived(await _through(chain, hand_over)(command))


def _through(chain: Chain, call: Call) -> Call:
    """Return what passes the `publish_scope` of each, and then *call*.

    In a handler these are the objects of its message, if that came by the same broker.
    """
    passage = PASSAGE.get()
    if passage is not None and passage.chain.sender is chain.sender:
        chain, objects = passage.chain, passage.objects
    else:
        objects = chain.objects(None)
    for place, each in zip(reversed(chain.places), reversed(objects), strict=True):
        if place.publishes:
            call = partial(each.publish_scope, call)
    return call


def _command(
    make: type[PublishCommand], value: object, output: Output, why: PublishType, chain: Chain
) -> PublishCommand:
    message = output.message
    return make(
        value,
        target=output.target,
        headers=dict(message.headers),
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        _publish_type=why,
        redirect=chain.kind.redirect,
    )


async def _encoded(encoded: Any) -> Any:
    return await encoded if isawaitable(encoded) else encoded


def _made(command: PublishCommand, encoded: Any, draft: Message) -> Message:
    body, content_type = encoded
    metadata = Metadata(
        command.headers or None,
        content_type,
        draft.message_id,
        command.correlation_id,
        command.reply_to or None,
    )
    return Message.made(None if command.body is None else body, metadata, draft.key)
