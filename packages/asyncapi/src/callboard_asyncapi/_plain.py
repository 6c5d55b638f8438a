"""From records to what JSON knows, and the map that keeps keys apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import count
from typing import Any, Generic, TypeAlias, TypeGuard, TypeVar
from urllib.parse import quote, unquote

# A JSON object is untyped by nature: its readers index into it.
Json: TypeAlias = dict[str, Any]
T = TypeVar("T")

# Braces stay: an address is shown as its template.
_FRAGMENT = "!$&'()*+,;=:@?"
_UNFIT = re.compile(r"\{[\w-]+\}|([^\w.:\[\],*>$@+=-])", re.ASCII)


class Section(Generic[T]):
    """One map of the document, in order of arrival: equal entries share a key, others never do."""

    def __init__(self) -> None:
        self.entries: dict[str, T] = {}

    def add(self, wanted: str, entry: T) -> str:
        """Give the key of *entry*: *wanted*, or *wanted* and a number if a different one has it."""
        return next(
            each for each in self.keys(wanted) if self.entries.setdefault(each, entry) == entry
        )

    @staticmethod
    def keys(wanted: str) -> Iterator[str]:
        """Yield the keys that an entry may get, the one that is *wanted* first; without end."""
        yield wanted
        yield from (f"{wanted}-{n}" for n in count(2))


def plain(value: object, *without: str) -> Any:
    """Copy *value*: records become objects in JSON's spelling, but for the fields *without*."""
    if is_dataclass(value):
        names = [each.name for each in fields(value) if each.name not in without]
        return spoken({camel(name): plain(getattr(value, name)) for name in names})
    if is_object(value):
        return {name: plain(each) for name, each in value.items()}
    if is_array(value):
        return [plain(each) for each in value]
    return value


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Tell whether *value* is JSON's object."""
    return isinstance(value, Mapping)


def is_array(value: object) -> TypeGuard[Sequence[Any]]:
    """Tell whether *value* is JSON's array."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def spoken(entry: Json) -> Json:
    """Leave out what says nothing: None and the empty."""
    return {name: value for name, value in entry.items() if value not in (None, [], {})}


def key(text: str, *, slash: str = ".") -> str:
    """Make *text* fit for a key: `/` becomes *slash*, whatever else is unfit `_`."""
    return slash.join(
        _UNFIT.sub(lambda found: "_" if found[1] else found[0], each) for each in text.split("/")
    )


def ref(*path: str) -> Json:
    """Refer to what stands at *path* in the document: a JSON Pointer as the fragment of a URI.

    RFC 6901 escapes what a pointer can't hold, then RFC 3986 what a fragment can't.
    """
    steps = (step.replace("~", "~0").replace("/", "~1") for step in path)
    return {"$ref": "#" + "".join("/" + quote(step, safe=_FRAGMENT) for step in steps)}


def step(text: str) -> str:
    """Read one step of the path in a reference: what `ref` has escaped."""
    return unquote(text).replace("~1", "/").replace("~0", "~")


def camel(name: str) -> str:
    """Spell a field's name as JSON does."""
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)
