"""Ships that call at ports, on NATS: questions are answered at once, what counts is kept in a stream.

    berths.{port} <- asked, and answered by one of the clerks
    calls.{port}  -> PORTS (a stream) -> "ledger", in batches
                                      -> "watch", in the order of each port

How many ships a port takes is a key of the bucket `limits`, whose changes every clerk hears of.
"""

from __future__ import annotations

import os
from collections import Counter

from pydantic import BaseModel, PositiveInt

from callboard import App, Context, ContextRepo, Path
from callboard.nats import JStream, KvWatch, NatsBroker, NatsMessage, PullSub

__all__ = ["PORTS", "Call", "Harbour", "app", "broker"]


class Call(BaseModel):
    """A ship that stays for so many days."""

    ship: str
    days: PositiveInt


class Harbour:
    """What is known of the ports, for those who look at it."""

    def __init__(self) -> None:
        self.limits: dict[str, int] = {}
        self.lying = Counter[str]()
        self.days = Counter[str]()
        self.seen: list[tuple[str, str]] = []


broker = NatsBroker(
    os.environ.get("CALLBOARD_NATS", "127.0.0.1:24222"),
    context=ContextRepo({"harbour": Harbour()}),
)
app = App(broker, title="Ports", description="Where ships lie, and for how long.")
PORTS = JStream("PORTS", ["calls.*"], max_age=86_400)
"""Keeps every call for a day."""


@broker.subscriber("berths.{port}", "clerks")
async def berth(ship: str, port: str = Path(), harbour: Harbour = Context()) -> int:
    """Give *ship* a berth; whoever asks for one in a port that is full gets the error."""
    if harbour.lying[port] >= harbour.limits.get(port, 2):
        raise ValueError(f"{port} is full, {ship} has to wait")
    harbour.lying[port] += 1
    return harbour.lying[port]


@broker.subscriber("*", kv_watch=KvWatch("limits", ignore_deletes=True))
async def follow(limit: int, message: NatsMessage, harbour: Harbour = Context()) -> None:
    """Hear how many ships a port takes, from the present values on."""
    harbour.limits[message.address] = limit


@broker.subscriber(
    "calls.*",
    stream=PORTS,
    durable="ledger",
    pull_sub=PullSub(100, timeout=0.1, batch=True),
)
async def add(calls: list[Call], harbour: Harbour = Context()) -> None:
    """Count the days of each ship, as many calls at once as there are."""
    for call in calls:
        harbour.days[call.ship] += call.days


@broker.subscriber(
    "calls.{port}",
    stream=PORTS,
    durable="watch",
    max_workers=8,
    ordered_by="partition",
)
async def watch(call: Call, port: str = Path(), harbour: Harbour = Context()) -> None:
    """See the ships of a port in their order, and those of several ports side by side."""
    harbour.seen.append((port, call.ship))
