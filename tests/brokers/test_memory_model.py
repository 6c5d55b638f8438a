"""Whatever happens, each message is in exactly one place: it waits, is held, or was settled."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard_brokers import (
    Capacity,
    Delivery,
    Memory,
    MemorySource,
    MemoryTarget,
    Message,
    Settlement,
)

Step = tuple[str, int]

steps = st.lists(
    st.tuples(
        st.sampled_from(["publish", "receive", "ack", "reject", "nack", "release", "leave"]),
        st.integers(0, 5),
    ),
    max_size=40,
)


async def run(script: list[Step]) -> None:
    """Play *script*, then read what is left; a new reader follows each that leaves."""
    memory, published, gone = Memory(), 0, Counter[bytes]()
    held: list[Delivery] = []
    async with memory.connect() as connection, AsyncExitStack() as stack:
        source = MemorySource("a", group="g")
        reader = await stack.enter_async_context(connection.subscribe(source, Capacity(100)))
        for step, number in script:
            if step == "publish":
                await connection.publish(Message(b"%03d" % published), MemoryTarget("a"))
                published += 1
            elif step == "receive":
                if memory.unread("a"):
                    held += await reader.receive(number + 1)
            elif step == "leave":
                await stack.aclose()
                reader = await stack.enter_async_context(
                    connection.subscribe(source, Capacity(100))
                )
                held.clear()
            elif held:
                delivery = held.pop(number % len(held))
                delivery.settle(Settlement(step), 0)
                gone[delivery.message.body] += step in {"ack", "reject"}

            assert memory.outstanding + gone.total() == published
            assert memory.stats().unsettled == len(held)
        for delivery in held:
            delivery.release()
        left = (
            [each.message.body for each in await reader.receive(100)] if memory.unread("a") else []
        )

    assert left == sorted(left)
    assert Counter(left) + gone == Counter(b"%03d" % n for n in range(published))


@settings(max_examples=60)
@given(steps)
def test_no_message_is_lost_doubled_or_overtaken(script: list[Step]) -> None:
    anyio.run(run, script)
