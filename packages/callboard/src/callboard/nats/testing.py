"""NATS under test: the broker in memory, by its rules."""

from __future__ import annotations

from callboard.testing import TestApp
from callboard.testing import TestBroker as TestNatsBroker

__all__ = ["TestApp", "TestNatsBroker"]
