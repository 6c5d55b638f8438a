"""What is declared of Redis itself."""

from __future__ import annotations

from callboard_brokers.redis import ListSub, PubSub, StreamSub

__all__ = ["ListSub", "PubSub", "StreamSub"]
