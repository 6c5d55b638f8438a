"""Decorated handlers keep their types: parameters, result, and whether they are to be awaited."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Annotated, Any, assert_type
from unittest.mock import MagicMock

from pydantic import BaseModel

from callboard import Context, ContextRepo, Depends, Handler, Logger, MemoryBroker, Message


class Order(BaseModel):
    id: int


class Invoice(BaseModel):
    order: int
    total: float


broker = MemoryBroker()
logger = logging.getLogger("shop")


def price() -> float:
    return 2.5


@broker.subscriber("orders")
async def on_order(order: Order) -> Invoice:
    return Invoice(order=order.id, total=1)


@broker.subscriber("parcels")
def on_parcel(parcel: str, copies: int = 1) -> int:
    return len(parcel) * copies


@broker.subscriber("orders", max_workers=4, group="clerks")
@broker.publisher("invoices")
async def subscriber_above(order: Order) -> Invoice:
    return Invoice(order=order.id, total=1)


@broker.publisher("invoices")
@broker.subscriber("orders")
async def publisher_above(order: Order) -> Invoice:
    return Invoice(order=order.id, total=1)


@broker.subscriber("letters")
@broker.subscriber("postcards")
@broker.publisher("first")
@broker.publisher("second")
def many(letter: str) -> str:
    return letter


orders = broker.subscriber("orders")


@orders(filter=lambda message: message.key == b"vip")
async def on_vip(order: Order) -> None: ...


@orders
async def on_any(order: Order) -> None: ...


@broker.subscriber("injected")
async def injected(
    order: Order,
    message: Message,
    logger: Logger,
    repo: ContextRepo,
    price: Annotated[float, Depends(price)],
    name: Annotated[str, Context()] = "",
) -> None:
    assert_type(repo.get("name"), object)


assert_type(on_parcel("book"), int)
assert_type(on_parcel("book", copies=2), int)
assert_type(many("hello"), str)
kept: Handler[..., str] = many
assert_type(many.mock, MagicMock)
later: Coroutine[Any, Any, Invoice] = on_order(Order(id=1))


async def call() -> None:
    assert_type(await on_order(order=Order(id=1)), Invoice)
    assert_type(await subscriber_above(Order(id=1)), Invoice)
    assert_type(await publisher_above(Order(id=1)), Invoice)
    assert_type(await on_vip(Order(id=1)), None)
    assert_type(await on_any(Order(id=1)), None)
    assert_type(await injected(Order(id=1), Message(b""), logger, ContextRepo(), 1.5), None)
    assert_type(await on_order.wait_call(timeout=1), None)


@broker.subscriber("orders")
class Clerk:
    """An actor class stays a class, whatever decorates it."""

    def __init__(self, total: Annotated[float, Depends(price)] = 0) -> None:
        self.total = total

    async def on_start(self) -> None: ...

    async def receive(self, order: Order) -> Invoice:
        return Invoice(order=order.id, total=self.total)


@broker.publisher("invoices")
@broker.subscriber("orders")
class Accountant(Clerk):
    pass


assert_type(Clerk(total=1).total, float)
invoice: Coroutine[Any, Any, Invoice] = Accountant().receive(Order(id=1))
