"""Settlement: what is told to the broker, once, and what the broker does then."""

# ruff: noqa: S101 - these are tests: they assert

from __future__ import annotations

from anyio import current_time

from callboard_brokers._settlement import Settlement
from callboard_brokers.conformance._harness import Harness


async def an_acknowledged_message_does_not_come_again(harness: Harness) -> None:
    harness.needs("persistent")
    async with harness.connect() as stage:
        async with stage.read() as incoming:
            await stage.publish(b"once")
            (await incoming.one()).ack()
        async with stage.read() as incoming:
            assert await incoming.silent()


async def a_nacked_message_comes_again(harness: Harness) -> None:
    harness.needs("redelivers")
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(b"again")
        (await incoming.one()).nack()
        delivery = await incoming.one()

        assert delivery.message.body == b"again"
        assert not delivery.settled
        delivery.ack()


async def a_nacked_message_waits_longer_each_time(harness: Harness) -> None:
    harness.needs("redelivers")
    waits: list[float] = []
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(b"again and again")
        delivery = await incoming.one()
        for _ in range(4):
            delivery.nack()
            nacked_at = current_time()
            delivery = await incoming.one()
            waits.append(current_time() - nacked_at)
        delivery.ack()

    assert min(waits) > 0.09, "a tenth of a second at least, as far as clocks agree"
    assert waits[-1] > 0.15


async def a_nack_holds_a_message_back_for_its_delay(harness: Harness) -> None:
    harness.needs("redelivers", "delays")
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(b"later")
        nacked_at = current_time()
        (await incoming.one()).nack(delay=1.0)
        (await incoming.one()).ack()

        assert current_time() - nacked_at >= 1.0


async def a_delayed_message_holds_back_no_other(harness: Harness) -> None:
    harness.needs("redelivers", "delays")
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(b"slow", b"swift")
        (await incoming.one()).nack(delay=1.0)

        assert [(await incoming.one()).message.body for _ in range(2)] == [b"swift", b"slow"]


async def every_nack_raises_the_count_of_deliveries(harness: Harness) -> None:
    harness.needs("redelivers", "counts_deliveries")
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(b"counted")
        counts: list[int | None] = []
        for _ in range(3):
            delivery = await incoming.one()
            counts.append(delivery.deliveries)
            delivery.nack()

        assert counts == [1, 2, 3]


async def a_released_message_comes_again(harness: Harness) -> None:
    harness.needs("redelivers")
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(b"unhandled")
        (await incoming.one()).release()

        assert (await incoming.one()).message.body == b"unhandled"


async def a_rejected_message_is_found_among_the_dead_letters(harness: Harness) -> None:
    harness.needs("keeps_rejected")
    if harness.dead_letters is None:
        raise ValueError("features.keeps_rejected is true: give the harness its dead_letters")
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(b"dead", b"alive")
        dead, alive = await incoming.take(2)
        dead.reject()
        alive.ack()

        assert await incoming.silent()
        assert list(await harness.dead_letters(harness.address)) == [b"dead"]


async def a_message_settles_through_its_delivery(harness: Harness) -> None:
    harness.needs("redelivers")
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(b"by hand")
        delivery = await incoming.one()
        await delivery.message.ack()
        await delivery.message.nack()

        assert delivery.message.processed
        assert delivery.settlement is Settlement.ACK
        assert await incoming.silent()


async def the_first_settlement_wins_and_others_are_counted(harness: Harness) -> None:
    async with harness.connect() as stage, stage.read() as incoming:
        await stage.publish(b"twice")
        delivery = await incoming.one()
        before = harness.settled_twice()

        assert delivery.ack()
        assert not delivery.nack()
        assert harness.settled_twice() == before + 1
        assert await incoming.silent()


async def leaving_a_subscription_gives_back_what_is_unsettled(harness: Harness) -> None:
    harness.needs("redelivers", "persistent")
    async with harness.connect() as stage:
        async with stage.read() as incoming:
            await stage.publish(b"settled", b"held", b"never taken")
            (await incoming.take(2))[0].ack()
        async with stage.read() as incoming:
            bodies = {delivery.message.body for delivery in await incoming.take(2)}

            assert bodies == {b"held", b"never taken"}


async def a_stale_settlement_is_dropped_and_counted(harness: Harness) -> None:
    harness.needs("redelivers", "persistent")
    async with harness.connect() as stage:
        async with stage.read() as incoming:
            await stage.publish(b"done", b"untouched")
            done, untouched = await incoming.take(2)
        before = harness.stale()
        untouched.release()
        assert harness.stale() == before, "nothing was done, so nothing is done twice"
        done.ack()
        async with stage.read() as incoming:
            assert len(await incoming.take(2)) == 2
            assert harness.stale() == before + 1
