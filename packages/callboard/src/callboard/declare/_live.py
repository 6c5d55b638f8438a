"""What declarations ask of whatever runs them: all that they know of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias

from callboard.declare._options import PublishOptions
from callboard_brokers import Message

Aim: TypeAlias = Callable[[Any], Any]
"""Returns a target with what is said of it for one message."""


class Live(Protocol):
    """A broker that runs, to what is declared on it. A declaration is known to it by itself."""

    async def start(self, declaration: object, /) -> None:
        """Start a subscriber alone; return when it is up."""
        ...

    async def stop(self, declaration: object, /) -> None:
        """Stop a subscriber alone, in good order; nothing, if it does not run."""
        ...

    def running(self, declaration: object, /) -> bool:
        """Whether a subscriber is up, and nobody stops it."""
        ...

    def reader(self, declaration: object, /) -> Callable[[], Awaitable[Any]]:
        """Return what waits for the next message of a subscriber that is read by hand."""
        ...

    def subscription(self, declaration: object, /) -> Any:
        """Return what the broker's adapter reads with."""
        ...

    async def publish(
        self, declaration: object, message: object, options: PublishOptions, aim: Aim, /
    ) -> object:
        """Publish *message* to where a publisher leads; return the receipt when the broker has it."""
        ...

    async def publish_batch(
        self, declaration: object, messages: Sequence[object], options: PublishOptions, aim: Aim, /
    ) -> None:
        """Publish *messages* at once; return when the broker has them all."""
        ...

    async def request(
        self,
        declaration: object,
        message: object,
        options: PublishOptions,
        aim: Aim,
        timeout: float,  # noqa: ASYNC109 - travels with the request
        /,
    ) -> Message:
        """Publish *message* and return the answer to it."""
        ...


class Owner(Protocol):
    """A broker, to what is declared on it."""

    @property
    def live(self) -> Live:
        """What runs behind it.

        Raises:
            NotRunning: The broker does not run.
        """
        ...


class Outlet(Protocol):
    """What something is declared on: the declarations of a router, or of the broker itself."""

    owner: Owner | None
    """The broker whose they are; None: they are those of a router."""

    @property
    def root(self) -> Outlet:
        """The outermost around them, those of the broker if there is one."""
        ...

    @property
    def live(self) -> Live:
        """What runs their broker.

        Raises:
            DeclarationError: They belong to no broker yet.
            NotRunning: The broker does not run.
        """
        ...
