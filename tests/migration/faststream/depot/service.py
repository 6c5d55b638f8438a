"""A depot: what comes is counted, read by hand, forwarded in batches, and asked about."""

from typing import Any

from faststream import AckPolicy, FastStream, Logger, PublishCommand, Response
from faststream.exceptions import RejectMessage
from faststream.kafka import (
    KafkaBroker,
    KafkaMessage,
    KafkaPublisher,
    KafkaPublishMessage,
    KafkaResponse,
    KafkaRoute,
    KafkaRouter,
)
from faststream.middlewares import BaseMiddleware

counted: dict[str, int] = {}
commands: list[str] = []


class Stamp(BaseMiddleware):
    async def publish_scope(self, call_next: Any, cmd: PublishCommand) -> Any:
        commands.append(f"{type(cmd).__name__} {cmd.publish_type.name} {cmd.destination}")
        cmd.add_headers({"stamped": "yes"})
        return await call_next(cmd)


async def count(item: str, logger: Logger) -> Response:
    counted[item] = counted.get(item, 0) + 1
    logger.debug("counted")
    return KafkaResponse({"item": item}, key=item.encode(), headers={"kind": "count"})


async def refuse(message: KafkaMessage) -> None:
    if not message.headers.get("paid"):
        raise RejectMessage
    await message.ack()


broker = KafkaBroker(middlewares=(Stamp,))
router = KafkaRouter(
    "depot.",
    handlers=(
        KafkaRoute(count, "in", publishers=(KafkaPublisher("counts"),)),
        KafkaRoute(refuse, "paid", group_id="till", ack_policy=AckPolicy.MANUAL),
    ),
)
inner = KafkaRouter("inner.")
router.include_router(inner)
broker.include_routers(router)

batches = broker.publisher("batches", batch=True)
by_hand = broker.subscriber("by-hand", persistent=False)
stock = broker.subscriber("stock")


@stock(filter=lambda message: message.headers.get("kind") == "all")
async def whole(_: Any) -> dict[str, int]:
    return counted


@stock
async def one(item: str) -> int:
    return counted.get(item, 0)


@batches
@broker.subscriber("bulk", batch=True, max_records=10)
async def forward(items: list[str]) -> list[Any]:
    return [items[0], KafkaPublishMessage("second", key=b"2"), *items[1:]]


app = FastStream(broker)
