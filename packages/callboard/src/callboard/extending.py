"""What a module for another broker is made of: records of options, and methods that take them.

`docs/write-an-adapter.md` shows how they go together. Applications need nothing of it.
"""

from __future__ import annotations

from .declare._broker_kind import BrokerKind
from .declare._declarations import Declarations
from .declare._options import (
    BrokerOptions,
    PublisherOptions,
    PublishOptions,
    RouterOptions,
    SubscriberOptions,
)
from .declare._takes import part, sends, takes
from .handle._way_out import WayOut

__all__ = [
    "BrokerKind",
    "BrokerOptions",
    "Declarations",
    "PublishOptions",
    "PublisherOptions",
    "RouterOptions",
    "SubscriberOptions",
    "WayOut",
    "part",
    "sends",
    "takes",
]
