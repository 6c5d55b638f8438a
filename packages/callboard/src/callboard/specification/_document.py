"""The AsyncAPI document of what was declared: channels, operations, messages with their schemas."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from callboard._broker import Broker
from callboard.declare._publisher import PlacedPublisher, publishers_of
from callboard.declare._subscriber import Call, PlacedSubscriber, Subscriber
from callboard.specification._about import (
    ContactDict,
    ExternalDocsDict,
    LicenseDict,
    TagDict,
    record,
    tag_of,
)
from callboard.specification._payload import answered, calls_name, published, received
from callboard.specification._server import servers_of
from callboard_asyncapi import (
    Channel,
    Contact,
    ExternalDocs,
    Info,
    License,
    Operation,
    Reply,
    Server,
    Tag,
    check_version,
    document,
    to_json,
    to_yaml,
)
from callboard_brokers.kit import hinted


@dataclass(frozen=True)
class Specification:
    """A document, and how to write it down."""

    document: dict[str, Any]

    @property
    def title(self) -> str:
        """The application's."""
        return str(self.document["info"]["title"])

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


@hinted()
class AsyncAPI:
    """Describes brokers: what the application receives and sends, in the order of declaration.

    Args:
        brokers: More may follow by `add_broker`; those of an `App` that it is given to do.
        title: Of the application, like `version` and `description`, which may be Markdown.
        version: Of the application, not of AsyncAPI.
        description: What it is for.
        terms_of_service: A URL.
        license: On which terms others may use it.
        contact: Whom to ask.
        tags: Words to group applications by.
        external_docs: Where more is written.
        identifier: A URI that stands for the application.
        schema_version: Of AsyncAPI: 3.0, 3.1 or 2.6.

    Raises:
        VersionError: No document of `schema_version` can be written.
        DeclarationError: What is said of the application can't be read.
    """

    def __init__(  # noqa: PLR0913 - what may be said of an application, by name
        self,
        *brokers: Broker[Any],
        title: str = "Callboard",
        version: str = "0.1.0",
        description: str | None = None,
        terms_of_service: str | None = None,
        license: License | LicenseDict | None = None,  # noqa: A002 - as AsyncAPI calls it
        contact: Contact | ContactDict | None = None,
        tags: Sequence[Tag | TagDict | str] = (),
        external_docs: ExternalDocs | ExternalDocsDict | None = None,
        identifier: str | None = None,
        schema_version: str = "3.0.0",
    ) -> None:
        check_version(schema_version)
        self.brokers = [*brokers]
        self.schema_version = schema_version
        self.info = Info(
            title=title,
            version=version,
            description=description,
            terms_of_service=terms_of_service,
            license=record(License, license),
            contact=record(Contact, contact),
            tags=[tag_of(each) for each in tags],
            external_docs=record(ExternalDocs, external_docs),
            identifier=identifier,
        )

    def __repr__(self) -> str:
        brokers = ", ".join(map(repr, self.brokers)) or "no broker"
        return f"<{type(self).__name__} {self.info.title!r} of {brokers}>"

    @classmethod
    def of(cls, app: Described) -> Self:
        """Describe the brokers of *app* under its own title and version."""
        return cls(*app.brokers, title=app.title, version=app.version, description=app.description)

    def add_broker(self, broker: Broker[Any]) -> Self:
        """Describe *broker* too, once."""
        if not any(each is broker for each in self.brokers):
            self.brokers.append(broker)
        return self

    def to_specification(self, schema_version: str | None = None) -> Specification:
        """Return the document, of another version of AsyncAPI if one is given.

        Raises:
            VersionError: No such document can be written.
            DescriptorError: Something that was declared can't be described.
        """
        version = schema_version or self.schema_version
        check_version(version)
        operations: list[Operation] = []
        servers: list[Server] = []
        for broker in self.brokers:
            where = servers_of(broker)
            servers += where
            operations += _receiving(broker, where, is_old=version.startswith("2"))
            operations += _sending(broker, where)
        return Specification(document(self.info, servers, (), operations, version=version))


def _receiving(
    broker: Broker[Any], servers: Sequence[Server], *, is_old: bool
) -> Iterator[Operation]:
    for placed in broker.declared.placed(PlacedSubscriber):
        if not placed.in_schema:
            continue
        subscriber = placed.declaration
        options, calls = subscriber.options, subscriber.calls
        message = received(
            "Message" if is_old else "SubscribeMessage", calls, options.title, batch=options.batch
        )
        places = broker.slot.around.kind.places(placed.source)
        for place in places:
            name = f"{place.name or place.address}:{calls_name([call.name for call in calls])}"
            if options.title:
                several = len(places) > 1
                name = f"{options.title}:{place.address}" if several else options.title
            yield Operation(
                action="receive",
                key=name if options.title not in {None, "", "/"} else None,
                channel=Channel(
                    address=place.address if place.address and place.is_template else None,
                    key=name,
                    title=options.title,
                    description=options.description or _docs(calls),
                    messages=[message],
                    servers=servers,
                    bindings=place.channel,
                ),
                bindings=place.operation,
                reply=_reply(subscriber, name),
            )


def _docs(calls: Sequence[Call]) -> str | None:
    docs = [(call, inspect.getdoc(call.target)) for call in calls]
    if len(calls) == 1:
        return docs[0][1]
    told = [f"{calls_name([call.name])}: {doc}" for call, doc in docs if doc]
    return "\n".join(told) or None


def _reply(subscriber: Subscriber[Any], channel: str) -> Reply | None:
    """Describe the answers of handlers that give one, rather than publish what they return."""
    options = subscriber.options
    if options.no_reply or options.batch:
        return None
    calls = [call for call in subscriber.calls if not publishers_of(call.target)]
    message = answered(calls, channel)
    return Reply(messages=[message]) if message else None


def _sending(broker: Broker[Any], servers: Sequence[Server]) -> Iterator[Operation]:
    for placed in broker.declared.placed(PlacedPublisher):
        if not placed.in_schema:
            continue
        options = placed.declaration.options
        for place in broker.slot.around.kind.places(placed.target):
            name = options.title or f"{place.name or place.address}:Publisher"
            yield Operation(
                action="send",
                channel=Channel(
                    address=place.address or None,
                    key=name,
                    title=options.title,
                    description=options.description,
                    messages=[published(placed.declaration, name)],
                    servers=servers,
                    bindings=place.channel,
                ),
                bindings=place.operation,
            )
