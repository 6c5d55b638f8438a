"""Redis under test: the broker in memory, by its rules."""

from __future__ import annotations

from callboard.testing import TestApp
from callboard.testing import TestBroker as TestRedisBroker

__all__ = ["TestApp", "TestRedisBroker"]
