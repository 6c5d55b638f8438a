"""Documents of AsyncAPI."""

from __future__ import annotations

from ._document import AsyncAPI, Specification

__all__ = ["AsyncAPI", "Specification"]
