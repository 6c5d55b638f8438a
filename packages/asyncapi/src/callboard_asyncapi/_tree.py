"""A JSON Schema as a tree to read: what a field is called, which values it takes, what it is for.

Circles are cut, and so is what is deep or large: there a node only names the schema, which has a tree
of its own. Keywords for which there are no words are shown as they stand, so that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ._plain import Json, is_array, is_object, step
from ._read import Reading, array, objects, written

_SHOWN = 300  # nodes of one tree
_DEEP = 10  # levels
_SCHEMAS = "#/components/schemas"
_CHOICES = ("oneOf", "anyOf", "allOf")
_BESIDE = {"description", "default", "examples"}
# What is shown elsewhere, or says something to programs only.
_TOLD: Final = {
    "$id", "$ref", "$schema", "$comment", "title", "type", "properties", "required", "items",
    "additionalItems", "description", "additionalProperties", "patternProperties", "anyOf",
    "oneOf", "allOf", "enum", "const", "default", "examples", "example", "deprecated",
    "readOnly", "writeOnly", "discriminator", "definitions", "$defs", "uniqueItems", "nullable",
    "x-parser-schema-id",
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """A schema, at its place in a tree.

    Attributes:
        name: The field; nothing at the root.
        kind: `integer`, `array of string`, `one of` …
        notes: `required`, `deprecated`, `read only`, `write only`.
        description: Markdown.
        limits: Which of the values of that kind are taken.
        values: All that are taken, if they are listed.
        default: As JSON.
        examples: As JSON.
        rest: Other keywords, with their values as JSON.
        schema: The component that it is; nothing if it is none.
        cut: Whether what is inside is shown at that component only.
        children: What is inside.
    """

    name: str
    kind: str
    notes: Sequence[str] = ()
    description: str = ""
    limits: Sequence[str] = ()
    values: Sequence[str] = ()
    default: str = ""
    examples: Sequence[str] = ()
    rest: Sequence[tuple[str, str]] = ()
    schema: str = ""
    cut: bool = False
    children: Sequence[Node] = field(default=())

    @property
    def label(self) -> str:
        """What is said of its kind beside the name of its schema, which says `object` by itself."""
        return self.kind.removesuffix("object") if self.schema else self.kind

    @property
    def says_more(self) -> bool:
        """Whether more is to be said of it than what it is called and of which kind it is."""
        return bool(
            self.description or self.limits or self.values or self.default or self.examples
            or self.rest or self.children
        )  # fmt: skip


def tree(reading: Reading, schema: object, *, is_component: bool = False) -> Node:
    """Return the tree of *schema*. A component's own names what it refers to, and shows no more."""
    return _Grower(reading, follows=not is_component).node("", schema)


class _Grower:
    """One tree; knows how many nodes it has, and inside of which references it is."""

    def __init__(self, reading: Reading, *, follows: bool) -> None:
        self._reading = reading
        self._follows = follows
        self._left = _SHOWN
        self._depth = 0
        self._inside: list[str] = []

    def node(self, name: str, schema: object, *notes: str) -> Node:
        self._left -= 1
        if not is_object(schema):
            return Node(name, "nothing" if schema is False else "anything", notes)
        self._depth += 1
        reference = schema.get("$ref")
        if isinstance(reference, str):
            grown = self._named(name, reference, dict(schema), notes)
        else:
            grown = self._deep(name, dict(schema), notes)
        self._depth -= 1
        return grown

    def _named(self, name: str, reference: str, schema: Json, notes: Sequence[str]) -> Node:
        start, _, last = reference.rpartition("/")
        called = step(last)
        target = self._reading.at({"$ref": reference})
        known = called if start == _SCHEMAS and target else ""
        if not target:
            return Node(
                name, "anything" if reference.startswith("#") else reference, notes, schema=known
            )
        # Words beside a reference mean nothing in draft 7; people write them to be read.
        beside = {n: each for n, each in schema.items() if n in _BESIDE}
        simple = not {"properties", *_CHOICES} & target.keys()
        is_circle = reference in self._inside or self._depth > _DEEP
        if is_circle or self._left <= 0 or not (self._follows or simple):
            said = self._said(name, beside, notes)
            return replace(said, kind=_kind(target), schema=known or called, cut=True)
        self._inside.append(reference)
        grown = self._deep(name, {**target, **beside}, notes)
        self._inside.pop()
        return replace(grown, schema=known)

    def _deep(self, name: str, schema: Json, notes: Sequence[str]) -> Node:
        if self._depth > 3 * _DEEP:
            return self._said(name, schema, notes)
        variants, is_nullable = self._variants(schema)
        if len(variants) == 1 and "properties" not in schema:
            beside = {n: each for n, each in schema.items() if n not in _CHOICES}
            only = self.node(name, variants[0], *notes)
            said = self._said(name, beside, notes)
            return replace(
                only,
                kind=f"{only.kind} or null" if is_nullable else only.kind,
                description=said.description or only.description,
                default=said.default or only.default,
                examples=said.examples or only.examples,
                limits=[*only.limits, *said.limits],
            )
        schema = self._joined(schema)
        node = self._said(name, schema, notes)
        children = [*self._fields(schema), *self._others(schema), *self._choices(variants)]
        if variants:
            node = replace(node, kind=f"one of {len(variants)}{' or null' if is_nullable else ''}")
        return self._with_items(replace(node, children=children), schema)

    def _joined(self, schema: Json, depth: int = 0) -> Json:
        """Put together what must hold all at once: people read it as one."""
        parts = [self._reading.at(each) for each in array(schema.get("allOf"))]
        if not parts:
            return schema
        joined = {name: each for name, each in schema.items() if name != "allOf"}
        for part in parts:
            if depth < _DEEP:
                part = self._joined(part, depth + 1)  # noqa: PLW2901 - the same, put together
            fields = {**objects(part.get("properties")), **objects(joined.get("properties"))}
            needed = [*array(joined.get("required")), *array(part.get("required"))]
            joined = {**part, **joined} | ({"properties": fields} if fields else {})
            joined |= {"required": needed} if needed else {}
        return joined

    def _variants(self, schema: Json) -> tuple[list[Any], bool]:
        """Return what may hold, and whether null may; what alone must hold is like that."""
        found = [*array(schema.get("oneOf")), *array(schema.get("anyOf"))]
        parts = array(schema.get("allOf"))
        found += parts if len(parts) == 1 and not found else []
        real = [each for each in found if objects(each).get("type") != "null"]
        return real, len(real) < len(found)

    def _choices(self, variants: Sequence[Any]) -> Iterator[Node]:
        for each in variants:
            if self._left > 0:
                yield self.node("", each)

    def _fields(self, schema: Json) -> Iterator[Node]:
        required = array(schema.get("required"))
        for name, each in objects(schema.get("properties")).items():
            yield self.node(name, each, *(["required"] if name in required else []))

    def _others(self, schema: Json) -> Iterator[Node]:
        for pattern, each in objects(schema.get("patternProperties")).items():
            yield self.node(f"/{pattern}/", each)
        if is_object(rest := schema.get("additionalProperties")) and rest:
            yield self.node("any other name", rest)

    def _with_items(self, node: Node, schema: Json) -> Node:
        items = schema.get("items")
        if is_array(items):
            rest = schema.get("additionalItems")
            each = [self.node(str(n), item) for n, item in enumerate(items)]
            more = [self.node("each further one", rest)] if is_object(rest) else []
            return replace(node, children=[*node.children, *each, *more])
        if not is_object(items):
            return node
        item = self.node("each", items)
        kind = f"{node.kind} of {item.kind}"
        if item.cut:
            return replace(node, kind=kind, schema=item.schema, cut=True)
        if replace(item, children=()).says_more or not item.says_more:
            children = [item] if item.says_more else []
            return replace(node, kind=kind, children=[*node.children, *children])
        return replace(
            node, kind=kind, schema=item.schema, children=[*node.children, *item.children]
        )

    def _said(self, name: str, schema: Json, notes: Sequence[str]) -> Node:
        """Say of *schema* what it says itself."""
        values = [written(each) for each in array(schema.get("enum"))]
        if "const" in schema:
            values = [written(schema["const"])]
        flags = {"deprecated": "deprecated", "readOnly": "read only", "writeOnly": "write only"}
        examples = array(schema.get("examples")) or [schema[n] for n in ["example"] if n in schema]
        return Node(
            name,
            _kind(schema),
            [*notes, *(text for flag, text in flags.items() if schema.get(flag) is True)],
            str(schema.get("description") or ""),
            list(_limits(schema)),
            values,
            written(schema["default"]) if "default" in schema else "",
            [written(each) for each in examples],
            [(n, written(each)) for n, each in schema.items() if n not in _TOLD | _LIMITS.keys()],
        )


def _kind(schema: Json) -> str:
    said = schema.get("type")
    types = [str(each) for each in said] if is_array(said) else [str(said)] if said else []
    if not types:
        guesses = {"properties": "object", "items": "array", "enum": "one of", "const": "always"}
        types = [next((kind for word, kind in guesses.items() if word in schema), "anything")]
    if schema.get("nullable") is True:
        types.append("null")
    return " or ".join(types)


_LIMITS: Final = {
    "format": "{}", "minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}",
    "exclusiveMaximum": "< {}", "multipleOf": "multiple of {}", "pattern": "matches {}",
    "minLength": "length ≥ {}", "maxLength": "length ≤ {}", "minItems": "items ≥ {}",
    "maxItems": "items ≤ {}", "minProperties": "fields ≥ {}", "maxProperties": "fields ≤ {}",
}  # fmt: skip


def _limits(schema: Json) -> Iterator[str]:
    """Say which values are taken, in words."""
    for word, text in _LIMITS.items():
        if word in schema:
            value = schema[word]
            yield text.format(value if isinstance(value, str) else written(value))
    if schema.get("uniqueItems") is True:
        yield "no two alike"
    if schema.get("additionalProperties") is False:
        yield "no other fields"
    if discriminator := schema.get("discriminator"):
        told = objects(discriminator).get("propertyName", discriminator)
        yield f"told apart by {told}"
