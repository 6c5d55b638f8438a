"""Test doubles that are the real thing: a broker's declarations on the broker in memory."""

from __future__ import annotations

from ._app import TestApp
from ._broker import TestBroker

__all__ = ["TestApp", "TestBroker"]
