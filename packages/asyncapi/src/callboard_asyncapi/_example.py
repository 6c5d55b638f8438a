"""A value that a schema might take, where its author has given no example."""

from __future__ import annotations

from typing import Any, Final

from ._plain import Json, is_array, is_object
from ._read import Reading, array, objects

_DEEP = 6
_LARGE = 200
_LONG = 200
_TEXTS: Final = {
    "date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31", "time": "12:00:00Z", "duration": "PT1H",
    "email": "ann@example.com", "hostname": "example.com", "uri": "https://example.com",
    "uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
}  # fmt: skip


def example(reading: Reading, schema: object) -> Any:
    """Return a value that *schema* might take: its own example if it has one, else a plain one.

    What is deep or large ends in empty objects and lists, so that circles end too.
    """
    return _Maker(reading).value(schema)


class _Maker:
    """One example; knows how deep it is, and how much it has made."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._depth = 0
        self._left = _LARGE

    def value(self, schema: object) -> Any:
        if not is_object(schema):
            return None
        known = self._reading.at(schema)
        for word in ("examples", "enum"):
            if found := array(known.get(word)):
                return found[0]
        for word in ("example", "const", "default"):
            if word in known:
                return known[word]
        self._depth += 1
        self._left -= 1
        made = self._made(known)
        self._depth -= 1
        return made

    def _made(self, schema: Json) -> Any:
        variants = [*array(schema.get("oneOf")), *array(schema.get("anyOf"))]
        is_over = self._depth > _DEEP or self._left < 0
        if variants and "properties" not in schema:
            return None if is_over else self.value(variants[0])
        kind = _kind(schema)
        if kind == "object" or "properties" in schema or "allOf" in schema:
            return {} if is_over else self._object(schema)
        if kind == "array":
            items = schema.get("items")
            several = items if is_array(items) else [items] if is_object(items) else []
            return [] if is_over else [self.value(each) for each in several]
        return _number(schema) if kind in {"integer", "number"} else _scalar(kind, schema)

    def _object(self, schema: Json) -> Json:
        made: Json = {}
        for part in array(schema.get("allOf")):
            made |= objects(self.value(part))
        fields = objects(schema.get("properties"))
        return made | {name: self.value(each) for name, each in fields.items()}


def _kind(schema: Json) -> str:
    said = schema.get("type")
    if is_array(said):
        said = next((each for each in said if each != "null"), None)
    return str(said)


def _number(schema: Json) -> float:
    least: Any = schema.get("minimum", schema.get("exclusiveMinimum"))
    most: Any = schema.get("maximum", 1)
    if isinstance(least, int | float):
        return least if "minimum" in schema else least + 1
    return most if isinstance(most, int | float) and most < 1 else 1


def _scalar(kind: str, schema: Json) -> Any:
    if kind != "string":
        return True if kind == "boolean" else None
    text = _TEXTS.get(str(schema.get("format")), "string")
    least = schema.get("minLength")
    return text.ljust(least, "x") if isinstance(least, int) and least < _LONG else text
