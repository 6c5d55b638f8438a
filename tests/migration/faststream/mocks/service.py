"""A service that decides for itself what becomes of a message, and is tested to the last mock."""

from faststream import AckPolicy, Depends, FastStream
from faststream.exceptions import AckMessage, NackMessage, RejectMessage
from faststream.rabbit import RabbitBroker, RabbitQueue, RabbitResponse
from faststream.rabbit.annotations import RabbitMessage

broker = RabbitBroker()
app = FastStream(broker)
results = broker.publisher("results")
tries: list[str] = []


async def price() -> float:
    raise RuntimeError("the price service is away")


@broker.subscriber(RabbitQueue("quotes", auto_delete=True), ack_policy=AckPolicy.MANUAL)
@results
async def quote(
    amount: int, message: RabbitMessage, each: float = Depends(price)
) -> RabbitResponse:
    await message.ack()
    return RabbitResponse(
        {"total": amount * each}, headers={"currency": "EUR"}, correlation_id="fixed"
    )


@broker.subscriber("jobs", ack_policy=AckPolicy.NACK_ON_ERROR)
async def job(kind: str) -> None:
    tries.append(kind)
    if kind == "done":
        raise AckMessage
    if kind == "bad":
        raise RejectMessage
    if tries.count(kind) == 1:
        raise NackMessage


@broker.subscriber("typed")
async def typed(number: int) -> None: ...
