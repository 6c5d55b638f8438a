"""Virtual time for tests: clocks that jump as soon as everything waits."""

from __future__ import annotations

from ._clock import virtual_backend

__all__ = ["virtual_backend"]
