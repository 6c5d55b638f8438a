from faststream.nats import TestNatsBroker

from service import alarm, alarms, batches, broker, calls, latest, pack, value


async def check() -> None:
    async with TestNatsBroker(broker) as tested:
        answer = await tested.request(12.5, "sensor.roof.value", timeout=3)
        assert await answer.decode() == {"stored": "roof"} and answer.headers["by"] == "value"
        await tested.publish(pack(99), "sensor.yard.value", headers={"packed": "yes"})
        assert latest.get("yard", 99) == 99
        await tested.publish("hi", "sensor.roof.value", headers={"kind": "text"}, correlation_id="c")
        await tested.publish({"sensor": "x", "value": 2}, "alarm", headers={"level": "low"})
        alarm.mock.assert_called_with({"sensor": "x", "value": 2})
        assert alarms[-1] == "x low 2"
        await tested.publish({"n": 4}, "history.one", stream="history")
        await tested.publish({"n": 5}, "history.batch", stream="history")
        assert batches == [1]
        assert "history 4" in calls and "tick 4" in calls, calls
        broker.context.set_global("bound", 1)
