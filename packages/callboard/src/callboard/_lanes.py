"""Which messages wait for each other: the choice of a lane, made for every delivery."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import cycle
from typing import Any, TypeAlias
from zlib import crc32

from callboard_brokers import Delivery, Message

from ._batch import parts_of
from ._errors import DeclarationError
from ._options import SubscriberOptions

__all__ = ["Lane", "lane_of", "shard_of"]

Lane: TypeAlias = Callable[[Delivery[Any]], Hashable | None]
Partition: TypeAlias = Callable[[Message[Any]], Hashable]
Report: TypeAlias = Callable[[Delivery[Any], Exception], None]
"""Told of a message for which the user's function has failed."""


def lane_of(options: SubscriberOptions, partition: Partition | None, report: Report) -> Lane | None:
    """Return the choice by *options*; None: all in order of arrival, or in no order at all.

    Raises:
        DeclarationError: An order by *partition* is asked for, and the broker has none.
    """
    ordered_by = options.ordered_by
    if options.batch and ordered_by == "key":
        ordered_by = "partition"
    if options.max_workers == 1 or ordered_by == "none":
        return None
    if callable(ordered_by):
        return _asking(ordered_by, report)
    if ordered_by == "key":
        return _key
    if partition is None:
        raise DeclarationError(
            f"max_workers={options.max_workers} of a subscriber can keep no order of "
            + ("batches" if options.batch else "partitions")
            + ", since its broker has no partitions: give ordered_by='none', or one worker"
        )
    return lambda delivery: partition(parts_of(delivery)[0].message)


def shard_of(lane: Lane | None, shards: int) -> Callable[[Delivery[Any]], int]:
    """Return the choice of one of *shards*, always the same for a lane; without one, by turns."""
    turns = cycle(range(shards))

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
