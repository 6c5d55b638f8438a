"""Readings of sensors in a stream of JetStream, with limits that are kept in a bucket."""

from faststream import FastStream, Path
from faststream.nats import JStream, NatsBroker, NatsMessage, NatsRouter, PullSub

broker = NatsBroker("nats://localhost:4222")
router = NatsRouter(prefix="site.")
stream = JStream("readings", subjects=["site.readings.>"])

limits: dict[str, float] = {"default": 100.0}
seen: list[tuple[str, float]] = []


@broker.subscriber("limit", kv_watch="limits")
async def new_limit(value: str) -> None:
    limits["default"] = float(value)


@router.subscriber(
    "readings.{sensor}", durable="judge", stream=stream, pull_sub=PullSub(batch_size=10)
)
@router.publisher("alarms", stream="alarms")
async def judge(value: float, sensor: str = Path()) -> dict[str, object]:
    seen.append((sensor, value))
    return {"sensor": sensor, "high": value > limits["default"]}


@router.subscriber("alarms", queue="ringers", stream=JStream("alarms"))
async def ring(sensor: str, high: bool, message: NatsMessage) -> None:
    if high:
        await broker.publish(f"{sensor} is high", "bell", correlation_id=message.correlation_id)


@broker.subscriber("bell")
async def bell(text: str) -> str:
    return text.upper()


broker.include_router(router)
app = FastStream(broker)
