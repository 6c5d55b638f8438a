"""Declarations: what is subscribed to and published to, with which options. Nothing runs here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from callboard_validation import Codec

from ._options import PublisherOptions, PublishOptions, SubscriberOptions
from ._outcome import Way
from ._publisher import Publisher
from ._subscriber import Subscriber

__all__ = ["Router"]


class Router(ABC):
    """Holds declarations in the order in which they were made.

    The router of a broker adds `subscriber` and `publisher` with the broker's own options.
    """

    def __init__(self, codec: Codec, identify: Callable[[], str]) -> None:
        self.codec = codec
        self.identify = identify
        self.subscribers: list[Subscriber] = []
        self.publishers: list[Publisher[Any]] = []

    def add_subscriber(self, source: Any, options: SubscriberOptions) -> Subscriber:
        """Declare that *source* is subscribed to; the result decorates the handlers."""
        subscriber = Subscriber(source, options, self.subscribers)
        self.subscribers.append(subscriber)
        return subscriber

    def add_publisher(self, target: Any, options: PublisherOptions) -> Publisher[Any]:
        """Declare that *target* is published to; the result decorates handlers and publishes."""
        publisher: Publisher[Any] = Publisher(self, target, options)
        self.publishers.append(publisher)
        return publisher

    @abstractmethod
    async def send(self, message: object, target: Any, options: PublishOptions) -> None:
        """Encode *message* and publish it to *target*."""

    @abstractmethod
    def to(self, target: Any) -> Way:
        """Return the way to *target*."""
