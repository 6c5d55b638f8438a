"""The AsyncAPI document of what was declared: channels, operations, messages with their schemas."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import NoneType
from typing import Any, Protocol, Self, TypeAlias

from callboard._broker import Broker
from callboard.declare._elements import elements_of
from callboard.declare._publisher import PlacedPublisher, Publisher, publishers_of, result_element
from callboard.declare._resolver import AnyResolver
from callboard.declare._subscriber import Call, PlacedSubscriber, Subscriber, addresses_of
from callboard_asyncapi import (
    Channel,
    Info,
    Message,
    Operation,
    Reply,
    Server,
    document,
    to_json,
    to_yaml,
)
from callboard_di import EMPTY, plan
from callboard_validation import DefinitionError, Parameter, json_schema, spread_json_schema

Schema: TypeAlias = dict[str, Any]


_UNKNOWN: list[tuple[str, Any]] = [("", EMPTY)]


@dataclass(frozen=True)
class Specification:
    """A document, and how to write it down."""

    document: dict[str, Any]

    def to_jsonable(self) -> dict[str, Any]:
        """Return it as plain data."""
        return self.document

    def to_json(self) -> str:
        """Return it as JSON."""
        return to_json(self.document)

    def to_yaml(self) -> str:
        """Return it as YAML, for which PyYAML has to be installed."""
        return to_yaml(self.document)


class Described(Protocol):
    """An application, to its document."""

    brokers: list[Broker[Any]]
    title: str
    version: str
    description: str | None


class AsyncAPI:
    """Describes brokers: what the application receives and sends, in the order of declaration."""

    def __init__(
        self,
        *brokers: Broker[Any],
        title: str = "Callboard",
        version: str = "0.1.0",
        description: str | None = None,
    ) -> None:
        self.brokers = [*brokers]
        self.info = Info(title=title, version=version, description=description)

    @classmethod
    def of(cls, app: Described) -> Self:
        """Describe the brokers of *app* under its own title and version."""
        return cls(*app.brokers, title=app.title, version=app.version, description=app.description)

    def add_broker(self, broker: Broker[Any]) -> Self:
        """Describe *broker* too, once."""
        if not any(each is broker for each in self.brokers):
            self.brokers.append(broker)
        return self

    def to_specification(self) -> Specification:
        """Return the document.

        Raises:
            DescriptorError: Something that was declared can't be described.
        """
        operations: list[Operation] = []
        servers: list[Server] = []
        for broker in self.brokers:
            where = _servers(broker)
            servers += where
            operations += _receiving(broker, where)
            operations += _sending(broker, where)
        return Specification(document(self.info, servers, (), operations))


def _servers(broker: Broker[Any]) -> list[Server]:
    """Describe where the broker is, without user and password; one in this process has no server."""
    kind = broker.slot.around.kind
    return [Server.from_url(kind.url, protocol=kind.protocol or None)] if kind.url else []


def _receiving(broker: Broker[Any], servers: list[Server]) -> Iterator[Operation]:
    for placed in broker.declared.placed(PlacedSubscriber):
        subscriber, source = placed.declaration, placed.source
        if placed.in_schema and subscriber.calls:
            for address in addresses_of(source):
                yield Operation(
                    action="receive",
                    channel=_channel(subscriber, address, servers),
                    reply=_reply(subscriber),
                )


def _channel(subscriber: Subscriber[Any], address: str, servers: list[Server]) -> Channel:
    calls, options = subscriber.calls, subscriber.options
    several = len(calls) > 1
    return Channel(
        address=address,
        handlers=[call.name for call in calls],
        title=options.title,
        description=options.description or inspect.getdoc(calls[0].target),
        messages=[
            Message(
                name=call.name if several else None, payload=_body_schema(call, batch=options.batch)
            )
            for call in calls
        ],
        servers=servers,
    )


def _reply(subscriber: Subscriber[Any]) -> Reply | None:
    """Describe the answers of handlers that give one, rather than publish what they return."""
    options = subscriber.options
    if options.no_reply or options.batch:
        return None
    answers = [
        (call.name, call.callee.returns)
        for call in subscriber.calls
        if not publishers_of(call.target) and call.callee.returns not in (None, NoneType)
    ]
    messages = [each for each in _sent(answers) if each.payload is not None]
    return Reply(messages=messages) if messages else None


def _sending(broker: Broker[Any], servers: list[Server]) -> Iterator[Operation]:
    for placed in broker.declared.placed(PlacedPublisher):
        options = placed.declaration.options
        if placed.in_schema:
            yield Operation(
                action="send",
                channel=Channel(
                    address=placed.target.address,
                    handlers=["Publisher"],
                    title=options.title,
                    description=options.description,
                    messages=_published(placed.declaration),
                    servers=servers,
                ),
            )


def _published(publisher: Publisher[Any]) -> list[Message]:
    """Describe the type that the declaration gives, else what the decorated handlers return."""
    options = publisher.options
    if options.schema is not None:
        return _sent([("", options.schema)])
    element = result_element if options.batch else _as_it_is
    return _sent([(name, element(returns)) for name, returns in publisher.decorated or _UNKNOWN])


def _sent(results: list[tuple[str, Any]]) -> list[Message]:
    """Describe what is sent, given who returns it and its type: a message for each type."""
    types = [returns for _, returns in results]
    first = [result for n, result in enumerate(results) if result[1] not in types[:n]]
    return [
        Message(
            name=name if len(first) > 1 else None,
            content_type="text/plain" if returns is str else "application/json",
            payload=_schema(partial(json_schema, returns, mode="serialization"), returns),
        )
        for name, returns in first
    ]


def _body_schema(call: Call, *, batch: bool) -> Schema | None:
    planned = plan(call.callee, resolver=AnyResolver())
    if not planned.body:
        return None
    if planned.spread:
        parameters = [Parameter(b.name, b.annotation, b.default, b.kind) for b in planned.body]
        return _schema(lambda: spread_json_schema(parameters, title=f"{call.name}:Payload"))
    annotation = elements_of(planned).annotation if batch else planned.body[0].annotation
    return _schema(lambda: json_schema(annotation), annotation)


def _schema(make: Callable[[], Schema], annotation: object = None) -> Schema | None:
    """Return the schema of a type; None where there is none to be had (no annotation, no type)."""
    if annotation in (EMPTY, Any) or isinstance(annotation, str):
        return None
    try:
        return make()
    except DefinitionError:
        return None


def _as_it_is(returns: object) -> object:
    return returns
