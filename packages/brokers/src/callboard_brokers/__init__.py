"""A small port to message brokers, a broker in memory, and the suite that adapters pass."""

from callboard_brokers._delivery import BatchDelivery, Delivery, Ledger
from callboard_brokers._errors import (
    BatchFailed,
    BrokerError,
    ConnectionClosed,
    ConnectionLost,
    DestinationError,
    MessageTooLarge,
    NotReceived,
    PublishFailed,
    RequestTimeout,
)
from callboard_brokers._message import BatchMessage, Binding, Headers, Message, Metadata
from callboard_brokers._port import (
    Adapter,
    BatchPublishing,
    Connection,
    Features,
    Holding,
    Lagging,
    Requesting,
    Staging,
    Subscription,
    can_batch,
    can_request,
)
from callboard_brokers._settlement import Settlement, Settles
from callboard_brokers._tracker import Tracked, Tracker
from callboard_brokers.memory import (
    DeadLetter,
    Memory,
    MemoryRecord,
    MemorySource,
    MemoryStats,
    MemoryTarget,
)

__all__ = [
    "Adapter",
    "BatchDelivery",
    "BatchFailed",
    "BatchMessage",
    "BatchPublishing",
    "Binding",
    "BrokerError",
    "Connection",
    "ConnectionClosed",
    "ConnectionLost",
    "DeadLetter",
    "Delivery",
    "DestinationError",
    "Features",
    "Headers",
    "Holding",
    "Lagging",
    "Ledger",
    "Memory",
    "MemoryRecord",
    "MemorySource",
    "MemoryStats",
    "MemoryTarget",
    "Message",
    "MessageTooLarge",
    "Metadata",
    "NotReceived",
    "PublishFailed",
    "RequestTimeout",
    "Requesting",
    "Settlement",
    "Settles",
    "Staging",
    "Subscription",
    "Tracked",
    "Tracker",
    "can_batch",
    "can_request",
]
