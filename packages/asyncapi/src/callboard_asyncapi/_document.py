"""Puts descriptors together: keys, references, components.

Everything stands in the order in which it was given, so that two runs of a program give the same
text, and a change of the program shows in that place only. Equal entries that want the same key are
one entry; different ones get `-2`, `-3`, in order.

The two generations of AsyncAPI hold the same in other places. In version 3 a channel has messages, and
operations refer to both. In version 2 a channel has up to two operations, said from the side of those
who use the application (what it receives, they `publish`), and a message belongs to an operation; it
has no titles of channels, no replies, and no channel without an address.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ._descriptors import (
    Channel,
    Info,
    Message,
    Operation,
    Parameter,
    Reply,
    Server,
    Variable,
    placeholders,
)
from ._errors import VersionError
from ._plain import Json, Section, camel, is_object, key, plain, ref, spoken
from ._schemas import Schemas

VERSIONS = ("3.0.0", "3.1.0", "2.6.0")
_USED = {"receive": "publish", "send": "subscribe"}


def document(  # noqa: PLR0913 - the sections, and two words on the whole
    info: Info,
    servers: Sequence[Server] = (),
    channels: Sequence[Channel] = (),
    operations: Sequence[Operation] = (),
    *,
    version: str = "3.0.0",
    default_content_type: str | None = "application/json",
) -> Json:
    """Describe an application as an AsyncAPI document of *version*.

    What is listed comes first; servers that only a channel names, and channels that only an operation
    names, follow. The result is new at each call, and the caller's own.

    Raises:
        VersionError: It is none of 3.0, 3.1 and 2.6.
        DescriptorError: A schema refers to a definition that it does not have.
    """
    generation = check_version(version)
    channels = [*channels, *(each.channel for each in operations)]
    servers = [*servers, *(server for each in channels for server in each.servers)]
    builder = _Three(servers) if generation > 2 else _Two(servers)
    for channel in channels:
        builder.channel(channel)
    for operation in operations:
        builder.operation(operation)
    apart = () if generation > 2 else ("tags", "external_docs")
    about = {
        "asyncapi": version,
        "defaultContentType": default_content_type,
        "id": info.identifier,
        "info": plain(info, "identifier", *apart),
        **{camel(each): plain(getattr(info, each)) for each in apart},
    }
    return spoken(about) | builder.sections()


def check_version(version: str) -> int:
    """Return the generation of *version*, 2 or 3.

    Raises:
        VersionError: It is none of 3.0, 3.1 and 2.6.
    """
    if not version.startswith(("3.0", "3.1", "2.6")):
        raise VersionError(
            f"no document of AsyncAPI {version!r} can be written; give one of {', '.join(VERSIONS)}"
        )
    return int(version[0])


class _Builder(ABC):
    """The document so far. What is added a second time is found again, under its first key."""

    generation: int

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers: Section[Json] = Section()
        self._channels: Section[Json] = Section()
        self._messages: Section[Json] = Section()
        self._schemes: Section[Json] = Section()
        self._schemas = Schemas()
        self._placed = self._place(servers)

    def sections(self) -> Json:
        """Lay out all but the head of the document."""
        schemes = {"securitySchemes": self._schemes.entries} if self._schemes.entries else {}
        return {
            "servers": self._servers.entries,
            "channels": self._channels.entries,
            **self._own(),
            "components": {
                "messages": self._kinds(),
                "schemas": self._schemas.entries,
                **schemes,
            },
        }

    def _kinds(self) -> Json:
        return self._messages.entries

    @abstractmethod
    def channel(self, channel: Channel) -> str | None:
        """Return the key of *channel*; None: a document of this version can't have it."""

    @abstractmethod
    def operation(self, operation: Operation) -> None:
        """Add *operation* and, before it, its channel."""

    def _own(self) -> Json:
        """Return the sections that only this version has."""
        return {}

    @abstractmethod
    def _server(self, server: Server) -> Json: ...

    def _about(self, described: Any, *without: str) -> Json:
        """Say of *described* what is said the same way in every version, and its bindings."""
        about: Json = plain(described, "bindings", *without)
        return about | spoken({"bindings": self._bindings(described)})

    def _bindings(self, described: Any) -> Any:
        bindings: Any = described.bindings
        return plain(bindings if is_object(bindings) else bindings.written(self.generation))

    def _message(self, message: Message, channel: str) -> Json:
        """Return a reference to *message*, which is one of the components."""
        wanted = f"{channel}:{key(message.name)}"
        payload = message.payload
        entry = self._about(message, "name", "correlation_id", "headers", "payload")
        entry = {"title": wanted, **entry}
        if message.correlation_id:
            entry["correlationId"] = {"location": message.correlation_id}
        if message.headers is not None:
            entry["headers"] = self._schemas.add(message.headers, f"{wanted}:Headers")
        if isinstance(payload, Mapping):
            entry["payload"] = self._schemas.add(payload, f"{wanted}:Payload")
        elif payload is not None:
            found = [self._schemas.add(each, f"{wanted}:Payload") for each in payload]
            entry["payload"] = {"oneOf": [e for n, e in enumerate(found) if e not in found[:n]]}
        return ref("components", "messages", self._component(wanted, entry))

    def _component(self, wanted: str, message: Json) -> str:
        return self._messages.add(wanted, message)

    def _on(self, channel: Channel) -> Sequence[str]:
        """Name the servers of *channel*."""
        return [each for server, each in self._placed if server in channel.servers]

    def _place(self, servers: Sequence[Server]) -> Sequence[tuple[Server, str]]:
        unique = [server for n, server in enumerate(servers) if server not in servers[:n]]
        default = "Server{}" if len(unique) > 1 else "development"
        names = [server.name or default.format(n) for n, server in enumerate(unique, 1)]
        return [
            (server, self._servers.add(key(name), self._server(server)))
            for server, name in zip(unique, names, strict=True)
        ]

    def _variables(self, server: Server) -> Json:
        said: Json = plain(
            {each: Variable() for each in server.placeholders} | dict(server.variables)
        )
        return said

    def _secured(self, server: Server) -> Sequence[str]:
        return [self._schemes.add(key(n), plain(each)) for n, each in server.security.items()]


class _Three(_Builder):
    generation = 3

    def __init__(self, servers: Sequence[Server]) -> None:
        super().__init__(servers)
        self._operations: Section[Json] = Section()

    def _own(self) -> Json:
        return {"operations": self._operations.entries}

    def channel(self, channel: Channel) -> str:
        name = key(channel.address or "unknown" if channel.key is None else channel.key)
        messages: Section[Json] = Section()
        for message in channel.messages:
            messages.add(key(message.name), self._message(message, name))
        parameters = {each: Parameter() for each in channel.placeholders} | dict(channel.parameters)
        details: Json = {
            "servers": [ref("servers", each) for each in self._on(channel)],
            "parameters": plain(parameters),
            "messages": messages.entries,
        }
        about = self._about(channel, "address", "key", *details)
        return self._channels.add(name, {"address": channel.address} | about | spoken(details))

    def operation(self, operation: Operation) -> None:
        place = self.channel(operation.channel)
        reply = operation.reply and self._reply(operation.reply, place)
        about = self._about(operation, "action", "channel", "key", "reply")
        entry = {"action": operation.action, **self._end(place), **about, "reply": reply}
        self._operations.add(_named(operation, place), spoken(entry))

    def _reply(self, reply: Reply, request: str) -> Json:
        place = self.channel(Channel(address=None, key=f"{request}:Reply", messages=reply.messages))
        return {"address": {"location": reply.location}, **self._end(place)}

    def _end(self, place: str) -> Json:
        """Refer to a channel and its messages, as the channel (not the components) has them."""
        ids = self._channels.entries[place].get("messages", {})
        messages = [ref("channels", place, "messages", each) for each in ids]
        return {"channel": ref("channels", place), "messages": messages}

    def _server(self, server: Server) -> Json:
        security = [ref("components", "securitySchemes", each) for each in self._secured(server)]
        details = {"security": security, "variables": self._variables(server)}
        return self._about(server, "name", *details) | spoken(details)


class _Two(_Builder):
    generation = 2

    def __init__(self, servers: Sequence[Server]) -> None:
        super().__init__(servers)
        self._operations: Section[Operation] = Section()
        self._known: list[Operation] = []

    def channel(self, channel: Channel) -> str | None:
        name = channel.address if channel.key is None else channel.key
        return None if name is None else self._placed_at(name, channel, {})

    def operation(self, operation: Operation) -> None:
        channel = operation.channel
        name = channel.address if channel.key is None else channel.key
        if name is None or operation in self._known:
            return
        self._known.append(operation)
        component = key(name)
        messages = [self._message(each, component) for each in channel.messages]
        entry: Json = {
            **self._about(operation, "action", "channel", "key", "reply", "title"),
            "message": messages[0] if len(messages) == 1 else spoken({"oneOf": messages}),
        }
        entry = {
            "operationId": self._operations.add(_named(operation, component), operation),
            **entry,
        }
        self._placed_at(name, channel, {_USED[operation.action]: spoken(entry)})

    def _component(self, wanted: str, message: Json) -> str:
        # Ids of messages are unique among operations too: none is shared, even if it is equal.
        free = next(each for each in Section.keys(wanted) if each not in self._messages.entries)
        return self._messages.add(free, message)

    def _kinds(self) -> Json:
        return {n: {"messageId": n, **entry} for n, entry in self._messages.entries.items()}

    def _placed_at(self, name: str, channel: Channel, use: Json) -> str:
        """Give the key of *channel* in this *use*; used otherwise already, it gets another one."""
        about = self._item(name, channel)
        entries = self._channels.entries
        for each in self._channels.keys(key(name, slash="/")):
            item = entries.setdefault(each, dict(about))
            rest = {n: value for n, value in item.items() if n not in _USED.values()}
            if rest == about and all(item.get(n, entry) == entry for n, entry in use.items()):
                item |= use
                return each
        raise AssertionError("there is no end of keys")

    def _item(self, name: str, channel: Channel) -> Json:
        parameters = [(n, channel.parameters.get(n, Parameter())) for n in placeholders(name)]
        return spoken(
            {
                "description": channel.description,
                "servers": self._on(channel),
                "parameters": {n: _parameter(each) for n, each in parameters},
                "bindings": self._bindings(channel),
            }
        )

    def _server(self, server: Server) -> Json:
        details: Json = {
            "url": f"{server.protocol}://{server.host}{server.pathname or ''}",
            "variables": self._variables(server),
            "security": [{each: []} for each in self._secured(server)],
        }
        without = ("name", "host", "pathname", "title", "summary", "external_docs")
        return spoken(details) | self._about(server, *without, *details)


def _parameter(parameter: Parameter) -> Json:
    """Write what version 2 says by a schema."""
    schema = plain(parameter, "description", "location")
    said = plain(parameter, "enum", "default", "examples")
    return {**said, "schema": {"type": "string", **schema}}


def _named(operation: Operation, place: str) -> str:
    """Return the key that *operation* wants, at the channel *place*."""
    suffix = "Subscribe" if operation.action == "receive" else ""
    return key(f"{place}{suffix}" if operation.key is None else operation.key)
