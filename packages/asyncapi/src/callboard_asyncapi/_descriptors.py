"""What a document is made of, as plain records.

They carry fields of the AsyncAPI 3.0 object of the same name, in Python's spelling, and nothing that
the document works out for itself: references and components are not written by hand, and keys only by
those who want other ones. What is None or empty does not appear. Texts may be CommonMark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from ._bindings import Bindings
from ._errors import DescriptorError
from ._url import host_and_path

_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_-]+)\}")


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
    """What may be said of anything.

    *bindings* are particular to the protocol they are keyed by; or a record writes them, by the
    version of the document.
    """

    title: str | None = None
    summary: str | None = None
    description: str | None = None
    tags: Sequence[Tag] = ()
    external_docs: ExternalDocs | None = None
    bindings: Mapping[str, Any] | Bindings = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """A placeholder in the host or the path of a server."""

    description: str | None = None
    enum: Sequence[str] = ()
    default: str | None = None
    examples: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Server(_Described):
    """A server, or a cluster, that holds channels.

    Attributes:
        host: Name and port, never a user or a password.
        name: Its key; None for `development`, or for `Server1`, `Server2` if there are several.
        security: AsyncAPI security schemes by name (`{"user": {"type": "userPassword"}}`), of which
            one is enough.
        variables: More about placeholders of host and path; one without is listed all the same.
    """

    host: str
    protocol: str
    name: str | None = None
    protocol_version: str | None = None
    pathname: str | None = None
    security: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    variables: Mapping[str, Variable] = field(default_factory=dict[str, Variable])

    def __post_init__(self) -> None:
        if "@" in self.host:  # not shown here either: what stands before it is a secret
            raise DescriptorError(
                "a server's host has an '@'; give Server.from_url() the whole URL"
            )
        if unknown := sorted(set(self.variables) - set(self.placeholders)):
            raise DescriptorError(
                f"the server {self.host!r} describes the variables {unknown}, which are not in its"
                f" host or path; it has {list(self.placeholders)}"
            )

    @property
    def placeholders(self) -> Sequence[str]:
        """Names in braces in host and path, in order, each once."""
        return placeholders(f"{self.host}{self.pathname or ''}")

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
class MessageExample:
    """A message as it may look; of *payload* and *headers* at least one is given."""

    name: str | None = None
    summary: str | None = None
    headers: Mapping[str, Any] | None = None
    payload: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message(_Described):
    """A kind of message.

    Attributes:
        name: What it is called in its channel; its key is `channel:Name`.
        content_type: None: as the document says for all.
        payload: JSON Schema of the body, with its `$defs`; several, of which the body has one; None
            if nothing is known of it.
        headers: JSON Schema of the headers, an object's.
        correlation_id: Where it stands (`$message.header#/correlation_id`).
    """

    name: str = "Message"
    content_type: str | None = None
    payload: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    headers: Mapping[str, Any] | None = None
    correlation_id: str | None = None
    examples: Sequence[MessageExample] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel(_Described):
    """An address to which messages are sent, or from which they are received.

    Attributes:
        address: A template where it varies (`logs.{level}`), never a wildcard; None if it is known
            at run time only.
        key: What the document calls it; None: as its address.
        messages: The kinds that pass.
        parameters: More about placeholders; one without a description is listed all the same.
        servers: Where it exists; empty for all servers of the document.
    """

    address: str | None
    key: str | None = None
    messages: Sequence[Message] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    servers: Sequence[Server] = ()

    def __post_init__(self) -> None:
        if set("{}") & set(_PLACEHOLDER.sub("", self.address or "")):
            raise DescriptorError(
                f"channel {self.address!r} has braces around what is no name; give letters, digits,"
                " '_' and '-', or address=None with a description"
            )
        if unknown := sorted(set(self.parameters) - set(self.placeholders)):
            raise DescriptorError(
                f"channel {self.address!r} describes the parameters {unknown}, which are not in its "
                f"address; it has {list(self.placeholders)}"
            )

    @property
    def placeholders(self) -> Sequence[str]:
        """Names in braces in the address, in order, each once."""
        return placeholders(self.address or "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What comes back, and where in the request stands the address to which it comes."""

    messages: Sequence[Message] = ()
    location: str = "$message.header#/reply_to"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation(_Described):
    """Sending all messages of a channel, or receiving them, from the application's side.

    Its *key* is by default that of the channel, and `Subscribe` if it receives.
    """

    action: Literal["send", "receive"]
    channel: Channel
    key: str | None = None
    reply: Reply | None = None


def placeholders(text: str) -> Sequence[str]:
    """Return the names in braces in *text*, in order, each once."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))
