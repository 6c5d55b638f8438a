"""What spans and metrics are called, and what they always say: by the conventions of one version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.util.types import AttributeValue

from callboard.instruments import Output, Place
from callboard.opentelemetry._systems import Attributes, System
from callboard_brokers import Message

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""Where the conventions are written down by which spans and metrics are named."""
NAME: Final = "messaging.destination.name"
TEMPLATE: Final = "messaging.destination.template"
MOST: Final = 1000
"""How many addresses that are published to are called by their names; later ones have none."""
_NOT_MEASURED: Final = frozenset({"messaging.operation.type", "callboard.subscriber"})


class Called:
    """A place, as it is called where one thing is done with its messages.

    Attributes:
        span: The name of the spans.
        attributes: What each of them says.
        measured: What metrics say.
    """

    __slots__ = ("attributes", "measured", "span")

    def __init__(self, verb: str, common: Attributes, name: str | None, kind: str = NAME) -> None:
        self.span = verb if name is None else f"{verb} {name}"
        self.attributes: Attributes = common if name is None else {**common, kind: name}
        self.measured: Attributes = {
            key: value for key, value in self.attributes.items() if key not in _NOT_MEASURED
        }


class Received:
    """Tells how the places are called that the messages of a subscriber were sent to."""

    def __init__(
        self, system: System, place: Place, verb: str = "process", kind: str = "process"
    ) -> None:
        said: Attributes = system.readers(place.source)
        if place.subscriber is not None:
            said = {**said, "callboard.subscriber": place.subscriber}
        common = {**common_of(system, place, verb, kind), **said}
        names = system.reads(place.source)
        self._known = {name: Called(verb, common, name) for name in names}
        self._other = Called(verb, common, ",".join(names), TEMPLATE)
        self._came_to = system.came_to
        self._source = place.source

    def of(self, message: Message) -> Called:
        """Return how it is called where *message* was sent to: by a template, if it has one."""
        return self._known.get(self._came_to(self._source, message), self._other)

    def name_of(self, message: Message) -> str:
        """Return the name itself, of which there may be many."""
        return self._came_to(self._source, message)


class Sent:
    """Tells how the places are called that are published to."""

    def __init__(self, system: System, place: Place, verb: str, kind: str) -> None:
        self._writes = system.writes
        self._verb = verb
        self._common = common_of(system, place, verb, kind)
        self._known = dict[str, Called]()
        self._other = Called(verb, self._common, None)

    def of(self, output: Output) -> Called:
        """Return how it is called where *output* goes; an answer has a place of its own."""
        if output.kind == "answer":
            return self._other
        name = self._writes(output.target)
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= MOST:
                return self._other
            known = self._known[name] = Called(self._verb, self._common, name)
        return known

    def name_of(self, output: Output) -> str:
        """Return the name itself, of which there may be many."""
        return self._writes(output.target)


def common_of(system: System, place: Place, verb: str, kind: str) -> dict[str, AttributeValue]:
    """Return what all say that is done at *place*: *verb* is our word, *kind* that of the conventions."""
    return {
        "messaging.system": system.name,
        "messaging.operation.name": verb,
        "messaging.operation.type": kind,
        **_server(place.server),
    }


def _server(url: str) -> Mapping[str, AttributeValue]:
    try:
        server = urlsplit(url if "://" in url else f"//{url}")
        host, port = server.hostname, server.port
    except ValueError:
        return {}
    said = {"server.address": host, "server.port": port}
    return {name: value for name, value in said.items() if value is not None}
