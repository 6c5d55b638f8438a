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
    deaths = headers.get("x-death")
    if not isinstance(deaths, Sequence):
        return headers
    kept = [each for each in deaths if not _is_wait(each)]
    if len(kept) == len(deaths):
        return headers
    said = {name: value for name, value in headers.items() if not name.startswith((_FIRST, _LAST))}
    if not kept:
        del said["x-death"]
        return said
    said["x-death"] = kept
    for prefix, death in ((_FIRST, kept[-1]), (_LAST, kept[0])):
        said |= {
            name: death.get(name.removeprefix(prefix))
            for name in headers
            if name.startswith(prefix)
        }
    return said


def _is_wait(death: Any) -> bool:
    """Whether that happened in a queue of ours, which has an exchange of its own name."""
    if not isinstance(death, Mapping):
        return False
    queue = death.get("queue")
    return (
        isinstance(queue, str)
        and death.get("exchange") == queue
        and _WAITS.fullmatch(queue) is not None
    )
