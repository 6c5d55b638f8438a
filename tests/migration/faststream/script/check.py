from faststream.kafka import TestKafkaBroker

from service import ERRORS, Count, Row, answer, document, handle_page, make, send_all, split


async def check() -> None:
    broker = make()
    page = {"number": 1, "items": [{"id": 1, "name": "Ann"}, {"id": 2}]}
    received = []

    @broker.subscriber("rows", batch=True)
    async def rows(given: list[Row]) -> None:
        received.append([row.name for row in given])

    async with TestKafkaBroker(broker) as tested:
        await tested.publish(page, "pages")
        await tested.publish(page, "split")
        await send_all(tested, [Row(id=5, name="Eve"), {"id": 6}])
        rows.mock.assert_called_with([{"id": 5, "name": "Eve"}, {"id": 6}])
        await tested.publish("stop", "quit")
    assert received == [["Ann", "nobody"], ["Eve", "nobody"]], received
    assert Count.published["rows"] == 4, Count.published
    assert answer({"a": 1}).body == {"a": 1}
    assert len(ERRORS) == 2
    described = document(broker)
    assert described["info"]["title"] == "Rows" and described["info"]["version"] == "1.2.0"
    assert {"pages", "split", "rows"} <= {each["address"] for each in described["channels"].values()}
