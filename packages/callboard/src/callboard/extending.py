"""What a module for another broker is made of: records of options, and methods that take them.

`docs/write-an-adapter.md` shows how they go together. Applications need nothing of it.
"""

from __future__ import annotations

from .declare._options import (
    BrokerOptions,
    PublisherOptions,
    PublishOptions,
    RouterOptions,
    SubscriberOptions,
)
from .declare._skin import Skin
from .declare._takes import part, sends, takes

__all__ = [
    "BrokerOptions",
    "PublishOptions",
    "PublisherOptions",
    "RouterOptions",
    "Skin",
    "SubscriberOptions",
    "part",
    "sends",
    "takes",
]
