"""What a middleware sees of what leaves, before it is encoded, and may change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from enum import Enum
from typing import Any, Final

from callboard_brokers import HeaderValue

_OWN: Final = frozenset(
    {
        *("body", "headers", "correlation_id", "reply_to", "publish_type", "target"),
        *("destination", "batch_bodies", "redirect"),
    }
)


class PublishType(Enum):
    """Why something leaves."""

    PUBLISH = "publish"
    """It is published, by hand or as a result."""
    REPLY = "reply"
    """It answers whoever has asked."""
    REQUEST = "request"
    """It asks, and somebody waits for the answer."""


def redirected(target: Any, address: str) -> Any:
    """Return *target* with another address, which its first field is."""
    return replace(target, **{fields(target)[0].name: address})


class PublishCommand:
    """A body, what travels beside it, and where it goes.

    What the broker's `publish` takes beside that may be read and set by name: `command.key = b"7"`.

    Attributes:
        body: Not encoded yet.
        headers: Of the message; to be changed at will.
        publish_type: Why it leaves.
        target: Where it goes, as a `KafkaTarget`.
    """

    def __init__(  # noqa: PLR0913 - each may be said, by name
        self,
        body: Any,
        *,
        target: Any = None,
        headers: dict[str, HeaderValue] | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        _publish_type: PublishType = PublishType.PUBLISH,
        redirect: Callable[[Any, str], Any] = redirected,
    ) -> None:
        self.target = target
        self.body = body
        self.headers: dict[str, HeaderValue] = {} if headers is None else headers
        self.correlation_id = correlation_id
        self.reply_to = reply_to or ""
        self.publish_type = _publish_type
        self.redirect = redirect

    @property
    def destination(self) -> str:
        """The address that it goes to."""
        return str(self.target.address)

    @destination.setter
    def destination(self, address: str) -> None:
        self.target = self.redirect(self.target, address)

    @property
    def batch_bodies(self) -> Sequence[Any]:
        """The bodies: one, unless several are published at once."""
        return (self.body,)

    def add_headers(self, headers: dict[str, HeaderValue], *, override: bool = True) -> None:
        """Add *headers*; those that are there already stay, unless it may *override* them."""
        self.headers = {**self.headers, **headers} if override else {**headers, **self.headers}

    def __getattr__(self, name: str) -> Any:
        if name in _OWN or name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.target, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _OWN:
            super().__setattr__(name, value)
        else:
            self.target = replace(self.target, **{name: value})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self.destination!r} of {self.body!r}>"


class BatchPublishCommand(PublishCommand):
    """Several bodies that are published at once; `body` is a list of them."""

    @property
    def batch_bodies(self) -> Sequence[Any]:
        """The bodies, in order."""
        return tuple(self.body)

    @batch_bodies.setter
    def batch_bodies(self, bodies: Sequence[Any]) -> None:
        self.body = bodies
