import pydantic
from faststream import TestApp
from faststream.rabbit import TestRabbitBroker

from service import app, broker, job, price, quote, results, tries, typed


async def check() -> None:
    async with TestRabbitBroker(broker) as tested, TestApp(app):
        with app.broker.provider.scope(price, lambda: 2.5):
            await tested.publish(4, "quotes")
        await quote.wait_call(timeout=3.0)
        quote.mock.assert_called_once_with(4)
        results.mock.assert_called_once_with({"total": 10.0})

        await tested.publish("done", "jobs")
        await tested.publish("bad", "jobs")
        assert [call.args[0] for call in job.mock.call_args_list] == ["done", "bad"]

        try:
            await tested.publish("wrong", "typed")
        except pydantic.ValidationError as error:
            assert error.error_count() == 1
        else:
            raise AssertionError("a validation error was expected")
        typed.mock.assert_called_once_with("wrong")
    assert tries == ["done", "bad"]
