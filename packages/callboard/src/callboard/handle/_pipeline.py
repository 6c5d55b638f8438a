"""From a message to what its handler returns. Everything that can be is done once, at start."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias

from anyio import CapacityLimiter

from callboard._errors import DeclarationError, RejectMessage
from callboard.declare._elements import Elements, elements_of
from callboard.declare._handler import where
from callboard.declare._subscriber import Filter
from callboard.handle._batch import InvalidParts
from callboard.handle._envelope import content_type_of
from callboard.handle._outcome import Conclude
from callboard.handle._own import Viewing, as_it_is, decoded_first, of_value, seen_as
from callboard.instruments import Handle, Outcome
from callboard_brokers import BatchMessage, Message
from callboard_di import BodyParameter, Callee, Overrides, Plan, PlanError, Resolver, plan
from callboard_validation import (
    JSON,
    OWN,
    Codec,
    DefinitionError,
    Parameter,
    Serializer,
    caster,
    decoder,
    spread_decoder,
)

Read: TypeAlias = Callable[[Message], Any]
_NOTHING: Final = object()


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What the handlers of a subscription find around them."""

    resolver: Resolver[Any]
    codec: Codec
    overrides: Overrides
    limiter: CapacityLimiter
    """A place for each worker's thread, so that no other subscription can keep it waiting."""
    dependencies: Sequence[Any] = ()
    batch: bool = False
    """Whether they take lists of messages."""
    decodes: bool = False
    """Whether messages are decoded by a decoder of the user's own, of which this reads the values."""
    serializer: Serializer = OWN
    """What chooses the library of a type."""
    casts: bool = True
    """Whether values are made into what annotations say; else they stay as they were decoded."""
    injects: bool = True
    """Whether handlers get anything but the body."""


@dataclass(frozen=True)
class Choice:
    """One of the handlers of a subscription, ready to run."""

    filter: Filter[Any] | None
    """Which messages it takes; None: all."""
    handle: Handle
    conclude: Conclude
    view: Viewing | None = None
    """How it sees messages, if otherwise than the subscription."""


def plan_of(callee: Callee, scope: Scope) -> Plan[Any]:
    """Plan *callee* in *scope*.

    Raises:
        DeclarationError: Something that it asks for can't be had.
    """
    try:
        return plan(
            callee,
            resolver=scope.resolver,
            caster=partial(caster, by=scope.serializer) if scope.casts else None,
            dependencies=scope.dependencies,
            overrides=scope.overrides,
        )
    except PlanError as error:
        raise DeclarationError(str(error)) from error


def inject(callee: Callee, scope: Scope) -> Handle:
    """Return what calls *callee* for a message: the body decoded, the rest injected."""
    if not scope.injects:
        callee, scope = _bare(callee), replace(scope, dependencies=())
    planned = plan_of(callee, scope)
    handle = planned.bind(body_of(planned, scope), limiter=scope.limiter)
    return decoded_first(handle) if scope.decodes and planned.body else handle


def body_of(planned: Plan[Any], scope: Scope) -> Read | None:
    """Return what reads the body for a plan; None: it has no use for one.

    JSON is validated from the bytes in one step, whatever was decoded before.
    """
    if not planned.body:
        return None
    codec = scope.codec
    try:
        if scope.batch:
            return _batch_reader(elements_of(planned), scope)
        if scope.decodes:
            as_is = partial(as_it_is, serializer=scope.serializer)
            return of_value(partial(_reading, planned, scope, decoder=as_is))
        decode = _reading(planned, scope, codec, partial(decoder, by=scope.serializer))
    except DefinitionError as error:
        raise DeclarationError(
            f"{where(planned.call)} can't get {', '.join(each.name for each in planned.body)} from a"
            f" body: {error}; what is no part of the body needs Depends() or Context()"
        ) from error

    def read_body(message: Message) -> Any:
        # As `content_type_of`, without a call: this is the path of every message.
        return decode(message.body, JSON if message.tombstone else message.content_type)

    return read_body


def _bare(callee: Callee) -> Callee:
    """Return *callee* as one whose parameters are the body, and nothing else."""
    if not callee.parameters:
        raise DeclarationError(
            f"{callee.title} takes nothing, and with apply_types=False it is given the body"
        )
    empty = inspect.Parameter.empty
    bare = [replace(each, annotation=empty, marker=None) for each in callee.parameters]
    return replace(callee, parameters=tuple(bare))


def _reading(
    planned: Plan[Any],
    scope: Scope,
    codec: Codec,
    decoder: Callable[[Any, Codec], Any],
) -> Callable[[Any, str | None], Any]:
    """Return what reads the body for *planned*, whole or spread over its parameters."""
    parameters = [_parameter(each, scope) for each in planned.body]
    if planned.spread:
        return spread_decoder(parameters, codec, scope.serializer)
    read: Callable[[Any, str | None], Any] = decoder(parameters[0].annotation, codec)
    return read


def _batch_reader(elements: Elements, scope: Scope) -> Read:
    """Read all bodies, or find all that can't be: nobody else is to fail for them."""
    annotation, gather = (elements.annotation, elements.gather) if scope.casts else (Any, None)
    read = _read_by(decoder(annotation, scope.codec, scope.serializer))
    if scope.decodes:
        read = of_value(partial(as_it_is, annotation, serializer=scope.serializer))

    def read_bodies(message: Any) -> Any:
        batch: BatchMessage[Any] = message
        values: list[Any] = []
        failures: dict[int, Exception] = {}
        for place, part in enumerate(batch.parts):
            try:
                values.append(read(part))
            except Exception as error:  # noqa: BLE001 - a validator of the user's may raise anything
                failures[place] = error
        if failures:
            raise InvalidParts(failures)
        return values if gather is None else gather(values)

    return read_bodies


def _read_by(decode: Callable[[bytes, str | None], Any]) -> Read:
    return lambda message: decode(message.body, content_type_of(message))


class Selection:
    """Hands messages to the first of *choices* that fits.

    It is for one worker, which concludes one message before it takes the next.
    """

    def __init__(self, choices: Sequence[Choice]) -> None:
        self._choices = choices
        self._chosen = choices[0]
        self._seen: Message | None = None

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to choose, or to make of messages."""
        only = self._chosen
        return len(self._choices) > 1 or only.filter is not None or only.view is not None

    def around(self, handle: Handle) -> Handle:
        """Choose before *handle*, which is to end in that of this: the first whose filter fits."""

        async def choose(message: Message) -> object:
            self._seen = None
            for choice in self._choices:
                seen = message if choice.view is None else await choice.view(message)
                if choice.filter is None or await _answer(choice.filter(seen)):
                    self._chosen, self._seen = choice, seen
                    return await handle(seen)
            raise RejectMessage("no handler of the subscriber has a filter that fits the message")

        return choose

    async def handle(self, message: Message) -> object:
        """Hand *message* to the handler that was chosen."""
        return await self._chosen.handle(message)

    def conclude(self, message: Message, result: object) -> Outcome:
        """Say what follows from the result of that."""
        return self._chosen.conclude(seen_as(self._seen, message), result)


def told_apart(handle: Handle, own: Conclude, replaced: Conclude) -> tuple[Handle, Conclude]:
    """Conclude what a middleware has put in the place of a result otherwise than what *handle* gave.

    It is of no type that the handler has said. Both are for one worker, as `select` says.
    """
    returned: object = _NOTHING

    async def remember(message: Message) -> object:
        nonlocal returned
        returned = _NOTHING
        returned = await handle(message)
        return returned

    def conclude(message: Message, result: object) -> Outcome:
        return (own if result is returned else replaced)(message, result)

    return remember, conclude


async def _answer(answer: bool | Awaitable[bool]) -> bool:
    return await answer if inspect.isawaitable(answer) else answer


def _parameter(parameter: BodyParameter, scope: Scope) -> Parameter:
    bare = parameter.annotation is inspect.Parameter.empty or not (parameter.cast and scope.casts)
    annotation = Any if bare else parameter.annotation
    return Parameter(parameter.name, annotation, parameter.default, parameter.kind)
