"""The AsyncAPI document of what was declared: channels, operations, messages with their schemas."""

from __future__ import annotations

from callboard._absent import tells

from ._document import AsyncAPI, Specification

__all__ = ["AsyncAPI", "Specification"]

globals()["__getattr__"] = tells(__name__)
