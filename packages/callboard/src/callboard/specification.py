"""The AsyncAPI document of what was declared: channels, operations, messages with their schemas."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Any, Self, TypeAlias, get_args

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

from ._app import App
from ._batch import element_of
from ._broker import Broker
from ._handler import publishers_of
from ._publisher import Publisher
from ._resolver import AnyResolver
from ._subscriber import Call, Subscriber

__all__ = ["AsyncAPI", "Specification"]

Schema: TypeAlias = dict[str, Any]


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


class AsyncAPI:
    """Describes brokers: what the application receives and sends, in the order of declaration."""

    def __init__(
        self,
        *brokers: Broker[Any],
        title: str = "Callboard",
        version: str = "0.1.0",
        description: str | None = None,
    ) -> None:
        self.brokers = brokers
        self.info = Info(title=title, version=version, description=description)

    @classmethod
    def of(cls, app: App) -> Self:
        """Describe the brokers of *app* under its own title and version."""
        return cls(*app.brokers, title=app.title, version=app.version, description=app.description)

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
    skin = broker.skin
    return [Server.from_url(skin.url, protocol=skin.protocol or None)] if skin.url else []


def _receiving(broker: Broker[Any], servers: list[Server]) -> Iterator[Operation]:
    for subscriber in broker.subscribers:
        if subscriber.in_schema and subscriber.calls:
            yield Operation(
                action="receive",
                channel=_channel(subscriber, servers),
                reply=_reply(subscriber),
            )


def _channel(subscriber: Subscriber, servers: list[Server]) -> Channel:
    calls, options = subscriber.calls, subscriber.options
    several = len(calls) > 1
    return Channel(
        address=subscriber.source.address,
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


def _reply(subscriber: Subscriber) -> Reply | None:
    """Describe the answer of a subscriber that gives one, rather than publish what it returns."""
    first = subscriber.calls[0]
    if subscriber.options.no_reply or len(subscriber.calls) > 1 or publishers_of(first.target):
        return None
    returns = first.callee.returns
    schema = None if returns in (None, NoneType) else _schema(lambda: json_schema(returns), returns)
    return None if schema is None else Reply(messages=[Message(payload=schema)])


def _sending(broker: Broker[Any], servers: list[Server]) -> Iterator[Operation]:
    for publisher in broker.publishers:
        options = publisher.options
        if publisher.in_schema:
            yield Operation(
                action="send",
                channel=Channel(
                    address=publisher.target.address,
                    handlers=["Publisher"],
                    title=options.title,
                    description=options.description,
                    messages=[Message(payload=_published_schema(publisher))],
                    servers=servers,
                ),
            )


def _body_schema(call: Call, *, batch: bool) -> Schema | None:
    planned = plan(call.callee, resolver=AnyResolver())
    if not planned.body:
        return None
    if planned.spread:
        parameters = [Parameter(b.name, b.annotation, b.default, b.kind) for b in planned.body]
        return _schema(lambda: spread_json_schema(parameters, title=f"{call.name}:Payload"))
    annotation = element_of(planned) if batch else planned.body[0].annotation
    return _schema(lambda: json_schema(annotation), annotation)


def _published_schema(publisher: Publisher[Any]) -> Schema | None:
    """Take the schema that the declaration gives, else what the first decorated handler returns."""
    annotation = publisher.options.schema
    if annotation is None and publisher.returns:
        annotation = publisher.returns[0]
        if publisher.options.batch:
            annotation = next(iter(get_args(annotation)), None)
    return None if annotation is None else _schema(lambda: json_schema(annotation), annotation)


def _schema(make: Callable[[], Schema], annotation: object = None) -> Schema | None:
    """Return the schema of a type; None where there is none to be had (no annotation, no type)."""
    if annotation in (EMPTY, Any) or isinstance(annotation, str):
        return None
    try:
        return make()
    except DefinitionError:
        return None
