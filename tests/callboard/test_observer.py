"""What the observer makes of a tree."""

from __future__ import annotations

import anyio
import pytest

from callboard._observer import Observer
from callboard_actors import Event, Node

pytestmark = pytest.mark.anyio

BUSY = Node("w", "actor", "running", details={"address": "a", "id": "1", "token": 7})
ROOT = Node("app", "supervisor", "running", children=(BUSY,))


async def test_a_slow_message_is_reported_once() -> None:
    events: list[Event] = []
    observer = Observer(lambda: ROOT, {"b": events.append}, slow=1.0)
    for _ in range(6):
        observer.sample()
        await anyio.sleep(0.5)
    assert [(event.name, event.path) for event in events] == [("handler.slow", "w")]


async def test_a_lag_names_the_worker_that_is_busy() -> None:
    events: list[Event] = []
    Observer(lambda: ROOT, {"b": events.append}).sample(0.4)
    assert (events[0].name, events[0].path) == ("loop.lag", "w")
    assert events[0].attributes["busy"] == ["w a#1"]
