"""Two documents of one application: what has changed, and whom it breaks.

A document says what an application receives and what it sends. Whoever sends to it breaks if it takes
less than before; whoever receives from it breaks if it may send more than before. An answer goes the
other way than what is answered.

Operations are found again by what is done and where, not by their keys, which are names of programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Literal, TypeAlias

from ._differ import differences
from ._read import Action, Kind, Place, Reading, Use, objects, written

Broken = Literal["consumers", "producers"]
_HURT: Final[Mapping[Action, Broken]] = {"receive": "producers", "send": "consumers"}
_BACK: Final[Mapping[Action, Action]] = {"receive": "send", "send": "receive"}
_NAME = re.compile(r"\{[^{}]*\}")

Key: TypeAlias = tuple[Action, str]
End: TypeAlias = tuple[Place, Use]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that has changed.

    Attributes:
        where: The operation, as in `receive orders`.
        at: What of it, as in `payload.items[].price`; nothing: all of it.
        text: What has happened to it.
        breaks: Whom: those who receive from the application (`consumers`), those who send to it
            (`producers`), or nobody.
        key: Under which a document has the operation: the new one, or the old one if it is gone.
    """

    where: str
    at: str
    text: str
    breaks: Broken | None = None
    key: str = ""

    def __str__(self) -> str:
        """Say all of it on one line."""
        return ": ".join(each for each in (self.where, self.at, self.text) if each)


def compare(old: object, new: object) -> list[Change]:
    """Return what has changed from one document to the other, in the order of the old one.

    Servers, security, bindings and descriptions are not compared.

    Raises:
        DocumentError: One of them is no AsyncAPI document.
        VersionError: One is of a version that is not known here.
    """
    return list(_Documents(Reading(old), Reading(new)).changes())


class _Documents:
    def __init__(self, old: Reading, new: Reading) -> None:
        self._old = old
        self._new = new

    def changes(self) -> Iterator[Change]:
        before, after = _ends(self._old), _ends(self._new)
        moved = _moved(before, after)
        for key, ends in before.items():
            into = key if key in after else moved.get(key)
            if into is None:
                for _, use in ends:
                    yield Change(_called(key), "", "is gone", _HURT[key[0]], use.key)
                continue
            if into != key and self._old.generation == self._new.generation:
                text = f"is at {into[1]} now"
                yield Change(_called(key), "", text, _HURT[key[0]], after[into][0][1].key)
            yield from self._same(_called(into), key[0], ends, after[into])
        for key in [each for each in after if each not in before and each not in moved.values()]:
            yield Change(_called(key), "", "is new", None, after[key][0][1].key)

    def _same(
        self, where: str, action: Action, old: Sequence[End], new: Sequence[End]
    ) -> Iterator[Change]:
        """Compare what is done at one place, by one operation or several."""
        yield from self._parameters(where, action, old[0][0], new[0])
        if action == "send":
            # Whoever receives from there may get the messages of any of them.
            before = [kind for _, use in old for kind in use.kinds]
            after = [kind for _, use in new for kind in use.kinds]
            yield from self._kinds((where, "", new[0][1].key), action, before, after)
        pairs, gone, come = _paired(old, new)
        for (_, one), (_, other) in pairs:
            if action == "receive":
                yield from self._kinds((where, "", other.key), action, one.kinds, other.kinds)
            yield from self._answers(where, action, one, other)
        for _, use in gone:
            yield Change(where, "", f"{use.key} is gone, and others do this still", None, use.key)
        for _, use in come:
            yield Change(where, "", f"{use.key} does this, too", None, use.key)

    def _parameters(self, where: str, action: Action, old: Place, end: End) -> Iterator[Change]:
        """Compare what may stand in an address; the names of parameters are nobody else's matter."""
        before = objects(old.said.get("parameters"))
        after = objects(end[0].said.get("parameters"))
        for (name, one), other in zip(before.items(), after.values(), strict=False):
            schemas = [
                {"type": "string", **objects(said.get("schema")), **_enum(said)}
                for said in (self._old.at(one), self._new.at(other))
            ]
            at = f"{{{name}}}"
            yield from self._schemas((where, at, end[1].key), action, *schemas)

    def _answers(self, where: str, action: Action, old: Use, new: Use) -> Iterator[Change]:
        if old.answer and new.answer:
            end = (where, "answer", new.key)
            yield from self._kinds(end, _BACK[action], old.answer.kinds, new.answer.kinds)
        elif old.answer:
            # Who asks, waits; who answers, is asked no more.
            hurt = _HURT[_BACK[action]] if action == "receive" else None
            yield Change(where, "answer", "is gone", hurt, new.key)
        elif new.answer:
            hurt = _HURT[_BACK[action]] if action == "send" else None
            yield Change(where, "answer", "is new", hurt, new.key)

    def _kinds(
        self, end: tuple[str, str, str], action: Action, old: Sequence[Kind], new: Sequence[Kind]
    ) -> Iterator[Change]:
        where, at, key = end
        pairs, gone, come = _alike(old, new)
        for one, other in pairs:
            name = other.key if len(new) > 1 else ""
            inside = (where, " ".join(each for each in (at, name) if each), key)
            yield from self._message(inside, action, one, other)
        hurt = _HURT[action]
        for each in gone:
            lost = hurt if action == "receive" else None
            yield Change(where, at, f"the message {each.title} is gone", lost, key)
        for each in come:
            met = hurt if action == "send" else None
            yield Change(where, at, f"the message {each.title} is new", met, key)

    def _message(
        self, end: tuple[str, str, str], action: Action, old: Kind, new: Kind
    ) -> Iterator[Change]:
        where, at, key = end
        if old.content_type != new.content_type:
            text = (
                f"content type {old.content_type or 'unsaid'} became {new.content_type or 'unsaid'}"
            )
            yield Change(where, at, text, _HURT[action], key)
        if old.format or new.format:
            if (old.format, written(old.payload)) != (new.format, written(new.payload)):
                text = f"has changed; {new.format or old.format} is not compared further"
                yield Change(where, f"{at} payload".strip(), text, _HURT[action], key)
        else:
            body = (where, f"{at} payload".strip(), key)
            yield from self._schemas(body, action, _schema(old.payload), _schema(new.payload))
        head = (where, f"{at} headers".strip(), key)
        yield from self._schemas(head, action, _schema(old.headers), _schema(new.headers))

    def _schemas(
        self, end: tuple[str, str, str], action: Action, old: object, new: object
    ) -> Iterator[Change]:
        where, at, key = end
        for each in differences(self._old, old, self._new, new):
            hurts = each.fewer if action == "receive" else each.more
            yield Change(where, at + each.where, each.text, _HURT[action] if hurts else None, key)


def _schema(said: object) -> object:
    return {} if said is None else said


def _enum(said: Mapping[str, object]) -> dict[str, object]:
    return {"enum": said["enum"]} if "enum" in said else {}


def _called(key: Key) -> str:
    return " ".join(key)


def _ends(reading: Reading) -> dict[Key, list[End]]:
    """Return the operations by what they do and where: what parameters are called is left out."""
    found: dict[Key, list[End]] = {}
    for place in reading.places:
        address = _NAME.sub("{}", place.address) if place.address else f"channel {place.key}"
        for use in place.uses:
            found.setdefault((use.action, address), []).append((place, use))
    return found


def _moved(old: Mapping[Key, Sequence[End]], new: Mapping[Key, Sequence[End]]) -> dict[Key, Key]:
    """Find the operations again that are elsewhere now, by their keys."""
    left = {(k[0], use.key): k for k, ends in new.items() if k not in old for _, use in ends}
    moved: dict[Key, Key] = {}
    for key in [each for each in old if each not in new]:
        into = left.get((key[0], old[key][0][1].key))
        if into and into not in moved.values():
            moved[key] = into
    return moved


def _paired(
    old: Sequence[End], new: Sequence[End]
) -> tuple[list[tuple[End, End]], list[End], list[End]]:
    """Pair operations at one place, by key and then in their order; return the rest of both."""
    keys = [use.key for _, use in new]
    pairs = [(end, new[keys.index(end[1].key)]) for end in old if end[1].key in keys]
    rest = [end for end in old if end not in [one for one, _ in pairs]]
    others = [end for end in new if end not in [other for _, other in pairs]]
    pairs += zip(rest, others, strict=False)
    return pairs, rest[len(others) :], others[len(rest) :]


def _alike(
    old: Sequence[Kind], new: Sequence[Kind]
) -> tuple[list[tuple[Kind, Kind]], list[Kind], list[Kind]]:
    """Pair messages by key, then by what they say; the last of both are one, whatever it is called."""
    pairs: list[tuple[Kind, Kind]] = []
    gone, come = list(old), list(new)
    for what in (attrgetter("key"), attrgetter("payload")):
        for one in list(gone):
            if other := next((each for each in come if what(each) == what(one)), None):
                pairs.append((one, other))
                gone.remove(one)
                come.remove(other)
    if len(gone) == len(come) == 1:
        pairs.append((gone.pop(), come.pop()))
    return pairs, gone, come
