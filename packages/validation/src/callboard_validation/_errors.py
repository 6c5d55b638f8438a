"""What can go wrong between bytes and values; each error says what, where, and what came instead.

ValidationError
├── DecodeError         the body is not what its content type says (no JSON, no UTF-8, empty)
├── ValidationFailed    the body is well formed, but is not of the type that was asked for
├── EncodeError         a value that cannot become a body
└── DefinitionError     a type or a codec that can never work; raised where it is declared
    └── MissingExtra    ... because an optional library is not installed (also an ImportError)

No error holds the whole body: dead letters and logs keep errors, and a body may have 10 MiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ._excerpt import excerpt

__all__ = [
    "DecodeError",
    "DefinitionError",
    "EncodeError",
    "Failure",
    "MissingExtra",
    "ValidationError",
    "ValidationFailed",
]

SHOWN = 10  # failures that a message spells out; `failures` has them all


class ValidationError(Exception):
    """The root of this package's errors."""


class DecodeError(ValidationError):
    """The body is not what its content type says.

    Attributes:
        content_type: As it came with the body; None if none came.
        body: The first 200 characters at most, and the length if that was cut.
    """

    def __init__(self, reason: str, body: bytes, content_type: str | None = None) -> None:
        self.reason = reason
        self.content_type = content_type
        self.body = excerpt(body)
        kind = f" of type {content_type!r}" if content_type else ""
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


class ValidationFailed(ValidationError):
    """The body is well formed, but is not of the type that was asked for.

    Attributes:
        target: The name of the type.
        failures: Every failing value in the order of the type's fields; empty if there were over
            1,000, since listing those would cost more than the message is worth.
        count: How many values failed.
        body: What was to be validated, the body or its decoded value: the first 200 characters at
            most, and the length if that was cut.
    """

    def __init__(self, target: str, failures: Sequence[Failure], count: int, body: object) -> None:
        self.target = target
        self.failures = tuple(failures)
        self.count = count
        self.body = excerpt(body)
        lines = [str(failure) for failure in self.failures[:SHOWN]]
        if count > len(lines):
            lines.append(f"{count - len(lines)} more failures" if lines else f"{count} failures")
        given = "body" if isinstance(body, bytes) else "value"
        super().__init__(f"no valid {target}: {'; '.join(lines)}; the {given} is {self.body}")


class EncodeError(ValidationError):
    """A value cannot become a body.

    Attributes:
        kind: The name of the type that cannot be encoded.
        path: Where it stands in the value, as far as known; empty for the value itself.
    """

    def __init__(self, reason: str, kind: str, path: str = "") -> None:
        self.reason = reason
        self.kind = kind
        self.path = path
        where = f" at {path}" if path else ""
        super().__init__(f"a value of type {kind!r}{where} cannot be encoded: {reason}")


class DefinitionError(ValidationError):
    """A type or a codec that can never work, raised where it is declared."""


class MissingExtra(DefinitionError, ImportError):
    """An optional library is needed and not installed; the message has the command."""
