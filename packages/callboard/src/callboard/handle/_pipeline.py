"""From a message to what its handler returns. Everything that can be is done once, at start."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from anyio import CapacityLimiter

from callboard._errors import DeclarationError, RejectMessage
from callboard.declare._elements import Elements, elements_of
from callboard.declare._handler import where
from callboard.declare._options import Middleware
from callboard.declare._subscriber import Filter
from callboard.handle._batch import InvalidParts
from callboard.handle._envelope import content_type_of
from callboard.handle._outcome import Conclude
from callboard.instruments import Handle
from callboard_brokers import BatchMessage, Message
from callboard_di import BodyParameter, Callee, Overrides, Plan, PlanError, Resolver, plan
from callboard_validation import (
    JSON,
    Codec,
    DefinitionError,
    Parameter,
    caster,
    decoder,
    spread_decoder,
)

Read: TypeAlias = Callable[[Message], Any]


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


@dataclass(frozen=True)
class Choice:
    """One of the handlers of a subscription, ready to run."""

    filter: Filter | None
    """Which messages it takes; None: all."""
    handle: Handle
    conclude: Conclude


def plan_of(callee: Callee, scope: Scope) -> Plan[Any]:
    """Plan *callee* in *scope*.

    Raises:
        DeclarationError: Something that it asks for can't be had.
    """
    try:
        return plan(
            callee,
            resolver=scope.resolver,
            caster=caster,
            dependencies=scope.dependencies,
            overrides=scope.overrides,
        )
    except PlanError as error:
        raise DeclarationError(str(error)) from error


def inject(callee: Callee, scope: Scope) -> Handle:
    """Return what calls *callee* for a message: the body decoded, the rest injected."""
    planned = plan_of(callee, scope)
    return planned.bind(body_of(planned, scope), limiter=scope.limiter)


def body_of(planned: Plan[Any], scope: Scope) -> Read | None:
    """Return what reads the body for a plan; None: it has no use for one.

    JSON is validated from the bytes in one step, whatever was decoded before.
    """
    if not planned.body:
        return None
    codec = scope.codec
    try:
        if scope.batch:
            return _batch_reader(elements_of(planned), codec)
        decode: Callable[[bytes, str | None], Any] = (
            spread_decoder([_parameter(each) for each in planned.body], codec)
            if planned.spread
            else decoder(_annotation(planned.body[0]), codec)
        )
    except DefinitionError as error:
        raise DeclarationError(
            f"{where(planned.call)} can't get {', '.join(each.name for each in planned.body)} from a"
            f" body: {error}; what is no part of the body needs Depends() or Context()"
        ) from error

    def read_body(message: Message) -> Any:
        # As `content_type_of`, without a call: this is the path of every message.
        return decode(message.body, JSON if message.tombstone else message.content_type)

    return read_body


def _batch_reader(elements: Elements, codec: Codec) -> Read:
    """Read all bodies, or find all that can't be: nobody else is to fail for them."""
    decode, gather = decoder(elements.annotation, codec), elements.gather

    def read_bodies(message: Any) -> Any:
        batch: BatchMessage[Any] = message
        values: list[Any] = []
        failures: dict[int, Exception] = {}
        for place, part in enumerate(batch.parts):
            try:
                values.append(decode(part.body, content_type_of(part)))
            except Exception as error:  # noqa: BLE001 - a validator of the user's may raise anything
                failures[place] = error
        if failures:
            raise InvalidParts(failures)
        return values if gather is None else gather(values)

    return read_bodies


def select(choices: Sequence[Choice]) -> tuple[Handle, Conclude]:
    """Return what hands a message to the first of *choices* that fits, and what concludes it.

    Both are for one worker, which concludes one message before it takes the next.
    """
    chosen = choices[0]
    if len(choices) == 1 and chosen.filter is None:
        return chosen.handle, chosen.conclude

    async def dispatch(message: Message) -> object:
        nonlocal chosen
        for choice in choices:
            if choice.filter is None or await _answer(choice.filter(message)):
                chosen = choice
                return await choice.handle(message)
        raise RejectMessage("no handler of the subscriber has a filter that fits the message")

    return dispatch, lambda message, result: chosen.conclude(message, result)


def wrapped(handle: Handle, middlewares: Sequence[Middleware]) -> Handle:
    """Put *middlewares* around *handle*, the first of them outermost."""
    for middleware in reversed(middlewares):
        handle = middleware(handle)
    return handle


async def _answer(answer: bool | Awaitable[bool]) -> bool:
    return await answer if inspect.isawaitable(answer) else answer


def _annotation(parameter: BodyParameter) -> Any:
    bare = parameter.annotation is inspect.Parameter.empty or not parameter.cast
    return Any if bare else parameter.annotation


def _parameter(parameter: BodyParameter) -> Parameter:
    return Parameter(parameter.name, _annotation(parameter), parameter.default, parameter.kind)
