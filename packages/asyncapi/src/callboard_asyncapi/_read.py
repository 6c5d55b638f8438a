"""What a document says, whichever generation it is of: what pages and comparisons are made from.

Documents are others' work. Whatever is missing or is no object is as if it were empty, references are
followed a limited number of times, and nothing outside of the document is loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from ._check import follow
from ._document import check_version
from ._errors import DocumentError
from ._plain import Json, is_array, is_object, step

Action = Literal["receive", "send"]
_MEANT: Final[Mapping[str, Action]] = {"publish": "receive", "subscribe": "send"}
_HOPS = 20  # of references to references: more of them are a circle
_AGAIN = re.compile(r"-\d+$")
_SCHEMAS = re.compile(r"asyncapi|schema\+(json|yaml)")


@dataclass(frozen=True)
class Kind:
    """A kind of message: what it says itself, with its traits, and its schemas.

    Attributes:
        key: Under which its channel or the components have it.
        said: The message as it stands in the document.
        payload: A JSON Schema, or whatever `format` says; None: nothing is said of it.
        headers: A JSON Schema.
        format: The media type of a payload that is no JSON Schema; otherwise nothing.
        content_type: Of its bodies.
    """

    key: str
    said: Json
    payload: Any
    headers: Any
    format: str
    content_type: str

    @property
    def title(self) -> str:
        """What people call it."""
        return str(self.said.get("title") or self.said.get("name") or self.key)


@dataclass(frozen=True)
class Answer:
    """What an operation is answered with, and where."""

    said: Json
    address: str
    kinds: Sequence[Kind]


@dataclass(frozen=True)
class Use:
    """An operation, said from the side of the application: what it receives and what it sends."""

    action: Action
    key: str
    said: Json
    kinds: Sequence[Kind]
    answer: Answer | None = None


@dataclass(frozen=True)
class Place:
    """A channel with its operations."""

    key: str
    address: str | None
    said: Json
    servers: Sequence[str]
    kinds: Sequence[Kind]
    uses: Sequence[Use]


class Reading:
    """Reads *document*, of AsyncAPI 2.6, 3.0 or 3.1.

    Raises:
        DocumentError: This is no AsyncAPI document.
        VersionError: It is of a version that is not known here.
    """

    def __init__(self, document: object) -> None:
        if not is_object(document) or not isinstance(version := document.get("asyncapi"), str):
            raise DocumentError("this is no AsyncAPI document: it has no `asyncapi: 3.0.0`")
        self.document = document
        self.version = version
        self.generation = check_version(version)

    def at(self, value: object) -> Json:
        """Return the object that *value* is or refers to; an empty one if it is none."""
        for _ in range(_HOPS):
            if not is_object(value):
                break
            reference = value.get("$ref")
            if not isinstance(reference, str):
                return dict(value)
            value = follow(self.document, reference) if reference.startswith("#") else None
        return {}

    def section(self, *path: str) -> Mapping[str, Any]:
        """Return the map at *path* of the document."""
        found: Any = self.document
        for each in path:
            found = objects(found).get(each)
        return objects(found)

    @cached_property
    def places(self) -> Sequence[Place]:
        """The channels, in their order."""
        channels = self.section("channels")
        if self.generation == 2:
            return [self._old_place(key, self.at(each)) for key, each in channels.items()]
        uses: dict[str, list[Use]] = {key: [] for key in channels}
        for key, each in self.section("operations").items():
            said = self._with_traits(self.at(each))
            uses.setdefault(self._channel(said), []).append(self._use(key, said))
        return [self._place(key, self.at(each), uses[key]) for key, each in channels.items()]

    def _place(self, key: str, said: Json, uses: Sequence[Use]) -> Place:
        address = said.get("address")
        servers = [_last(each) for each in array(said.get("servers"))]
        kinds = self._kinds(said)
        return Place(key, address if isinstance(address, str) else None, said, servers, kinds, uses)

    def _use(self, key: str, said: Json) -> Use:
        action: Action = "send" if said.get("action") == "send" else "receive"
        return Use(action, key, said, self._chosen(said), self._answer(said))

    def _answer(self, said: Json) -> Answer | None:
        if not (reply := self.at(said.get("reply"))):
            return None
        address = self.at(reply.get("address")).get("location")
        fixed = self.at(reply.get("channel")).get("address")
        return Answer(reply, str(address or fixed or ""), self._chosen(reply))

    def _channel(self, said: Json) -> str:
        """Return the key of the channel that an operation names; nothing if it names none."""
        return _last(said.get("channel"))

    def _chosen(self, end: Json) -> list[Kind]:
        """Return the messages of an operation or of a reply: those that it names, or all."""
        all_of_them = self._kinds(self.at(end.get("channel")))
        if not is_array(end.get("messages")):
            return all_of_them
        known = {each.key: each for each in all_of_them}
        named = [(_last(each), each) for each in array(end["messages"])]
        return [known.get(key) or self._kind(key, each) for key, each in named]

    def _kinds(self, channel: Json) -> list[Kind]:
        return [self._kind(key, each) for key, each in objects(channel.get("messages")).items()]

    def _kind(self, key: str, value: object) -> Kind:
        said = self._with_traits(self.at(value))
        payload, form = said.get("payload"), said.get("schemaFormat")
        if self.generation > 2 and is_object(payload):
            target = self.at(payload)
            if "schemaFormat" in target:
                payload, form = target.get("schema"), target["schemaFormat"]
        headers = said.get("headers")
        if self.generation > 2 and "schemaFormat" in (target := self.at(headers)):
            headers = target.get("schema")
        form = form if isinstance(form, str) and not _SCHEMAS.search(form) else ""
        default = self.document.get("defaultContentType")
        return Kind(
            key, said, payload, headers, form, str(said.get("contentType") or default or "")
        )

    def _old_place(self, key: str, said: Json) -> Place:
        uses = [
            self._old_use(key, _MEANT[each], self._with_traits(self.at(said[each])))
            for each in _MEANT
            if each in said
        ]
        servers = [str(each) for each in array(said.get("servers"))]
        return Place(key, self._address(key), said, servers, (), uses)

    def _old_use(self, channel: str, action: Action, said: Json) -> Use:
        key = str(said.get("operationId") or f"{action}:{channel}")
        message = self.at(said.get("message"))
        several = message.get("oneOf")
        found = several if is_array(several) else [said["message"]] if "message" in said else []
        return Use(action, key, said, [self._old_kind(each) for each in found])

    def _old_kind(self, value: object) -> Kind:
        said = self.at(value)
        return self._kind(str(said.get("messageId") or said.get("name") or _last(value)), value)

    def _address(self, key: str) -> str:
        """Return the address of a channel of version 2: its key, without the number of a twin."""
        plain = _AGAIN.sub("", key)
        return plain if plain in self.section("channels") else key

    def _with_traits(self, said: Json) -> Json:
        """Put in what the traits of a message or operation say.

        In version 2 they win over what is said itself (JSON Merge Patch), in version 3 they don't.
        """
        merged: Json = {}
        for each in array(said.get("traits")):
            merged = _merged(merged, self.at(each))
        return _merged(said, merged) if self.generation == 2 else _merged(merged, said)


def _merged(under: Json, over: Mapping[str, Any]) -> Json:
    result = dict(under)
    for name, value in over.items():
        below = result.get(name)
        result[name] = (
            _merged(dict(below), value) if is_object(value) and is_object(below) else value
        )
    return result


def _last(value: object) -> str:
    """Return the last step of the path to which *value* refers: the key of what stands there."""
    reference = objects(value).get("$ref")
    return step(reference.rpartition("/")[2]) if isinstance(reference, str) else ""


def objects(value: object) -> Mapping[str, Any]:
    """Return *value* if it is an object, else an empty one."""
    return value if is_object(value) else {}


def array(value: object) -> Sequence[Any]:
    """Return *value* if it is an array, else an empty one."""
    return value if is_array(value) else ()


def written(value: object) -> str:
    """Write *value* as JSON on one line; letters beyond ASCII stay readable."""
    return json.dumps(value, ensure_ascii=False, default=str)
