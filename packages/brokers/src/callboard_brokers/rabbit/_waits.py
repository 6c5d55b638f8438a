"""The queues in which messages wait for their time, and what the server writes of them.

It takes what has waited for dead: by the headers of a letter, its message would have died there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final

STEP: Final = 10
"""Long delays are rounded up to so many seconds: each has a queue of its own."""
_WAITS: Final = re.compile(r"callboard\.delayed\..*|.*\.wait\.\d+")
_FIRST, _LAST = ("x-first-death-", "x-last-death-")


def delayed(exchange: str, milliseconds: int) -> str:
    """Return the name of the queue from which messages go on to *exchange* after so long."""
    return f"callboard.delayed.{exchange}.{milliseconds}"


def put_off(queue: str, delay: float) -> tuple[str, int]:
    """Return the name of the queue from which messages come back to *queue*, and after how long."""
    seconds = ceil(delay / STEP) * STEP
    return f"{queue}.wait.{seconds}", seconds


def without_waits(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *headers* as if what has waited there had not; what the server says else stays."""
    deaths: Any = headers.get("x-death")
    if not isinstance(deaths, Sequence):
        return headers
    kept: list[Any] = [each for each in deaths if not _is_wait(each)]  # pyright: ignore[reportUnknownVariableType] - of anything
    if len(kept) == len(deaths):  # pyright: ignore[reportUnknownArgumentType] - likewise
        return headers
    said = {name: value for name, value in headers.items() if not name.startswith((_FIRST, _LAST))}
    if not kept:
        del said["x-death"]
        return said
    said["x-death"] = kept
    for prefix, death in ((_FIRST, kept[-1]), (_LAST, kept[0])):
        told = [name for name in headers if name.startswith(prefix)]
        said |= {name: death.get(name.removeprefix(prefix)) for name in told}
    return said


def _is_wait(death: Any) -> bool:
    """Whether that happened in a queue of ours, which has an exchange of its own name."""
    if not isinstance(death, dict):
        return False
    said: dict[str, Any] = death  # pyright: ignore[reportUnknownVariableType] - of a table
    queue = said.get("queue")
    is_ours = isinstance(queue, str) and said.get("exchange") == queue
    return is_ours and _WAITS.fullmatch(str(queue)) is not None
