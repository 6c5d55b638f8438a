from faststream.kafka import TestKafkaBroker

from service import bill, book, broker, count, counted, invoices, other, refund


async def check() -> None:
    async with TestKafkaBroker(broker):
        await broker.publish(
            {"id": 1, "customer": "ada", "quantity": 2}, "events", headers={"kind": "order"}
        )
        bill.mock.assert_called_once_with({"id": 1, "customer": "ada", "quantity": 2})
        book.mock.assert_called_once_with({"order": 1, "total": 19.0})
        invoices.mock.assert_called_once_with({"order": 1, "total": 19.0})

        await broker.publish({"refund": 3, "reason": "broken"}, "events")
        refund.mock.assert_called_once_with({"refund": 3, "reason": "broken"})

        await broker.publish("hello", "events")
        other.mock.assert_called_once_with("hello")

        await broker.publish_batch({"page": "a"}, {"page": "b"}, topic="clicks")
        count.mock.assert_called_once_with([{"page": "a"}, {"page": "b"}])
        assert counted == [2]
