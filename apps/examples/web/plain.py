"""Orders from a plain script: `python -m web.plain`."""

from __future__ import annotations

import anyio

from web.orders import Order, ask, running


async def main() -> object:
    """Ask for one price."""
    async with running():
        return await ask(Order(customer="ada", pieces=3))


if __name__ == "__main__":
    print(anyio.run(main))  # noqa: T201 - a script prints
