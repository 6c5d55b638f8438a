"""A process that takes one message of a stream, says so, and waits to be killed."""

from __future__ import annotations

import sys

from anyio import run, sleep_forever

from callboard_brokers import Capacity
from callboard_brokers.nats import Nats, NatsSource


async def take(address: str, stream: str, times: str) -> None:
    source = NatsSource(stream=stream, durable="d", ack_wait=0.5, max_deliver=int(times))
    async with (
        Nats(address).connect() as connection,
        connection.subscribe(source, Capacity(1)) as reading,
    ):
        (delivery,) = await reading.receive(1)
        sys.stdout.write(f"{delivery.deliveries}\n")
        sys.stdout.flush()
        await sleep_forever()


if __name__ == "__main__":
    run(take, sys.argv[1], sys.argv[2], sys.argv[3])
