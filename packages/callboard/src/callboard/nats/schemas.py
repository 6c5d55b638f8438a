"""What is declared of NATS itself."""

from __future__ import annotations

from callboard_brokers.nats import JStream, KvWatch, ObjWatch, PullSub, Schedule

__all__ = ["JStream", "KvWatch", "ObjWatch", "PullSub", "Schedule"]
