"""What users see of a broker, of a router and of what is declared: no name more unnoticed."""

from __future__ import annotations

import pytest

from callboard import MemoryBroker
from callboard.kafka import KafkaBroker, KafkaRouter
from callboard.memory import MemoryRouter

ROUTER = {
    "subscriber", "publisher", "subscribers", "publishers", "routers",
    "include_router", "include_routers",
    "declared",  # for modules of brokers
}  # fmt: skip
BROKER = ROUTER | {
    "connect", "start", "stop", "ping", "publish", "request",
    "running", "ready", "unready", "tree",
    "name", "events", "context", "provider",
    "out",  # for modules of brokers
    "slot",  # for whoever runs it
}  # fmt: skip


@pytest.mark.parametrize(
    ("thing", "members"),
    [
        (KafkaBroker(), BROKER | {"publish_batch", "flush"}),
        (MemoryBroker(), BROKER | {"unread", "dead_letters"}),
        (KafkaRouter(), ROUTER),
        (MemoryRouter(), ROUTER),
        (
            MemoryBroker().publisher("out"),
            {"publish", "mock", "target", "options", "outlet", "decorated", "recorder"},
        ),
        (
            MemoryBroker().subscriber("in"),
            {"start", "stop", "running", "get_one", "subscription"}
            | {"name", "source", "options", "calls"},
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_no_member_becomes_public_unnoticed(thing: object, members: set[str]) -> None:
    assert {name for name in dir(thing) if not name.startswith("_")} == members
