"""Which messages wait for each other: the choice of a lane, made for every delivery."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import cycle
from typing import Any, TypeAlias
from zlib import crc32

from callboard_brokers import Delivery, Message

from ._options import OrderedBy

__all__ = ["Lane", "lane_of", "shard_of"]

Lane: TypeAlias = Callable[[Delivery[Any]], Hashable | None]
Report: TypeAlias = Callable[[Delivery[Any], Exception], None]
"""Told of a message for which the user's function has failed."""


def lane_of(ordered_by: OrderedBy, max_workers: int, report: Report) -> Lane | None:
    """Return the choice for *max_workers*; None: all in order of arrival, or in no order at all."""
    if max_workers == 1 or ordered_by == "none":
        return None
    return _asking(ordered_by, report) if callable(ordered_by) else _key


def shard_of(ordered_by: OrderedBy, shards: int, report: Report) -> Callable[[Delivery[Any]], int]:
    """Return the choice of one of *shards*, always the same for a key; without one, by turns."""
    turns = cycle(range(shards))
    lane = lane_of(ordered_by, shards, report)

    def shard(delivery: Delivery[Any]) -> int:
        key = lane(delivery) if lane is not None else None
        if key is None:
            return next(turns)
        return crc32(key if isinstance(key, bytes) else repr(key).encode()) % shards

    return shard


def _asking(order: Callable[[Message[Any]], Hashable], report: Report) -> Lane:
    """Ask *order*. If it fails, that one message is in no lane: one must not stop the intake."""

    def lane(delivery: Delivery[Any]) -> Hashable | None:
        try:
            key = order(delivery.message)
            hash(key)
        except Exception as error:  # noqa: BLE001 - whatever the user's function raises
            report(delivery, error)
            return None
        return key

    return lane


def _key(delivery: Delivery[Any]) -> Hashable | None:
    return delivery.message.key
