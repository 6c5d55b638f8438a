"""What travels through the pipeline. Money is in cents."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["Invoice", "Order", "PricedOrder"]


class Order(BaseModel):
    """An order as it comes in; *number* is the customer's own count."""

    customer: str
    number: int
    product: str
    quantity: int = Field(gt=0)


class PricedOrder(Order):
    """An order, and what one piece of the product costs."""

    price: int

    @property
    def total(self) -> int:
        """What the customer has to pay."""
        return self.price * self.quantity


class Invoice(BaseModel):
    """A priced order with a number: invoices are numbered from 1, without a gap."""

    number: int
    order: PricedOrder
