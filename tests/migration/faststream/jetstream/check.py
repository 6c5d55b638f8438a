from faststream.nats import TestNatsBroker

from service import bell, broker, judge, ring, seen


async def check() -> None:
    async with TestNatsBroker(broker):
        await broker.publish(140.5, "site.readings.boiler", stream="readings")
        judge.mock.assert_called_once_with(140.5)
        ring.mock.assert_called_once_with({"sensor": "boiler", "high": True})
        bell.mock.assert_called_once_with("boiler is high")
        assert seen == [("boiler", 140.5)]

        answer = await broker.request("quiet", "bell", timeout=3.0)
        assert await answer.decode() == "QUIET"
