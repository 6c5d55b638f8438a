"""What two JSON Schemas take that the other does not: whether a new one takes fewer values, or more.

Fewer hurts those who write what is read by it, more those who read what is written by it; which of the
two it is, is not known here. Said is what can be seen keyword by keyword: of keywords that combine others
(`not`, `if`) only that they have changed, which counts as both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ._plain import Json, is_array, is_object, step
from ._read import Reading, array, objects, written

Schema: TypeAlias = Mapping[str, Any]
_DEEP = 40
_JOINED = 8
_LONG = 60
# Which way they count, of what, and their words: the second leaves out the bound itself.
_BOUNDS: Final = (
    (1, "", "minimum", "exclusiveMinimum"), (-1, "", "maximum", "exclusiveMaximum"),
    (1, " characters", "minLength"), (-1, " characters", "maxLength"), (1, " items", "minItems"),
    (-1, " items", "maxItems"), (1, " fields", "minProperties"), (-1, " fields", "maxProperties"),
)  # fmt: skip
_SIGNS: Final = {(1, 0): "≥", (1, 1): ">", (-1, 0): "≤", (-1, 1): "<"}
_ANNOTATIONS: Final = frozenset({
    "$comment", "$id", "$name", "$schema", "title", "description", "default", "example", "examples",
    "deprecated", "discriminator", "readOnly", "writeOnly", "nullable",
})  # fmt: skip
_COMPARED: Final = _ANNOTATIONS | {
    "type", "enum", "const", "properties", "required", "additionalProperties", "items", "additionalItems",
    *(word for _, _, *words in _BOUNDS for word in words),
}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """What is taken otherwise, and where in the schema.

    Attributes:
        where: As in `.items[].price`; nothing at the root.
        text: What has changed.
        fewer: Whether something was taken that is not any more.
        more: Whether something is taken that was not.
    """

    where: str
    text: str
    fewer: bool = False
    more: bool = False


def differences(
    old: Reading, old_schema: object, new: Reading, new_schema: object
) -> Iterator[Difference]:
    """Yield what *new_schema* takes otherwise than *old_schema*, each of its document."""
    return _Pair(old, new).compared("", old_schema, new_schema, 0)


class _Pair:
    """Two documents; remembers which of their schemas it has compared, so that circles end."""

    def __init__(self, old: Reading, new: Reading) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[str, str]] = set()

    def compared(self, where: str, old: object, new: object, depth: int) -> Iterator[Difference]:
        pair = _reference(old), _reference(new)
        if depth > _DEEP or pair in self._seen:
            return
        if all(pair):
            self._seen.add(pair)
        before, after = _choices(self._old, old), _choices(self._new, new)
        matched = _matched(before, after)
        for n, m in matched:
            yield from self._plain(where, before[n], after[m], depth + 1)
        gone = [each for n, each in enumerate(before) if n not in {n for n, _ in matched}]
        come = [each for m, each in enumerate(after) if m not in {m for _, m in matched}]
        gone = [each for each in gone if not _covered(each, after)]
        come = [each for each in come if not _covered(each, before)]
        if gone and come and not matched:
            text = f"{_names(gone)} became {_names(come)}"
            yield Difference(where, text, fewer=True, more=True)
            return
        if gone:
            yield Difference(where, f"{_names(gone)} is no longer taken", fewer=True)
        if come:
            yield Difference(where, f"{_names(come)} is taken, too", more=True)

    def _plain(self, where: str, old: Schema, new: Schema, depth: int) -> Iterator[Difference]:
        """Compare two schemas of one type."""
        yield from _types(where, old, new)
        yield from _values(where, old, new)
        yield from _bounds(where, old, new)
        yield from _rules(where, old, new)
        yield from self._fields(where, old, new, depth)
        yield from self._items(where, old, new, depth)

    def _fields(self, where: str, old: Schema, new: Schema, depth: int) -> Iterator[Difference]:
        before, after = objects(old.get("properties")), objects(new.get("properties"))
        needed = {each for each in array(old.get("required")) if isinstance(each, str)}
        needs = {each for each in array(new.get("required")) if isinstance(each, str)}
        for name in dict.fromkeys([*before, *after, *sorted(needed), *sorted(needs)]):
            at = f"{where}.{name}"
            if name in before and name in after:
                yield from self.compared(at, before[name], after[name], depth)
            yield from _field(at, name, (old, before, needed), (new, after, needs))
        yield from self._others(where, old, new, depth)

    def _others(self, where: str, old: Schema, new: Schema, depth: int) -> Iterator[Difference]:
        before, after = (each.get("additionalProperties", True) for each in (old, new))
        if is_object(before) and is_object(after):
            yield from self.compared(f"{where}.*", before, after, depth)
        elif before != after and not (_open(before) and _open(after)):
            fewer, more = _open(before) or after is False, _open(after) or before is False
            yield Difference(where, "other fields are taken otherwise", fewer, more)

    def _items(self, where: str, old: Schema, new: Schema, depth: int) -> Iterator[Difference]:
        if not ("items" in old or "items" in new):
            return
        before, after = old.get("items", {}), new.get("items", {})
        if not (is_array(before) or is_array(after)):
            yield from self.compared(f"{where}[]", before, after, depth)
            return
        for n, (each, other) in enumerate(zip(array(before), array(after), strict=False)):
            yield from self.compared(f"{where}[{n}]", each, other, depth)
        shapes = [
            (len(array(items)), written(each.get("additionalItems", True)))
            for items, each in ((before, old), (after, new))
        ]
        if shapes[0] != shapes[1]:
            yield Difference(where, "the places of the array have changed", fewer=True, more=True)


def _open(others: object) -> bool:
    return others is True or others == {}


_Side: TypeAlias = tuple[Schema, Mapping[str, Any], set[str]]


def _field(where: str, name: str, old: _Side, new: _Side) -> Iterator[Difference]:
    """Compare whether there is a field *name*, and whether it has to be there."""
    (before, had, needed), (after, has, needs) = old, new
    was_closed = before.get("additionalProperties") is False
    is_closed = after.get("additionalProperties") is False
    added, removed = name in has and name not in had, name in had and name not in has
    if name in needs and name not in needed:
        text = "was added and is required" if added else "is required now"
        yield Difference(where, text, fewer=True, more=added and was_closed)
    elif name in needed and name not in needs:
        text = "was removed" if removed else "is no longer always there"
        yield Difference(where, text, fewer=removed and is_closed, more=True)
    elif added:
        yield Difference(where, "was added", more=was_closed)
    elif removed:
        yield Difference(where, "was removed", fewer=is_closed)


def _reference(schema: object) -> str:
    return str(objects(schema).get("$ref", ""))


def _choices(reading: Reading, schema: object, depth: int = 0) -> list[Schema]:
    """Return the schemas of which one has to hold: each of one type, or of any."""
    if not is_object(schema):
        return [] if schema is False else [{}]
    flat = _flat(reading, schema)
    inner = [*array(flat.get("anyOf")), *array(flat.get("oneOf"))]
    said = flat.keys() - _ANNOTATIONS
    if inner and depth < _JOINED and len(said) == 1:
        found: list[Schema] = [e for one in inner for e in _choices(reading, one, depth + 1)]
    else:
        types = _said_types(flat)
        found = [{**flat, "type": each} for each in types] if types else [flat]
    null: Schema = {"type": "null"}
    return [*found, null] if flat.get("nullable") is True and null not in found else found


def _said_types(schema: Schema) -> Sequence[str]:
    """Name the types of a schema, as it says them or as its words can mean nothing else."""
    said = schema.get("type")
    if isinstance(said, str):
        return [said]
    if is_array(said):
        return list(dict.fromkeys(str(each) for each in said))
    values = [schema["const"]] if "const" in schema else array(schema.get("enum"))
    if values:
        kinds = list(dict.fromkeys(_type_of(each) for each in values))
        return kinds if len(kinds) == 1 else []
    for kind, words in (("object", ("properties", "required")), ("array", ("items",))):
        if any(word in schema for word in words):
            return [kind]
    return []


def _type_of(value: object) -> str:
    for kind, types in (("boolean", bool), ("integer", int), ("number", float), ("string", str)):
        if isinstance(value, types):
            return kind
    return "null" if value is None else "array" if is_array(value) else "object"


def _flat(reading: Reading, schema: Schema, depth: int = 0) -> Json:
    """Follow references, and put what has to hold together into one; `$name` says what it is called."""
    known = reading.at(schema)
    called = step(_reference(schema).rpartition("/")[2]) or str(known.get("title", ""))
    if _reference(schema) and not known:
        return {"$name": called, "$ref": schema["$ref"]}
    joined: Json = {name: each for name, each in known.items() if name != "allOf"}
    if called:
        joined["$name"] = called
    for part in array(known.get("allOf")):
        if not is_object(part) or depth > _JOINED:
            joined.setdefault("allOf", []).append(part)
            continue
        _join(joined, _flat(reading, part, depth + 1))
    return joined


def _join(joined: Json, part: Json) -> None:
    """Put *part* into what is *joined* already; what both say, has to hold twice."""
    for name, value in part.items():
        if name not in joined:
            joined[name] = value
        elif name == "properties":
            had = objects(joined[name])
            twice = {
                n: {"allOf": [had[n], e]} if n in had and had[n] != e else e
                for n, e in objects(value).items()
            }
            joined[name] = {**had, **twice}
        elif name == "required":
            joined[name] = [*array(joined[name]), *array(value)]
        elif joined[name] != value and name not in _ANNOTATIONS:
            joined.setdefault("allOf", []).append({name: value})


def _matched(old: Sequence[Schema], new: Sequence[Schema]) -> list[tuple[int, int]]:
    """Say which of the *new* choices is which of the *old*: the most alike first."""
    likely = sorted(
        (score, n, m)
        for n, each in enumerate(old)
        for m, other in enumerate(new)
        if (score := _unlike(each, other)) is not None
    )
    found: dict[int, int] = {}
    for _, n, m in likely:
        if n not in found and m not in found.values():
            found[n] = m
    return sorted(found.items())


def _unlike(old: Schema, new: Schema) -> int | None:
    """Say how little two schemas have in common; None: nothing."""
    types = old.get("type"), new.get("type")
    if types[0] == types[1]:
        if old == new:
            return 0
        return 1 if old.get("$name") == new.get("$name") else 2
    if set(types) == {"integer", "number"}:
        return 3
    return 4 if None in types else None


def _covered(schema: Schema, others: Sequence[Schema]) -> bool:
    """Whether one of *others* takes all that *schema* does, by its type alone."""
    for each in others:
        words = each.keys() - _ANNOTATIONS
        same = (each.get("type"), schema.get("type"))
        if not words or (words == {"type"} and (same in _WIDER or same[0] == same[1])):
            return True
    return False


_WIDER: Final = {("number", "integer")}


def _names(schemas: Sequence[Schema]) -> str:
    return " or ".join(_name(each) for each in schemas)


def _name(schema: Schema) -> str:
    kind = str(schema.get("type") or "anything")
    return str(schema.get("$name") or kind) if kind in {"object", "anything"} else kind


def _types(where: str, old: Schema, new: Schema) -> Iterator[Difference]:
    before, after = old.get("type"), new.get("type")
    if before != after:
        fewer = before is None or (before, after) in _WIDER
        more = after is None or (after, before) in _WIDER
        text = f"{before or 'anything'} became {after or 'anything'}"
        yield Difference(where, text, fewer=fewer, more=more)


def _values(where: str, old: Schema, new: Schema) -> Iterator[Difference]:
    before, after = _listed(old), _listed(new)
    if before is None and after is not None:
        yield Difference(where, f"only {', '.join(after)} is taken now", fewer=True)
    elif after is None and before is not None:
        yield Difference(where, f"not only {', '.join(before)} is taken any more", more=True)
    elif before is not None and after is not None:
        if gone := [each for each in before if each not in after]:
            yield Difference(where, f"{', '.join(gone)} is no longer taken", fewer=True)
        if come := [each for each in after if each not in before]:
            yield Difference(where, f"{', '.join(come)} is taken, too", more=True)


def _listed(schema: Schema) -> list[str] | None:
    if "const" in schema:
        return [written(schema["const"])]
    return [written(each) for each in schema["enum"]] if is_array(schema.get("enum")) else None


def _bounds(where: str, old: Schema, new: Schema) -> Iterator[Difference]:
    for sign, unit, *words in _BOUNDS:
        before, after = (_limit(each, sign, words, unit) for each in (old, new))
        if before != after:
            fewer = before is None or (after is not None and after > before)
            shown = " became ".join(
                f"{_SIGNS[sign, each[1]]} {sign * each[0]:g}" if each else "any"
                for each in (before, after)
            )
            yield Difference(where, shown + unit, fewer=fewer, more=not fewer)


def _limit(schema: Schema, sign: int, words: list[str], unit: str) -> tuple[float, int] | None:
    """Return what is the greater the fewer values a bound lets pass; None: all."""
    found = [(schema.get(word), exclusive) for exclusive, word in enumerate(words)]
    limits = [(sign * n, each) for n, each in found if isinstance(n, int | float) and n is not True]
    return max(limits, default=(0, 0) if unit and sign > 0 else None)


def _rules(where: str, old: Schema, new: Schema) -> Iterator[Difference]:
    """Compare what only holds or doesn't."""
    for word in dict.fromkeys([*old, *new]):
        # What is false is as if it were not there: `uniqueItems`.
        before, after = (each.get(word) or None for each in (old, new))
        if word in _COMPARED or word.startswith("x-") or written(before) == written(after):
            continue
        shown = ["nothing" if each is None else written(each)[:_LONG] for each in (before, after)]
        text = f"{word} {' became '.join(shown)}"
        yield Difference(where, text, fewer=after is not None, more=before is not None)
