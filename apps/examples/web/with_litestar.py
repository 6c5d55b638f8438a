"""Orders by HTTP, with Litestar: `uvicorn web.with_litestar:app`."""

from __future__ import annotations

from litestar import Litestar, post
from litestar.params import JSONBody

from web.orders import Order, ask, running


@post("/orders")
async def order(data: JSONBody[Order]) -> dict[str, object]:
    """Answer with the price."""
    return {"price": await ask(data)}


app = Litestar([order], lifespan=[running])
