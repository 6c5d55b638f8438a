"""What actors, mailboxes and supervisors report.

Every part takes a plain callable, so that whoever composes them decides where reports go.

What a supervisor reports, and with which attributes; the path is that of the child or its own:

    actor.starting, actor.started, actor.stopping
    actor.stopped, actor.crashed, actor.unkillable
                                    reason, error (the traceback); if there was an exception
                                    exc_type; if it ended of its own accord decision
    actor.restarting                attempt, delay
    supervisor.started
    supervisor.auto_shutdown        child
    supervisor.intensity_exceeded   child, intensity, period
    supervisor.gave_up              child, reason
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import anyio

_NOTHING: Mapping[str, object] = MappingProxyType({})


class Event:
    """Something that happened, such as `actor.crashed` or `message.dropped`.

    Attributes:
        name: What happened, in dotted lower case.
        path: To whom: the ids from the root of the tree, joined by slashes.
        at: When, as `anyio.current_time()` tells it.
        attributes: The particulars; plain data.
    """

    __slots__ = ("at", "attributes", "name", "path")

    def __init__(self, name: str, path: str, attributes: Mapping[str, object] = _NOTHING) -> None:
        self.name = name
        self.path = path
        self.at = anyio.current_time()
        self.attributes = attributes

    def __repr__(self) -> str:
        return f"Event({self.name!r}, {self.path!r}, {dict(self.attributes)!r})"


Notify: TypeAlias = Callable[[Event], None]
"""Called synchronously where the event happens; must be quick and must not raise."""
