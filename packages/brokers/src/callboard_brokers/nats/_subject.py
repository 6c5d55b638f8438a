"""Subjects: names of tokens with dots between them, and what stands for several of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from callboard_brokers._errors import DestinationError

_TOKEN: Final = re.compile(r"[^\s.*>{}\x00-\x1f\x7f\ud800-\udfff]+")
_LONGEST: Final = 1900
"""Octets: a server ends the connection at a line of 4,096 with two subjects in it."""
_WILD: Final = "; '*' stands for one word, '>' for all that follow"
_PARAMETER: Final = re.compile(r"\{([^{}]*)\}")


class Subject:
    """A subject to read: `logs.*`, `logs.>`, or `logs.{level}`, in which a name stands for a token.

    Raises:
        DestinationError: No server would take it.
    """

    def __init__(self, text: str) -> None:
        names = [_parameter(word, text) for word in text.split(".")]
        self.text = text
        self.wire = ".".join("*" if name else word for name, word in _zip(names, text))
        """What the server is asked for."""
        check_subject(self.wire, wild=True)
        self._plain = self.wire == text and not set("*>") & set(text)
        pattern = r"\.".join(_piece(name, word) for name, word in _zip(names, text))
        self._match = re.compile(pattern, re.DOTALL).fullmatch

    def match(self, address: str) -> Mapping[str, str] | None:
        """Return the parameters that *address* has, may be none; None if it does not match."""
        if self._plain:
            return {} if address == self.text else None
        found = self._match(address)
        return None if found is None else found.groupdict()


@lru_cache(4096)
def check_subject(subject: str, *, wild: bool = False) -> None:
    """Refuse what no server takes; wildcards too, unless *wild*.

    Raises:
        DestinationError: It is no subject.
    """
    *first, last = subject.split(".")
    if wild:
        first = [word for word in first if word != "*"]
        last = "x" if last in {"*", ">"} else last
    is_long = len(subject.encode(errors="replace")) > _LONGEST
    if is_long or not all(map(_TOKEN.fullmatch, [*first, last])):
        what = "read" if wild else "publish to"
        raise DestinationError(
            f"cannot {what} the subject {subject!r:.200}: give tokens with dots between them, such"
            f" as 'logs.error', without blanks{'' if wild else ' and wildcards'}, {_LONGEST} octets at"
            f" most{_WILD if wild else ''}"
        )


def covers(pattern: str, subject: str) -> bool:
    """Whether all that *subject* stands for, which may have wildcards, is read by *pattern*."""
    ours, theirs = pattern.split("."), subject.split(".")
    for n, word in enumerate(ours):
        if word == ">":
            return len(theirs) > n
        if n >= len(theirs) or theirs[n] == ">" or word not in {"*", theirs[n]}:
            return False
    return len(ours) == len(theirs)


def _zip(names: list[str], text: str) -> list[tuple[str, str]]:
    return list(zip(names, text.split("."), strict=True))


def _parameter(word: str, text: str) -> str:
    """Return the name in *word* if it is one in braces; else nothing."""
    found = _PARAMETER.fullmatch(word)
    if found is None:
        return ""
    if not found[1].isidentifier() or text.split(".").count(word) > 1:
        raise DestinationError(
            f"cannot read the subject {text!r}: {word!r} is no name in braces, or comes twice"
        )
    return found[1]


def _piece(name: str, word: str) -> str:
    if name:
        return rf"(?P<{name}>[^.]+)"
    return {"*": r"[^.]+", ">": r".+"}.get(word, re.escape(word))
