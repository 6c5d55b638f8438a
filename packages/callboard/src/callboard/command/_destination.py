"""The broker that `callboard publish` publishes by, and what it may be told there."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

from callboard._broker import Broker
from callboard.app._app import App
from callboard.command._fail import fail, nearest
from callboard.memory import MEMORY
from callboard_validation import caster


@dataclass(frozen=True)
class Destination:
    """A method of a broker that sends.

    Attributes:
        broker: Whose it is.
        call: The method.
        name: Of the broker.
        options: What it takes, by name, and as which type.
        first: The one of these that says where to.
        needs: Whether that has to be said.
    """

    broker: Broker[Any]
    call: Callable[..., Awaitable[Any]]
    name: str
    options: Mapping[str, Any]
    first: str
    needs: bool

    @classmethod
    def of(
        cls,
        app: App,
        name: str | None,
        words: Sequence[str],
        own: Sequence[str],
        *,
        is_request: bool,
    ) -> Destination:
        """Return that of the broker of this *name*, or else of the one that takes all options."""
        every = [cls._made(*each, is_request=is_request) for each in _named(app)]
        if not every:
            fail("the application has no broker: there is nothing to publish by", status=2)
        if name is None:
            return _chosen(every, words, own).real()
        found = next((each for each in every if each.name == name), None)
        if found is None:
            known = ", ".join(each.name for each in every)
            fail(f"the application has no broker {name!r}; it has {known}", status=2)
        return found.real()

    @classmethod
    def _made(cls, name: str, broker: Any, *, is_request: bool) -> Destination:
        call = broker.request if is_request else broker.publish
        record = get_type_hints(call)["options"]
        hints = get_type_hints(record)
        parameters = [*inspect.signature(call).parameters.values()][1:]
        options = {each.name: hints[each.name] for each in parameters}
        first = parameters[0]
        return cls(broker, call, name, options, first.name, first.default is first.empty)

    def read(
        self, words: Sequence[str], own: Sequence[str], to: str | None, headers: Sequence[str]
    ) -> tuple[list[str], dict[str, object]]:
        """Return what of *words* is no option, and the options, each of its type."""
        texts: list[str] = []
        options: dict[str, object] = {}
        rest = iter(words)
        for word in rest:
            key, value = _option(word)
            if not key:
                texts.append(word)
                continue
            key, found = self._found(key, value, rest, own)
            options[key] = found
        if headers:
            options["headers"] = dict(map(_header, headers))
        if to is not None:
            options[self.first] = to
        if self.needs and self.first not in options:
            fail(f"say where to: --to, or --{_dashed(self.first)}", status=2)
        return texts, options

    def _found(
        self, key: str, value: str | None, rest: Iterator[str], own: Sequence[str]
    ) -> tuple[str, object]:
        option = f"--{_dashed(key)}"
        if key.startswith("no_") and self.options.get(key[3:]) is bool:
            return key[3:], False
        if key not in self.options or key == "headers":
            known = [*own, *(f"--{_dashed(name)}" for name in self.options if name != "headers")]
            kind = type(self.broker).__name__
            hint = nearest(option, known) or f"; {kind}.{self.call.__name__} takes none"
            fail(f"no such option: {option}{hint}", status=2)
        hint = self.options[key]
        if hint is bool and value is None:
            return key, True
        if value is None and (value := next(rest, None)) is None:
            fail(f"{option} needs a value", status=2)
        return key, _as(hint, value, option)

    def real(self) -> Destination:
        """Return it, unless nobody else is there to get what is published."""
        if self.broker.slot.around.kind is MEMORY:
            fail(
                "a broker in memory is in the process that runs it: nobody would get what is"
                " published here",
                status=2,
            )
        return self


def _chosen(every: Sequence[Destination], words: Sequence[str], own: Sequence[str]) -> Destination:
    """Return the one that takes all options of *words*."""
    said = {option for word in words if (option := _option(word)[0])}
    taking = [each for each in every if said <= {*each.options, *map(_no, each.options)}]
    if len(taking) != 1 and len(every) != 1:
        _refuse(every, taking, said, own)
    return (taking or every)[0]


def _refuse(
    every: Sequence[Destination],
    taking: Sequence[Destination],
    said: set[str],
    own: Sequence[str],
) -> NoReturn:
    if taking:
        names = " or ".join(f"--broker {each.name}" for each in taking)
        fail(f"the application has several brokers: say {names}", status=2)
    known = {f"--{_dashed(key)}" for each in every for key in each.options}
    wrong = sorted({f"--{_dashed(key)}" for key in said} - known)
    if not wrong:
        fail("no broker of the application takes all these options; say --broker", status=2)
    hint = nearest(wrong[0], [*own, *known])
    fail(f"no broker of the application takes {wrong[0]}{hint}", status=2)


def _named(app: App) -> Iterator[tuple[str, Broker[Any]]]:
    """Yield the brokers by the names that they have in the tree."""
    names: list[str] = []
    for broker in app.brokers:
        names.append(broker.name)
        twins = names.count(broker.name)
        yield broker.name if twins == 1 else f"{broker.name}-{twins}", broker


def _option(word: str) -> tuple[str, str | None]:
    """Return the name of an option, empty if *word* is none, and what stands behind its `=`."""
    if not word.startswith("--"):
        return "", None
    name, equals, value = word[2:].partition("=")
    return name.replace("-", "_"), value if equals else None


def _as(hint: Any, value: str, option: str) -> object:
    """Return *value* as what *hint* says; text stays text where that may be."""
    kinds = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    if str in kinds:
        return value
    try:
        return caster(hint)(value)
    except ValueError:
        names = " or ".join(each.__name__ for each in kinds if each is not type(None))
        fail(f"{option} {value!r} is no {names}", status=2)


def _header(said: str) -> tuple[str, str]:
    name, equals, value = said.partition("=")
    if not (name and equals):
        fail(f"--header {said!r} is no header: write NAME=VALUE", status=2)
    return name, value


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _no(name: str) -> str:
    return f"no_{name}"
