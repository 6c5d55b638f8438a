"""A shop's stock, made by a factory from settings: classes as dependencies, keys, tombstones."""

import functools
import os
from dataclasses import dataclass, field
from typing import Annotated, Any, Awaitable, Callable

from faststream import BaseMiddleware, Context, Depends, FastStream, Path, PublishCommand
from faststream import StreamMessage
from faststream.kafka import KafkaBroker as Broker
from faststream.kafka import KafkaPublishMessage, KafkaRouter, TopicPartition
from faststream.kafka.annotations import KafkaBroker, KafkaMessage


@dataclass
class Settings:
    servers: str = field(default_factory=lambda: os.getenv("KAFKA", "localhost:9092"))
    prefix: str = "shop."
    tenant: str = "acme"


class Stamp(BaseMiddleware):
    """Says in each message whose it is, and refuses those of others."""

    def __init__(self, msg: Any, /, *, context: Any, tenant: str) -> None:
        super().__init__(msg, context=context)
        self.tenant = tenant

    async def consume_scope(
        self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Any]
    ) -> Any:
        with self.context.scope("tenant", msg.headers.get("tenant", "nobody")):
            return await call_next(msg)

    async def publish_scope(
        self, call_next: Callable[[PublishCommand], Awaitable[Any]], cmd: PublishCommand
    ) -> Any:
        cmd.add_headers({"tenant": self.tenant}, override=False)
        return await call_next(cmd)


class Stock:
    """The pieces that there are; it is called for each message, and is always the same."""

    def __init__(self) -> None:
        self.pieces: dict[str, int] = {}

    async def __call__(self) -> "Stock":
        return self


class Audit:
    def __init__(self, log: list[tuple[str, str]]) -> None:
        self.log = log

    def __call__(self, message: KafkaMessage, tenant: Annotated[str, Context()]) -> None:
        self.log.append((tenant, message.raw_message.topic))


stock = Stock()
audited: list[tuple[str, str]] = []
router = KafkaRouter(dependencies=[Depends(Audit(audited))])
moves = router.publisher("moves", key="all", headers={"source": "stock"})


@router.subscriber("deliveries", group_id="stock", auto_offset_reset="earliest", max_workers=4)
async def deliver(
    sku: str,
    pieces: int,
    there: Annotated[Stock, Depends(stock)],
    note: str | None = None,
) -> None:
    there.pieces[sku] = there.pieces.get(sku, 0) + pieces
    await moves.publish({"sku": sku, "pieces": pieces, "note": note}, key=sku.encode())


@router.subscriber(pattern="shop.orders.{country}", group_id="orders")
async def order(
    body: dict[str, int],
    broker: KafkaBroker,
    message: KafkaMessage,
    country: str = Path(),
    there: Stock = Depends(stock),
) -> None:
    for sku, pieces in body.items():
        there.pieces[sku] -= pieces
    gone = [sku for sku in body if there.pieces[sku] <= 0]
    await broker.publish_batch(
        *(KafkaPublishMessage({"sku": sku, "country": country}, key=sku.encode()) for sku in gone),
        topic="shop.gone",
        correlation_id=message.correlation_id,
    )
    for sku in gone:
        await broker.publish(None, "shop.catalogue", key=sku.encode())


@router.subscriber(partitions=[TopicPartition("shop.catalogue", 0)])
async def catalogue(entry: Any, key: bytes = Context("message.raw_message.key")) -> None:
    if not entry:
        stock.pieces.pop(key.decode())


def create_app(settings: Settings | None = None) -> FastStream:
    settings = settings or Settings()
    broker = Broker(
        settings.servers.split(","),
        client_id="stock",
        middlewares=[functools.partial(Stamp, tenant=settings.tenant)],
        graceful_timeout=10.0,
    )
    inner = KafkaRouter(settings.prefix)
    broker.include_router(router if not settings.prefix else _nested(inner))
    return FastStream(broker)


def _nested(outer: KafkaRouter) -> KafkaRouter:
    outer.include_router(router)
    return outer
