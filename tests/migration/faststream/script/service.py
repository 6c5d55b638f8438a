"""Scripts that read and write Kafka without an application, by subscribers of the moment."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from faststream.exceptions import FeatureNotSupportedException, IgnoredException, StopConsume
from faststream.kafka import KafkaBroker, KafkaMessage, KafkaPublishCommand
from faststream.middlewares import AckPolicy, BaseMiddleware
from faststream.response import Response, ensure_response
from faststream.specification import AsyncAPI
from faststream.types import SendableMessage

T = TypeVar("T", bound=BaseModel)
LEFT: list[str] = []


class Page(BaseModel, Generic[T]):
    number: int
    items: list[T]


class Row(BaseModel):
    id: int
    name: str = "nobody"


class Count(BaseMiddleware):
    """Counts what passes, by destination; state of a message is in the object."""

    published: dict[str, int] = {}

    async def on_receive(self) -> None:
        self.began = asyncio.get_running_loop().time()
        await super().on_receive()

    async def publish_scope(
        self, call_next: Callable[[KafkaPublishCommand], Any], cmd: KafkaPublishCommand
    ) -> Any:
        number = len(cmd.batch_bodies)
        self.published[cmd.destination] = self.published.get(cmd.destination, 0) + number
        if self.msg is not None:
            cmd.headers["took"] = str(asyncio.get_running_loop().time() >= self.began)
        return await call_next(cmd)


def make() -> KafkaBroker:
    broker = KafkaBroker("localhost:9092", middlewares=(Count,), ack_policy=AckPolicy.ACK)
    broker.subscriber("pages", group_id="pages")(handle_page)
    rows = broker.publisher("rows", batch=True, schema=Row, title="Rows")
    broker.subscriber("split")(rows(split))
    broker.subscriber("quit")(leave)
    return broker


async def handle_page(page: Page[Row]) -> None:
    assert all(isinstance(row, Row) for row in page.items)


async def split(page: Page[Row]) -> list[Row]:
    """Each row by itself."""
    return page.items


async def leave(word: str) -> None:
    try:
        if word == "stop":
            raise StopConsume()
    except IgnoredException:
        LEFT.append(word)


async def send_all(broker: KafkaBroker, rows: list[SendableMessage]) -> None:
    publisher = broker.publisher("rows", batch=True)
    await publisher.publish(*rows, headers={"bulk": "yes"})


async def first(broker: KafkaBroker, topic: str, text: str) -> bytes | None:
    """Return what comes first to *topic* after *text* was sent to it."""
    subscriber = broker.subscriber(topic, group_id=None, persistent=False)
    async with subscriber:
        await broker.publish(text, topic)
        message: KafkaMessage | None = await subscriber.get_one(timeout=5.0)
        return message.body if message else None


def answer(value: Any) -> Response:
    made = ensure_response(value)
    assert made is ensure_response(made)
    return made


def document(broker: KafkaBroker) -> dict[str, Any]:
    factory = AsyncAPI(broker, title="Rows", version="1.2.0", description="By script")
    return factory.to_specification().to_jsonable()


ERRORS: tuple[type[BaseException], ...] = (FeatureNotSupportedException, IgnoredException)
