"""A service in parts: routers in routers, and routes that are declared apart from their functions."""

from faststream import Depends, FastStream
from faststream.kafka import KafkaBroker, KafkaPublisher, KafkaRoute, KafkaRouter

log: list[str] = []


def note_outer() -> None:
    log.append("outer")


def note_inner() -> None:
    log.append("inner")


async def lengthen(text: str) -> str:
    return text * 2


async def measure(text: str) -> int:
    return len(text)


def create_router() -> KafkaRouter:
    words = KafkaRouter(
        prefix="words.",
        dependencies=(Depends(note_inner),),
        handlers=(
            KafkaRoute(
                lengthen,
                "short",
                group_id="words",
                publishers=(KafkaPublisher("long"), KafkaPublisher("copies")),
            ),
        ),
    )
    words.publisher("sizes")(words.subscriber("long", group_id="words")(measure))
    outer = KafkaRouter(prefix="text.", dependencies=[Depends(note_outer)])
    outer.include_router(words)
    return outer


broker = KafkaBroker("localhost:9092", routers=(create_router(),))
sizes: list[int] = []


@broker.subscriber("text.words.sizes", group_id="sizes")
async def keep(size: int) -> None:
    sizes.append(size)


@broker.subscriber(
    "text.words.copies", title="Copies", description="What was lengthened.", include_in_schema=False
)
async def copies(text: str) -> None:
    log.append(text)


app = FastStream(broker)
