"""A takeover repeats nothing that was settled, whatever is given back meanwhile."""

from __future__ import annotations

import pytest
from anyio import create_task_group

from callboard_brokers import Capacity, Message
from callboard_brokers.kafka import KafkaTarget
from callboard_brokers.kafka.connection import KafkaConnection, KafkaSubscription

from .cluster import Cluster, source, take

pytestmark = [pytest.mark.anyio, pytest.mark.broker("kafka"), pytest.mark.slow]


async def test_what_was_handled_beyond_what_is_given_back_is_not_repeated(
    connection: KafkaConnection, cluster: Cluster, topic: str
) -> None:
    await cluster.create(topic)
    for body in (b"a0", b"a1", b"b2"):
        await connection.publish(Message(body), KafkaTarget(topic))
    again: list[bytes] = []

    async def read(subscription: KafkaSubscription) -> None:
        while True:
            for delivery in await subscription.receive(10):
                again.append(delivery.message.body)
                delivery.ack()

    def give_back() -> None:
        waiting.release()
        in_hand.ack()

    async with (
        connection.subscribe(source(topic), Capacity(10)) as first,
        create_task_group() as tasks,
    ):
        in_hand, waiting, handled = await take(first, 3)
        first.on_recall(give_back)
        handled.ack()  # b2: of another lane than a0 and a1
        tasks.start_soon(read, first)
        async with connection.subscribe(source(topic), Capacity(10)) as second:
            tasks.start_soon(read, second)
            await cluster.until_committed(f"{topic}.readers", 3)
            tasks.cancel_scope.cancel()

    assert again == [b"a1"]
