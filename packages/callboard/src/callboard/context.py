"""What handlers ask for by name: the marker, and where the values are kept."""

from __future__ import annotations

from callboard_di import Context

from ._context import ContextRepo

__all__ = ["Context", "ContextRepo"]
