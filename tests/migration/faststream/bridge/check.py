from faststream import TestApp
from faststream.kafka import TestKafkaBroker
from faststream.rabbit import TestRabbitBroker

from service import app, both, ends, finished, kafka, passed, rabbit, to_kafka, to_rabbit


async def check() -> None:
    async with TestKafkaBroker(kafka) as k, TestRabbitBroker(rabbit) as r, TestApp(app):
        await k.publish({"sku": "cup"}, "bought")
        to_rabbit.mock.assert_called_once_with({"sku": "cup"})
        both.mock.assert_called_once_with({"kind": "sold", "sku": "cup", "price": 3.0})
        assert passed == [("rabbit", "Sold unknown")], passed

        answer = await r.request({"kind": "bought", "sku": "pot"}, "back", headers={"from": "me"})
        assert await answer.decode() == "passed on"
        assert passed[1][1].startswith("Bought"), passed
        to_kafka.mock.assert_called_once()

        answer = await r.request("", "health.ping", correlation_id="9")
        assert await answer.decode() == "rabbit 9"
        answer = await k.request("", "health.ping", correlation_id="8")
        assert await answer.decode() == "kafka 8"
    assert len(finished) == 3 and all(each.startswith("bridge") for each in finished)
    assert ends == ["started True", "started True", "shutdown", "lifespan"], ends
    assert app.broker is kafka and app.brokers == [kafka, rabbit]
