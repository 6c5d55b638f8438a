"""Policies of streams and consumers by the names that the client has for them; each is its text."""

from __future__ import annotations

from typing import Final


class DeliverPolicy:
    """From where on a consumer reads."""

    ALL: Final = "all"
    LAST: Final = "last"
    NEW: Final = "new"
    BY_START_SEQUENCE: Final = "by_start_sequence"
    BY_START_TIME: Final = "by_start_time"
    LAST_PER_SUBJECT: Final = "last_per_subject"


class DiscardPolicy:
    """What a full stream gives up."""

    OLD: Final = "old"
    NEW: Final = "new"


class ReplayPolicy:
    """How fast a consumer is sent what is kept."""

    INSTANT: Final = "instant"
    ORIGINAL: Final = "original"


class RetentionPolicy:
    """How long a stream keeps its messages."""

    LIMITS: Final = "limits"
    INTEREST: Final = "interest"
    WORK_QUEUE: Final = "workqueue"


class StorageType:
    """Where a stream keeps its messages."""

    FILE: Final = "file"
    MEMORY: Final = "memory"
