"""Orders by HTTP, with Starlette: `uvicorn web.with_starlette:app`. FastAPI takes the same lifespan."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from web.orders import Order, ask, running


async def order(request: Request) -> JSONResponse:
    """Answer with the price."""
    return JSONResponse({"price": await ask(Order(**await request.json()))})


app = Starlette(routes=[Route("/orders", order, methods=["POST"])], lifespan=running)
