from faststream.kafka import TestKafkaBroker

from service import batches, broker, by_hand, commands, count, counted, forward, inner

late: list[str] = []


async def check() -> None:
    async with TestKafkaBroker(broker):
        await broker.publish("nail", "depot.in")
        await broker.publish("nail", topic="depot.in", headers={"from": "ann"})
        assert counted == {"nail": 2}, counted
        assert commands[0].endswith(" PUBLISH depot.in"), commands

        answer = await broker.request("nail", "stock", timeout=5.0)
        assert await answer.decode() == 2
        answer = await broker.request("", "stock", headers={"kind": "all"}, timeout=5.0)
        assert await answer.decode() == {"nail": 2}
        assert any(" REQUEST stock" in each for each in commands), commands

        await broker.publish_batch("a", "b", topic="bulk")
        forward.mock.assert_called()
        assert batches.mock.called

        await broker.publish(1, "depot.paid", headers={"paid": "1"})

        async with by_hand:
            await broker.publish("x", "by-hand")
            message = await by_hand.get_one(timeout=3.0)
            assert message is not None
            assert await message.decode() == "x"
            assert message.headers["stamped"] == "yes"
            await message.ack()
            assert await by_hand.get_one(timeout=0.05) is None

        dynamic = inner.subscriber("late", persistent=False)

        @dynamic
        async def hear(text: str) -> None:
            late.append(text)

        await dynamic.start()
        await broker.publish("hello", "depot.inner.late")
        await dynamic.stop()

    assert late == ["hello"], late
    assert await count("screw", __import__("logging").getLogger("x"))
