"""Short forms of long values, for errors: a body may have 10 MiB, an error must not."""

from __future__ import annotations

from collections.abc import Iterable
from reprlib import Repr

__all__ = ["clipped", "dotted", "excerpt"]

BODY_LIMIT = 200
VALUE_LIMIT = 100

_short = Repr()
_short.maxdict = _short.maxlist = _short.maxtuple = _short.maxset = 4
_short.maxstring = _short.maxother = VALUE_LIMIT
_short.maxlevel = 3


def excerpt(body: object) -> str:
    """Quote the beginning of *body*, at most 200 characters, and say how long it was if cut."""
    if not isinstance(body, bytes):
        return clipped(body, BODY_LIMIT)
    # Cutting before decoding keeps the cost independent of the body; half a character may remain.
    text = repr(body[:BODY_LIMIT].decode("utf-8", "backslashreplace"))
    note = f"... ({len(body)} bytes)"
    if len(body) <= BODY_LIMIT and len(text) <= BODY_LIMIT:
        return text
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
