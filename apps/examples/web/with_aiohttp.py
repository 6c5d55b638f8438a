"""Orders by HTTP, with aiohttp: `python -m web.with_aiohttp`."""

from __future__ import annotations

from aiohttp import web

from web.orders import Order, ask, running


async def order(request: web.Request) -> web.Response:
    """Answer with the price."""
    return web.json_response({"price": await ask(Order(**await request.json()))})


def application() -> web.Application:
    """Make the application."""
    app = web.Application()
    app.router.add_post("/orders", order)
    app.cleanup_ctx.append(running)
    return app


if __name__ == "__main__":
    web.run_app(application())
