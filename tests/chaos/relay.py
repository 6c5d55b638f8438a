"""A relay of an outbox in a process of its own, which may kill itself at one of its steps.

python tests/chaos/relay.py NATS STREAM [STEP]
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint

from callboard.instruments import Instrument, Output, Place, Send
from callboard.nats import NatsBroker
from callboard.outbox import Outbox
from callboard.outbox._table import Table
from callboard_brokers import Confirmation, Delivery

STEPS: Final = ["leased", "taken", "handed over", "arrived", "noted", "let go"]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(call: Callable[..., Any], *, first: bool) -> Any:
    """Return *call* with an end before or after it."""

    async def dies(*args: Any, **options: Any) -> Any:
        if first:
            die()
        await call(*args, **options)
        die()

    return dies


class Dying(Instrument):
    """Ends the process when the first message is on its way."""

    def around_send(self, send: Send, place: Place, /) -> Send:
        async def hand_over(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
            await send(outputs, cause)
            await checkpoint()  # it is written now, and nobody has heard of it
            die()
            raise AssertionError

        return hand_over


def main(address: str, name: str, step: str = "") -> None:
    calls = {"leased": "lease", "taken": "take", "noted": "sent", "let go": "release"}
    if step in calls:
        call = getattr(Table, calls[step])
        setattr(Table, calls[step], dying(call, first=False))
    if step == "arrived":
        setattr(Table, "sent", dying(Table.sent, first=True))  # noqa: B010 - as above
    broker = NatsBroker(address, instruments=[Dying()] if step == "handed over" else [])
    Outbox(broker, os.environ["CALLBOARD_POSTGRES"], table=name, lease=2, poll=0.5)
    # A lease finds nothing while nothing waits: the step is taken when there is something.
    anyio.run(run, broker)


async def run(broker: NatsBroker) -> None:
    async with broker:
        await broker.start()
        print("ready", flush=True)  # noqa: T201 - for whoever has started it
        await anyio.sleep_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
