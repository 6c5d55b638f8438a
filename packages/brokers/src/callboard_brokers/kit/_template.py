"""Addresses with parameters: `logs.{level}` reads `logs.error`, with level "error" in the path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from callboard_brokers._errors import DestinationError

_PARAMETER: Final = re.compile(r"\{([^{}]*)\}")
_SPECIAL: Final = re.compile(r"([*?\[\]\\])")


@dataclass(frozen=True, slots=True)
class Template:
    """An address in which names in braces stand for one segment each; or just an address.

    A segment is characters other than `.` and `/`, at least one. Two templates are equal if their
    texts are.

    Attributes:
        text: The template.
        names: The names in braces, in their order; empty for an address.

    Raises:
        DestinationError: It is empty, has stray braces, or a name that is none or comes twice.
    """

    text: str
    names: tuple[str, ...] = field(init=False, compare=False)
    _literals: tuple[str, ...] = field(init=False, compare=False, repr=False)
    _pattern: re.Pattern[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        parts = _PARAMETER.split(self.text)
        literals, names = tuple(parts[::2]), tuple(parts[1::2])
        stray = any("{" in literal or "}" in literal for literal in literals)
        named = len(set(names)) == len(names) and all(map(str.isidentifier, names))
        if not self.text or stray or not named:
            raise DestinationError(
                f"cannot read {self.text!r}: give an address such as 'logs.error', or a template"
                " such as 'logs.{level}', which holds names in braces, each once"
            )
        pattern = re.escape(literals[0])
        for name, literal in zip(names, literals[1:], strict=True):
            pattern += f"(?P<{name}>[^./]+){re.escape(literal)}"
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "_literals", literals)
        object.__setattr__(self, "_pattern", re.compile(pattern))

    def match(self, address: str) -> Mapping[str, str] | None:
        """Return the parameters that *address* has, may be none; None if it does not match."""
        if not self.names:
            return {} if address == self.text else None
        found = self._pattern.fullmatch(address)
        return None if found is None else found.groupdict()

    def wildcard(self, one: str = "*", separator: str = ".") -> str:
        """Return what a broker reads instead, to which *one* stands for a whole segment.

        A segment that has a parameter becomes *one*, so the broker may bring more than `match`.
        """
        if not self.names:
            return self.text
        segments = self.text.split(separator)
        return separator.join(one if _PARAMETER.search(each) else each for each in segments)

    def glob(self) -> str:
        """Return what a broker reads to which `*` is anything: Redis, which escapes by backslashes.

        It stands for dots and slashes too, so the broker may bring more than `match`.
        """
        if not self.names:
            return self.text
        return "*".join(_SPECIAL.sub(r"\\\1", literal) for literal in self._literals)

    def prefixed(self, prefix: str) -> Template:
        """Return it with *prefix* in front, which may be a template too."""
        return Template(prefix + self.text)
