"""What a document is made of, as plain records.

They carry fields of the AsyncAPI 3.0 object of the same name, in Python's spelling, and nothing that
the document works out for itself: keys, references and components are not written by hand.
What is None or empty does not appear. Texts may be CommonMark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from ._errors import DescriptorError
from ._url import host_and_path

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """Whom to ask about the application."""

    name: str | None = None
    url: str | None = None
    email: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class License:
    """On which terms others may use the interface."""

    name: str
    url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalDocs:
    """Where more is written."""

    url: str
    description: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """A word to group things by."""

    name: str
    description: str | None = None
    external_docs: ExternalDocs | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Info:
    """The application that the document is about; *identifier* is its URI."""

    title: str
    version: str
    identifier: str | None = None
    description: str | None = None
    terms_of_service: str | None = None
    contact: Contact | None = None
    license: License | None = None
    tags: Sequence[Tag] = ()
    external_docs: ExternalDocs | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Described:
    """What may be said of anything; *bindings* are particular to the protocol they are keyed by."""

    title: str | None = None
    summary: str | None = None
    description: str | None = None
    tags: Sequence[Tag] = ()
    external_docs: ExternalDocs | None = None
    bindings: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class Server(_Described):
    """A server, or a cluster, that holds channels.

    Attributes:
        host: Name and port, never a user or a password.
        name: Its key; None for `development`, or for `Server1`, `Server2` if there are several.
        security: AsyncAPI security schemes (`{"type": "userPassword"}`), of which one is enough.
    """

    host: str
    protocol: str
    name: str | None = None
    protocol_version: str | None = None
    pathname: str | None = None
    security: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        if "@" in self.host:  # not shown here either: what stands before it is a secret
            raise DescriptorError(
                "a server's host has an '@'; give Server.from_url() the whole URL"
            )

    @classmethod
    def from_url(cls, url: str, *, protocol: str | None = None) -> Self:
        """Describe the one server at *url*, leaving out user, password and the whole query.

        `dataclasses.replace` adds the rest.

        Args:
            url: `amqp://guest:guest@localhost:5672/shop`, or `localhost:9092` with *protocol*.
            protocol: AsyncAPI's name of the protocol; None for the URL's scheme.

        Raises:
            DescriptorError: There is no protocol or host, or secrets cannot be told from the rest.
        """
        scheme, host, path = host_and_path(url)
        if not (protocol or scheme) or not host:
            raise DescriptorError(
                f"a server's URL needs a protocol and a host, has {scheme!r} and {host!r}; "
                "write 'nats://localhost:4222', or 'localhost:9092' and protocol='kafka'"
            )
        return cls(host=host, protocol=protocol or scheme, pathname=path or None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """A placeholder of an address; *location* is where in the message its value can be read."""

    description: str | None = None
    enum: Sequence[str] = ()
    default: str | None = None
    examples: Sequence[str] = ()
    location: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message(_Described):
    """A kind of message.

    Attributes:
        name: The handler that takes it, where a channel has several; None if it has one.
        payload: JSON Schema of the body, with its `$defs`; None if nothing is known of it.
        headers: JSON Schema of the headers, an object's.
        correlation_id: Where it stands (`$message.header#/correlation_id`).
    """

    name: str | None = None
    content_type: str | None = "application/json"
    payload: Mapping[str, Any] | None = None
    headers: Mapping[str, Any] | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel(_Described):
    """An address to which messages are sent, or from which they are received.

    Attributes:
        address: A template where it varies (`logs.{level}`), never a wildcard; None if it is known
            at run time only.
        handlers: Names of the functions at this end; the key is `address:Handler`, or
            `address:[One,Another]`.
        messages: The kinds that pass.
        parameters: More about placeholders; one without a description is listed all the same.
        servers: Where it exists; empty for all servers of the document.
    """

    address: str | None
    handlers: Sequence[str] = ()
    messages: Sequence[Message] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    servers: Sequence[Server] = ()

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.parameters) - set(self.placeholders)):
            raise DescriptorError(
                f"channel {self.address!r} describes the parameters {unknown}, which are not in its "
                f"address; it has {list(self.placeholders)}"
            )

    @property
    def placeholders(self) -> Sequence[str]:
        """Names in braces in the address, in order, each once."""
        return tuple(dict.fromkeys(_PLACEHOLDER.findall(self.address or "")))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What comes back, and where in the request stands the address to which it comes."""

    messages: Sequence[Message] = ()
    location: str = "$message.header#/reply_to"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation(_Described):
    """Sending all messages of a channel, or receiving them, from the application's side."""

    action: Literal["send", "receive"]
    channel: Channel
    reply: Reply | None = None
