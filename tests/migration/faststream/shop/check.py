from faststream.kafka import KafkaRouter, TestKafkaBroker

from service import Settings, audited, create_app, deliver, moves, stock


async def check() -> None:
    app = create_app(Settings(prefix=""))
    broker = app.broker
    gone = []

    @broker.subscriber("shop.gone", batch=True)
    async def look(entries: list[dict[str, str]]) -> None:
        gone.extend(entries)

    async with TestKafkaBroker(broker) as tested:
        await tested.publish({"sku": "cup", "pieces": 3}, "deliveries", key=b"cup")
        await deliver.wait_call(3)
        deliver.mock.assert_called_once_with({"sku": "cup", "pieces": 3})
        moves.mock.assert_called_once_with({"sku": "cup", "pieces": 3, "note": None})
        assert stock.pieces == {"cup": 3}

        await tested.publish(
            {"cup": 3}, "shop.orders.fr", headers={"tenant": "other"}, correlation_id="7"
        )
        assert gone == [{"sku": "cup", "country": "fr"}], gone
        assert stock.pieces == {}
    assert ("acme", "deliveries") in audited
    assert ("other", "shop.orders.fr") in audited, audited
