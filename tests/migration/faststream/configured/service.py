"""A service that knows its address, its ids and its validation by settings that are read at the start."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from fast_depends import Provider
from fast_depends.msgspec import MsgSpecSerializer

from faststream import Context, ContextRepo, Depends, FastStream, Header
from faststream.kafka import KafkaBroker, KafkaRouter, Topic

numbers = count(1)
provider = Provider()
sent: list[str] = []


@dataclass
class Mail:
    to: str
    copies: int = 1


async def signature() -> str:
    return "a person"


broker = KafkaBroker(
    id_generator=lambda: f"mail-{next(numbers)}",
    serializer=MsgSpecSerializer(),
    provider=provider,
    graceful_timeout=5.0,
)
router = KafkaRouter(prefix="eu.")


@router.subscriber(Topic("mails", num_partitions=2), group_id="mailer")
@router.publisher("sent", key=b"mail")
async def send(
    mail: Mail,
    correlation_id: str = Context("message.correlation_id"),
    language: str = Header("accept-language", default="en"),
    server: str = Context("settings.server"),
    signed: str = Depends(signature),
) -> int:
    sent.append(f"{server}: {mail.copies} to {mail.to} in {language} from {signed}, {correlation_id}")
    return mail.copies


broker.include_router(router)


@asynccontextmanager
async def lifespan(context: ContextRepo, server: str = "localhost") -> AsyncIterator[None]:
    context.set_global("settings", {"server": server})
    yield
    context.reset_global("settings")


app = FastStream(broker, lifespan=lifespan, provider=provider)
