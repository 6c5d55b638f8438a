"""A handler that is declared later, by the router that is given its route."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from callboard.declare._declarations import Declarations
from callboard.declare._handler import where
from callboard.declare._options import PublisherOptions, SubscriberOptions


class Route:
    """What a subscriber is told, with its handler and its publishers: `Router(handlers=[...])`."""

    def __init__(
        self,
        handler: Any,
        source: Any,
        options: SubscriberOptions,
        publishers: Sequence[tuple[Any, PublisherOptions]] = (),
    ) -> None:
        self._handler = handler
        self._source = source
        self._options = options
        self._publishers = publishers

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._source.address!r}, handled by {self._name}>"

    @property
    def _name(self) -> str:
        return where(self._handler) if callable(self._handler) else repr(self._handler)

    def declare(self, declared: Declarations, /) -> None:
        """Declare it among others."""
        handler = self._handler
        for target, options in self._publishers:
            handler = declared.publisher(target, options)(handler)
        declared.subscriber(self._source, self._options)(handler)
