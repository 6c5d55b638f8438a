"""Orders from Kafka: events are sorted by kind, orders become invoices, clicks are counted in batches."""

from pydantic import BaseModel, Field

from faststream import Context, FastStream, Header, Logger
from faststream.kafka import KafkaBroker, KafkaMessage, KafkaResponse

broker = KafkaBroker("localhost:9092")
app = FastStream(broker)

invoices = broker.publisher("invoices", title="Invoices")
events = broker.subscriber("events", group_id="sorter", auto_offset_reset="earliest")
counted: list[int] = []


class Order(BaseModel):
    id: int
    customer: str
    quantity: int = Field(gt=0)


class Invoice(BaseModel):
    order: int
    total: float


class Click(BaseModel):
    page: str


def is_order(message: KafkaMessage) -> bool:
    return message.headers.get("kind") == "order"


async def is_refund(message: KafkaMessage) -> bool:
    body = await message.decode()
    return isinstance(body, dict) and "refund" in body


@events(filter=is_order)
@invoices
async def bill(order: Order, logger: Logger, kind: str = Header()) -> KafkaResponse:
    logger.info("billing %s for %s", kind, order.customer)
    invoice = Invoice(order=order.id, total=order.quantity * 9.5)
    return KafkaResponse(invoice, key=order.customer.encode(), headers={"source": "sorter"})


@events(filter=is_refund)
@broker.publisher("refunds")
async def refund(refund: int, reason: str = "none") -> dict[str, object]:
    return {"refunded": refund, "reason": reason}


@events
async def other(
    body: object, message: KafkaMessage, topic: str = Context("message.raw_message.topic")
) -> None:
    await broker.publish(
        {"unknown": str(body), "from": topic}, "leftovers", correlation_id=message.correlation_id
    )


@broker.subscriber("clicks", batch=True, max_records=100, group_id="counter")
async def count(clicks: list[Click]) -> None:
    counted.append(len(clicks))


@broker.subscriber("invoices", group_id="books")
async def book(invoice: Invoice, source: str = Header()) -> None:
    assert source == "sorter"
