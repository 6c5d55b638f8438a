"""Two brokers and one application: what comes by Kafka goes on by RabbitMQ, and the other way."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, AsyncIterator

from pydantic import BaseModel, Discriminator, Tag

from faststream import Context, ContextRepo, Depends, FastStream, Header
from faststream.kafka import KafkaBroker, KafkaMessage, KafkaRouter
from faststream.rabbit import RabbitBroker, RabbitMessage, RabbitQueue, RabbitRouter

if TYPE_CHECKING:
    from faststream import BaseMiddleware, Logger


class Bought(BaseModel):
    kind: str = "bought"
    sku: str


class Sold(BaseModel):
    kind: str = "sold"
    sku: str
    price: float


def kind_of(body: Any) -> str:
    return body["kind"] if isinstance(body, dict) else body.kind


Event = Annotated[
    Annotated[Bought, Tag("bought")] | Annotated[Sold, Tag("sold")], Discriminator(kind_of)
]

app_context = ContextRepo({"name": "bridge", "limit": 0})
kafka = KafkaBroker("localhost:9092", context=ContextRepo({"way": "kafka"}))
rabbit = RabbitBroker("amqp://localhost", context=ContextRepo({"way": "rabbit"}))
passed: list[tuple[str, str]] = []
finished: list[str] = []
ends: list[str] = []


@asynccontextmanager
async def lifespan(context: ContextRepo) -> AsyncIterator[None]:
    context.set_global("started", True)
    yield
    ends.append("lifespan")


app = FastStream(kafka, rabbit, context=app_context, lifespan=lifespan)


async def session(name: str = Context()) -> AsyncIterator[list[str]]:
    work: list[str] = [name]
    try:
        yield work
    finally:
        finished.append(",".join(work))


Session = Annotated[list[str], Depends(session)]


@kafka.subscriber("bought", group_id="bridge")
@rabbit.publisher("stock")
async def to_rabbit(event: Bought, work: Session, way: str = Context()) -> Sold:
    work.append(way)
    return Sold(sku=event.sku, price=len(event.sku))


@kafka.subscriber("returned")
@rabbit.subscriber(RabbitQueue("stock"))
async def both(
    event: Event,
    work: Session,
    way: Annotated[str, Context()],
    origin: Annotated[str, Header("x-origin", default="unknown")],
    limit: Annotated[int, Context(default=7)],
) -> None:
    assert limit == 0
    work.append(event.sku)
    passed.append((way, f"{type(event).__name__} {origin}"))


@rabbit.subscriber("back")
async def to_kafka(message: RabbitMessage) -> str:
    body = await message.decode()
    await kafka.publish(
        body, topic="returned", key=b"k", headers={"x-origin": message.headers.get("from", "rabbit")}
    )
    return "passed on"


def make(prefix: str) -> tuple[KafkaRouter, RabbitRouter]:
    there, here = KafkaRouter(prefix), RabbitRouter(prefix)

    async def ping(message: KafkaMessage, way: str = Context()) -> str:
        return f"{way} {message.correlation_id}"

    for router in (there, here):
        router.subscriber("ping")(ping)
    return there, here


a, b = make("health.")
kafka.include_router(a)
rabbit.include_router(b)


@app.on_startup
@app.after_startup
def note(started: bool = Context()) -> None:
    ends.append(f"started {started}")


@app.after_shutdown
async def leave(context: ContextRepo) -> None:
    assert context.get("started") and context.get("way") is None
    ends.append("shutdown")
