"""What comes up with the application: a lifespan with options of the command line, hooks, context."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from faststream import Context, ContextRepo, Depends, FastStream, apply_types
from faststream.kafka import KafkaBroker

broker = KafkaBroker("localhost:9092")
order: list[str] = []


class Pool:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.open = True

    def greet(self, name: str) -> str:
        return f"{name}@{self.dsn}"


@asynccontextmanager
async def lifespan(
    context: ContextRepo, dsn: str = "local", workers: int = 1
) -> AsyncIterator[None]:
    pool = Pool(f"{dsn}/{workers}")
    order.append("lifespan")
    with context.scope("pool", pool):
        yield
    pool.open = False
    order.append("closed")


app = FastStream(broker, lifespan=lifespan)


@app.on_startup
async def configure(context: ContextRepo, dsn: str = "local") -> None:
    context.set_global("settings", {"name": {"first": dsn.title()}})
    order.append("on_startup")


@app.after_startup
async def first() -> None:
    order.append("after_startup")
    await broker.publish("ada", "greetings")


@app.on_shutdown
def leaving() -> None:
    order.append("on_shutdown")


@app.after_shutdown
async def left() -> None:
    order.append("after_shutdown")


def pool_of(pool: Annotated[Pool, Context()]) -> Pool:
    assert pool.open
    return pool


@broker.subscriber("greetings")
@broker.publisher("greeted")
async def greet(
    name: str,
    pool: Annotated[Pool, Depends(pool_of)],
    first_name: str = Context("settings.name.first"),
    missing: int = Context("nothing.here", default=0),
) -> str:
    assert missing == 0
    return f"{first_name} {pool.greet(name)}"


@apply_types(context__=app.context)
async def elsewhere(name: str, first_name: str = Context("settings.name.first")) -> str:
    return f"{name} {first_name}"
