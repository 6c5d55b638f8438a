"""Consume, transform, produce; die between produce and commit. Run by test_transactions.py.

    python transformer.py ADDRESS TOPIC COMMIT END

COMMIT is the number of the transaction that does not go on as usual, 0 for none. There the process
ends, by END: "kill" before the commit is asked for, "late" just after; "stop" stops it before.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import aiokafka  # pyright: ignore[reportMissingTypeStubs] - it says nothing of its types
import anyio

from callboard_brokers import Capacity, Message
from callboard_brokers.kafka import Kafka, KafkaSource, KafkaTarget
from callboard_brokers.kafka.connection import KafkaSubscription

client: Any = aiokafka


def end_at(number: int, end: str) -> None:
    """Let the *number*-th transaction that has outputs end like that."""
    commit = client.AIOKafkaProducer.commit_transaction
    seen = 0

    async def ending(producer: Any) -> None:
        nonlocal seen
        # The position alone is committed once where the group begins.
        seen += bool(producer._txn_manager.txn_partitions)
        if seen == number:
            if end == "late":
                loop = asyncio.get_running_loop()
                loop.call_later(0.001, os.kill, os.getpid(), signal.SIGKILL)
            else:
                os.kill(os.getpid(), signal.SIGSTOP if end == "stop" else signal.SIGKILL)
        await commit(producer)

    client.AIOKafkaProducer.commit_transaction = ending


async def is_through(subscription: KafkaSubscription) -> bool:
    """Whether all that there is to read for us is committed."""
    consumer: Any = subscription.consumer  # knows the ends
    ends = await consumer.end_offsets(consumer.assignment())
    return all([await consumer.committed(name) == end for name, end in ends.items()])


async def main(address: str, topic: str) -> None:
    source = KafkaSource(
        topics=(topic,),
        group_id=f"{topic}.readers",
        transactional=True,
        auto_offset_reset="earliest",
        session_timeout_ms=1000,
        heartbeat_interval_ms=200,
        commit_interval=0.02,
    )
    async with (
        Kafka(address).connect() as connection,
        connection.subscribe(source, Capacity(100)) as subscription,
    ):
        while True:
            with anyio.move_on_after(2) as idle:
                for delivery in await subscription.receive(3):
                    output = Message(delivery.message.body)
                    subscription.enlist(delivery, [(output, KafkaTarget(f"{topic}.out"))])
                    delivery.ack()
                await anyio.sleep(0.02)
            if idle.cancelled_caught and await is_through(subscription):
                return


if __name__ == "__main__":
    end_at(int(sys.argv[3]), sys.argv[4])
    anyio.run(main, sys.argv[1], sys.argv[2])
