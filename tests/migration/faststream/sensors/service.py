"""Sensors on NATS: queue groups, a wire format of its own, a stream by its consumer's config, files."""

import json
import zlib
from typing import Any, Optional

from nats.js.api import DeliverPolicy

import faststream
from faststream import Context, Depends, Logger, NoCast
from faststream.message import StreamMessage
from faststream.nats import (
    ConsumerConfig,
    JStream,
    NatsBroker,
    NatsMessage,
    NatsPublisher,
    NatsResponse,
    NatsRoute,
    NatsRouter,
    PullSub,
)
from faststream.nats.annotations import NatsBroker as BrokerAnnotation

async def unpack(message: StreamMessage[Any], original: Any) -> Any:
    """Bodies are packed, unless they are plain."""
    if message.headers.get("packed") == "yes":
        return json.loads(zlib.decompress(message.body))
    return await original(message)


def pack(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode())


broker = NatsBroker(
    ["nats://localhost:4222", "nats://localhost:4223"],
    name="sensors",
    decoder=unpack,
    inbox_prefix="_SENSORS",
)
app = faststream.FastStream(broker)
stream = JStream("history", subjects=["history.>"], declare=True)

latest: dict[str, float] = {}
alarms: list[str] = []
batches: list[int] = []
calls: list[str] = []


def limit(logger: Logger, bound: int = Context("bound", default=50)) -> int:
    logger.debug("the limit is %s", bound)
    return bound


def only_numbers(message: NatsMessage) -> bool:
    return message.headers.get("kind") != "text"


values = broker.subscriber("sensor.{name}.value", queue="workers")


@values(filter=only_numbers)
async def value(
    body: float,
    at_most: int = Depends(limit),
    name: str = faststream.Path(),
) -> Optional[NatsResponse]:
    latest[name] = body
    if body > at_most:
        await broker.publish({"sensor": name, "value": body}, "alarm", headers={"level": "high"})
    return NatsResponse({"stored": name}, headers={"by": "value"})


@values
async def text(body: NoCast[str], message: NatsMessage) -> None:
    calls.append(f"text {body} {message.correlation_id}")


@broker.subscriber("sensor.*.value", queue="workers")
async def value_too(body: Any) -> None:
    calls.append("too")


@broker.subscriber("alarm")
async def alarm(sensor: str, value: float, level: str = faststream.Header()) -> None:
    alarms.append(f"{sensor} {level} {value:g}")


async def keep(entries: list[dict[str, Any]]) -> int:
    batches.append(len(entries))
    return len(entries)


async def history(body: dict[str, Any], message: NatsMessage, nats: BrokerAnnotation) -> None:
    assert message.raw_message is not None
    calls.append(f"history {body['n']}")
    await message.ack()
    await nats.publish(str(body["n"]), "ticks")


router = NatsRouter(
    "history.",
    handlers=[
        NatsRoute(
            keep,
            "batch",
            stream=stream,
            durable="keeper",
            pull_sub=PullSub(batch_size=5, batch=True, timeout=0.2),
            publishers=[NatsPublisher("kept")],
        ),
        NatsRoute(
            history,
            "one",
            stream=stream,
            config=ConsumerConfig(durable_name="history", deliver_policy=DeliverPolicy.ALL),
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=faststream.AckPolicy.MANUAL,
        ),
    ],
)
broker.include_routers(router)


@broker.subscriber("ticks", max_workers=3)
def tick(n: int) -> None:
    calls.append(f"tick {n}")
