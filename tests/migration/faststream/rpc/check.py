from faststream.rabbit import TestRabbitBroker

from service import broker, calculate, exchange, journal


async def check() -> None:
    async with TestRabbitBroker(broker):
        answer = await broker.request(
            {"left": 2, "right": 3},
            routing_key="calc.divide",
            exchange=exchange,
            headers={"precision": 4},
            correlation_id="one",
            timeout=5.0,
        )
        assert await answer.decode() == {"result": 0.6667}
        assert answer.correlation_id == "one"

        answer = await broker.request(
            {"left": 1, "right": 0}, routing_key="calc.divide", exchange=exchange, timeout=5.0
        )
        assert await answer.decode() == {"error": "division by zero"}

        calculate.mock.assert_called_with({"left": 1, "right": 0})
    assert "consume one" in journal
    assert journal[0] == "publish"
