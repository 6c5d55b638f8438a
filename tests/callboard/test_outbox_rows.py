"""What stands in an outbox is what the broker would have sent, whichever broker that is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callboard import BaseMiddleware, DeclarationError, MemoryBroker
from callboard.kafka import KafkaBroker
from callboard.nats import JStream, NatsBroker
from callboard.outbox import Outbox
from callboard.outbox._row import read, written
from callboard.rabbit import RabbitBroker, RabbitExchange

pytestmark = pytest.mark.anyio

NOWHERE = "postgresql://nowhere"
AT = datetime(2030, 1, 1, tzinfo=UTC)


async def made(broker: Any, address: str, **options: Any) -> Any:
    """Return what a broker would send of a message that is written."""
    outbox = Outbox(broker, NOWHERE, relay=False)
    [output] = await outbox._made({"n": 1}, [address], options)  # pyright: ignore[reportPrivateUsage]
    return output


async def there_and_back(broker: Any, address: str, **options: Any) -> tuple[Any, Any]:
    """Return where a message goes that is published, and where it does that was read again."""
    output, kind = await made(broker, address, **options), broker.slot.around.kind
    row = written(output, None, kind)
    target, message = read({"body": row.body, "envelope": row.envelope}, kind)

    assert row.address == address
    assert (message.body, message.content_type) == (b'{"n":1}', "application/json")
    assert message.message_id == output.message.message_id
    return output.target, target


@pytest.mark.parametrize(
    ("broker", "options"),
    [
        (MemoryBroker(), {"key": b"\xff", "delay": timedelta(seconds=1.5)}),
        (KafkaBroker(), {"key": "k", "partition": 3, "timestamp_ms": 5}),
        (RabbitBroker(), {"priority": 3, "expiration": 5, "timestamp": AT, "persist": False}),
        (NatsBroker(), {"stream": "ORDERS", "at": AT, "deduplication_id": "once"}),
    ],
    ids=["memory", "kafka", "rabbit", "nats"],
)
async def test_all_that_is_said_of_where_it_goes_is_kept(
    broker: Any, options: dict[str, Any]
) -> None:
    before, after = await there_and_back(broker, "orders", **options)

    for name, value in options.items():
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        assert getattr(after, name) == seconds
        assert getattr(before, name) == value


async def test_what_is_declared_elsewhere_is_kept_by_its_name() -> None:
    stream = JStream("ORDERS", ["orders"])
    _, nats = await there_and_back(NatsBroker(), "orders", stream=stream)
    exchange = RabbitExchange("shop", durable=True)
    _, rabbit = await there_and_back(RabbitBroker(), "orders", exchange=exchange)

    assert nats.stream == "ORDERS"
    assert (rabbit.through, rabbit.key) == ("shop", "orders")


async def test_middlewares_see_it_when_it_is_written() -> None:
    class Signed(BaseMiddleware):
        async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
            cmd.add_headers({"signed": "yes"})
            return await call_next(cmd)

    broker = MemoryBroker(middlewares=[Signed])
    output = await made(broker, "out")

    assert output.message.headers == {"signed": "yes"}


async def test_what_the_broker_refuses_is_refused_when_it_is_written() -> None:
    with pytest.raises(DeclarationError, match="speed"):
        await made(MemoryBroker(), "out", speed=3)


@pytest.mark.parametrize("options", [{"lease": 0}, {"poll": -1}, {"keep": -1}, {"table": "a b"}])
def test_an_outbox_that_can_not_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=next(iter(options))):
        Outbox(MemoryBroker(), NOWHERE, **options)
