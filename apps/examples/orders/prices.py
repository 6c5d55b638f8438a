"""The price list of the shop."""

from __future__ import annotations

from typing import Final

import anyio

__all__ = ["PriceList", "UnknownProduct"]

PRICES: Final = {
    "curtain": 12_900,
    "fog machine": 18_900,
    "lantern": 2_450,
    "limelight": 9_900,
    "mask": 1_990,
    "prompt book": 850,
    "rope": 1_275,
    "trapdoor": 24_900,
    "wig": 3_600,
}
"""What one piece costs, in cents."""


class UnknownProduct(LookupError):
    """The shop does not have it."""


class PriceList:
    """Knows what things cost. Slow enough for a network to be behind it."""

    async def look_up(self, product: str) -> int:
        """Return the price of *product*.

        Raises:
            UnknownProduct: It is not in the list.
        """
        await anyio.sleep(len(product) / 2000)
        try:
            return PRICES[product]
        except KeyError:
            raise UnknownProduct(f"the shop has no {product!r}") from None
