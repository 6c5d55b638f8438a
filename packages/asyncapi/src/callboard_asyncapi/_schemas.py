"""Moves schemas with their definitions to `components/schemas`.

A schema arrives as pydantic and msgspec make it: complete, with its own `$defs`. In a document the
definitions of all schemas stand side by side, so each needs a key of its own, and every `$ref` must
follow. Whether two definitions of one name are the same cannot be seen on the rewritten text (it
depends on the keys, and definitions may be recursive); so they are compared by a *fingerprint* of the
original, together with all that it refers to.

AsyncAPI's schemas are JSON Schema draft 7, in which `prefixItems` was `items`, and `discriminator` is
a property's name: both are translated. Other keywords of later drafts mean nothing to readers of the
document, but do no harm.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._errors import DescriptorError
from ._plain import Json, Section, is_array, is_object, key, plain, ref, step

_ROOT = ""  # of a schema, among its definitions
_DEFINITION = re.compile(r"^#/(?:\$|%24)defs/([^/]+)")
# Under these, keys are names that a user gave, not keywords …
_BY_NAME = {"$defs", "definitions", "properties", "patternProperties", "dependentSchemas"}
# … and under these stand values, in which "$ref" would mean nothing.
_VALUES = {"const", "default", "enum", "example", "examples"}


class Schemas:
    """The schemas of a document, in order of arrival, equal ones merged."""

    def __init__(self) -> None:
        self.entries: Json = {}
        self._keys: Section[str] = Section()

    def add(self, schema: Mapping[str, Any], wanted: str) -> Json:
        """Take in *schema* and all that it refers to, and give a reference to it.

        Its key is its title, or *wanted* if it has none.

        Raises:
            DescriptorError: It refers to something that is not among its definitions.
        """
        root: Json = plain(schema)
        parts: Json = {_ROOT: root, **root.pop("$defs", {})}
        links = {name: _links(part, parts) for name, part in parts.items()}
        # The schema of a recursive type is nothing but a reference to a definition.
        start = links[_ROOT][0] if root.keys() == {"$ref"} else _ROOT
        title = str(root.get("title", wanted))
        keys = {
            name: self._keys.add(key(name or title), _fingerprint(name, parts, links))
            for name in _reachable(start, links)
        }
        for name, given in keys.items():
            self.entries.setdefault(given, _rewrite(parts[name], keys.__getitem__))
        return _ref(keys[start])


def _links(part: Json, parts: Json) -> Sequence[str]:
    """Name the definitions that *part* refers to."""
    links: list[str] = []

    def note(name: str) -> str:
        links.append(name)
        return name

    _rewrite(part, note)
    if missing := [name for name in links if name not in parts]:
        raise DescriptorError(f"a schema refers to {missing}; its $defs are {list(parts)[1:]}")
    return links


def _reachable(start: str, links: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Name *start* and all that it refers to, directly or not, the near ones first."""
    found = [start]
    for name in found:  # which grows meanwhile
        found += [each for each in dict.fromkeys(links[name]) if each not in found]
    return found


def _fingerprint(name: str, parts: Json, links: Mapping[str, Sequence[str]]) -> str:
    _, *others = _reachable(name, links)
    return json.dumps([parts[name], {each: parts[each] for each in others}], sort_keys=True)


def _rewrite(schema: Any, rename: Callable[[str], str]) -> Any:
    """Copy a schema in the words of draft 7, with the definitions that it refers to renamed."""
    if is_array(schema):
        return [_rewrite(each, rename) for each in schema]
    if is_object(schema):
        return {name: _keyword(name, each, rename) for name, each in _draft_7(schema).items()}
    return schema


def _keyword(name: str, value: Any, rename: Callable[[str], str]) -> Any:
    if name == "$ref":
        return _DEFINITION.sub(lambda found: _ref(rename(step(found[1])))["$ref"], value)
    if name in _VALUES:
        return value
    if name in _BY_NAME:
        return {each: _rewrite(schema, rename) for each, schema in value.items()}
    return _rewrite(value, rename)


def _ref(key: str) -> Json:
    return ref("components", "schemas", key)


def _draft_7(schema: Mapping[str, Any]) -> Json:
    words = dict(schema)
    if "prefixItems" in words:
        rest = {"additionalItems": words.pop("items")} if "items" in words else {}
        words |= {"items": words.pop("prefixItems"), **rest}
    if is_object(discriminator := words.get("discriminator")):
        words["discriminator"] = discriminator["propertyName"]
    return words
