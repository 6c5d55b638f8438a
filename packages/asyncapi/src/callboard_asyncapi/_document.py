"""Puts descriptors together: keys, references, components.

Everything stands in the order in which it was given, so that two runs of a program give the same
text, and a change of the program shows in that place only. Equal entries that want the same key are
one entry; different ones get `-2`, `-3`, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ._descriptors import Channel, Info, Message, Operation, Parameter, Reply, Server
from ._plain import Json, Section, class_name, key, plain, ref, spoken
from ._schemas import Schemas


def document(
    info: Info,
    servers: Sequence[Server] = (),
    channels: Sequence[Channel] = (),
    operations: Sequence[Operation] = (),
) -> Json:
    """Describe an application as an AsyncAPI 3.0 document.

    What is listed comes first; servers that only a channel names, and channels that only an operation
    names, follow. The result is new at each call, and the caller's own.

    Raises:
        DescriptorError: A schema refers to a definition that it does not have.
    """
    channels = [*channels, *(each.channel for each in operations)]
    builder = _Builder([*servers, *(server for each in channels for server in each.servers)])
    for channel in channels:
        builder.channel(channel, _Name.of(channel))
    for operation in operations:
        builder.operation(operation)
    about = {"asyncapi": "3.0.0", "id": info.identifier, "info": plain(info, "identifier")}
    return spoken(about) | builder.sections()


@dataclass(frozen=True, slots=True)
class _Name:
    """What a channel would like to be called; its messages' keys follow from it."""

    base: str
    label: str

    @classmethod
    def of(cls, channel: Channel) -> Self:
        handlers = [class_name(each) for each in channel.handlers]
        label = f"[{','.join(handlers)}]" if len(handlers) > 1 else "".join(handlers)
        return cls(key(channel.address or "unknown"), label)

    def __str__(self) -> str:
        return f"{self.base}:{self.label}" if self.label else self.base

    def message(self, message: Message) -> str:
        label = class_name(message.name) if message.name else self.label
        return f"{_Name(self.base, label)}:Message"


class _Builder:
    """The document so far. What is added a second time is found again, under its first key."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers: Section[Json] = Section()
        self._channels: Section[Json] = Section()
        self._operations: Section[Json] = Section()
        self._messages: Section[Json] = Section()
        self._schemas = Schemas()
        self._placed = self._place(servers)

    def sections(self) -> Json:
        """Lay out all but the head of the document."""
        messages, schemas = self._messages.entries, self._schemas.entries
        return {
            "servers": self._servers.entries,
            "channels": self._channels.entries,
            "operations": self._operations.entries,
            "components": {"messages": messages, "schemas": schemas},
        }

    def channel(self, channel: Channel, name: _Name) -> str:
        """Give the key of *channel*."""
        messages: Section[Json] = Section()
        for message in channel.messages:
            messages.add(class_name(message.name or "Message"), self._message(message, name))
        described = {each: Parameter() for each in channel.placeholders} | dict(channel.parameters)
        servers = [each for server, each in self._placed if server in channel.servers]
        details: Json = {
            "servers": [ref("servers", each) for each in servers],
            "parameters": plain(described),
            "messages": messages.entries,
        }
        about = plain(channel, "address", "handlers", *details)
        return self._channels.add(str(name), {"address": channel.address} | about | spoken(details))

    def operation(self, operation: Operation) -> None:
        """Add *operation* and, before it, its channel."""
        place = self.channel(operation.channel, _Name.of(operation.channel))
        about = plain(operation, "action", "channel", "reply")
        reply = operation.reply and self._reply(operation.reply, place)
        entry: Json = {"action": operation.action, **self._end(place), **about, "reply": reply}
        self._operations.add(f"{place}:{operation.action.title()}", spoken(entry))

    def _reply(self, reply: Reply, request: str) -> Json:
        channel = Channel(address=None, messages=reply.messages)
        place = self.channel(channel, _Name(request, "Reply"))
        return {"address": {"location": reply.location}, **self._end(place)}

    def _end(self, place: str) -> Json:
        """Refer to a channel and its messages, as the channel (not the components) has them."""
        ids = self._channels.entries[place].get("messages", {})
        messages = [ref("channels", place, "messages", each) for each in ids]
        return {"channel": ref("channels", place), "messages": messages}

    def _message(self, message: Message, name: _Name) -> Json:
        wanted = name.message(message)
        entry: Json = plain(message, "name", "correlation_id")
        if message.correlation_id:
            entry["correlationId"] = {"location": message.correlation_id}
        for each, schema in (("headers", message.headers), ("payload", message.payload)):
            if schema is not None:
                entry[each] = self._schemas.add(schema, f"{wanted}:{each.title()}")
        return ref("components", "messages", self._messages.add(wanted, entry))

    def _place(self, servers: Sequence[Server]) -> Sequence[tuple[Server, str]]:
        unique = [server for n, server in enumerate(servers) if server not in servers[:n]]
        default = "Server{}" if len(unique) > 1 else "development"
        names = [server.name or default.format(n) for n, server in enumerate(unique, 1)]
        return [
            (server, self._servers.add(name, plain(server, "name")))
            for server, name in zip(unique, names, strict=True)
        ]
