"""What can go wrong between bytes and values; each error says what, where, and what came instead.

CodecError
├── DecodeError         the body is not what its content type says (no JSON, no UTF-8, empty)
├── EncodeError         a value that cannot become a body
└── DefinitionError     a type or a codec that can never work; raised where it is declared

What is well formed, but not of the type that was asked for, is refused by the error of the library
that validates the type, pydantic's or msgspec's `ValidationError`, since that is what people catch.
One of its notes is an `Explanation`, by which it is known from errors of their own.

No text here holds the whole body: dead letters and logs keep them, and a body may have 10 MiB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from reprlib import Repr
from typing import NamedTuple, Self

SHOWN = 10  # failures that a message spells out; `failures` has them all
BODY_LIMIT = 200
VALUE_LIMIT = 100

_short = Repr()
_short.maxdict = _short.maxlist = _short.maxtuple = _short.maxset = 4
_short.maxstring = _short.maxother = VALUE_LIMIT
_short.maxlevel = 3


class CodecError(ValueError):
    """The root of this package's errors."""


class DecodeError(CodecError):
    """The body is not what its content type says.

    Attributes:
        content_type: As it came with the body; None if none came.
        body: The first 200 characters at most, and the length if that was cut.
    """

    def __init__(self, reason: str, body: bytes, content_type: str | None = None) -> None:
        self.reason = reason
        self.content_type = content_type
        self.body = _excerpt(body)
        kind = f" of type {clipped(content_type)}" if content_type else ""
        super().__init__(f"a body{kind} cannot be decoded: {reason}; the body is {self.body}")


class Failure(NamedTuple):
    """One value that is not as it should be.

    Attributes:
        path: Where: `items[0].price`; empty for the body as a whole.
        value: What was found there, clipped to 100 characters; None if nothing was there.
        reason: What was expected.
    """

    path: str
    value: str | None
    reason: str

    def __str__(self) -> str:
        """Read as `items[0].price = 'x': Input should be a valid integer`."""
        found = self.path if self.value is None else f"{self.path or 'it'} = {self.value}"
        return f"{found}: {self.reason}" if found else self.reason


class Explanation(str):
    """Why a body, or a value, is not of the type that was asked for, in a line.

    Attributes:
        target: The name of the type.
        failures: Every failing value in the order of the type's fields; empty if there were over
            1,000, since listing those would cost more than the message is worth.
        total: How many values failed.
        body: What was to be validated, the body or its decoded value: the first 200 characters at
            most, and the length if that was cut.
    """

    __slots__ = ("body", "failures", "target", "total")
    target: str
    failures: Sequence[Failure]
    total: int
    body: str

    @classmethod
    def of(cls, target: str, failures: Sequence[Failure], count: int, body: object) -> Self:
        """Tell of *failures*, or only how many there were."""
        lines = [str(failure) for failure in failures[:SHOWN]]
        if count > len(lines):
            lines.append(f"{count - len(lines)} more failures" if lines else f"{count} failures")
        given, excerpt = "body" if isinstance(body, bytes) else "value", _excerpt(body)
        self = cls(f"no valid {target}: {'; '.join(lines)}; the {given} is {excerpt}")
        self.target, self.failures, self.total, self.body = target, failures, count, excerpt
        return self


def explained(error: BaseException) -> Explanation | None:
    """Return why *error* has refused a body or a value; None: it is about something else."""
    notes: Iterable[object] = getattr(error, "__notes__", ())
    return next((note for note in notes if isinstance(note, Explanation)), None)


class EncodeError(CodecError):
    """A value cannot become a body.

    Attributes:
        kind: The name of the value's type.
    """

    def __init__(self, reason: str, value: object) -> None:
        self.reason = reason
        self.kind = type(value).__qualname__
        super().__init__(f"a value of type {self.kind!r} cannot be encoded: {reason}")


class DefinitionError(CodecError):
    """A type or a codec that can never work, raised where it is declared."""


def _excerpt(body: object) -> str:
    """Quote the beginning of *body*, at most 200 characters, and say how long it was if cut."""
    if not isinstance(body, bytes):
        return clipped(body, BODY_LIMIT)
    # Cutting before decoding keeps the cost independent of the body; half a character may remain.
    text = repr(body[:BODY_LIMIT].decode("utf-8", "backslashreplace"))
    if len(body) <= BODY_LIMIT >= len(text):
        return text
    note = f"... ({len(body)} bytes)"
    return text[: BODY_LIMIT - len(note)] + note


def clipped(value: object, limit: int = VALUE_LIMIT) -> str:
    """Write *value* as `repr` does, at most *limit* characters; never raises."""
    try:
        text = _short.repr(value)
    except ValueError:  # an int of more than 4,300 digits refuses to become text
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def dotted(path: Iterable[str | int]) -> str:
    """Write the steps to a value as `items[0].price`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")
