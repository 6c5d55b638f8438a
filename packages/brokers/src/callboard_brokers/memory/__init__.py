"""A broker in this process, for tests, demos and services of a single process."""

from callboard_brokers.memory._connection import MemoryConnection
from callboard_brokers.memory._memory import Memory
from callboard_brokers.memory._records import (
    DeadLetter,
    MemoryRecord,
    MemorySource,
    MemoryStats,
    MemoryTarget,
)
from callboard_brokers.memory._routing import (
    Carrying,
    Declaring,
    Distributing,
    Match,
    Onward,
    Paths,
    Readership,
    Record,
    Recording,
    Routing,
    Templates,
)

__all__ = [
    "Carrying",
    "DeadLetter",
    "Declaring",
    "Distributing",
    "Match",
    "Memory",
    "MemoryConnection",
    "MemoryRecord",
    "MemorySource",
    "MemoryStats",
    "MemoryTarget",
    "Onward",
    "Paths",
    "Readership",
    "Record",
    "Recording",
    "Routing",
    "Templates",
]
