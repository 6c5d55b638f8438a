"""What can be put around handlers, and around whatever is sent: the seam for tracing and metrics.

An instrument is asked once for each part of a broker that starts, and what it answers is composed
into the path of messages. One that is not there, or has no use for a part, costs nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from callboard_brokers import Confirmation, Delivery, Headers, Message, Metadata, Settlement

__all__ = [
    "Draft",
    "Handle",
    "Instrument",
    "OnOutcome",
    "Outcome",
    "Output",
    "Place",
    "Send",
    "Sender",
]

Handle: TypeAlias = Callable[[Message], Awaitable[object]]
"""Handles a message, or a `callboard_brokers.BatchMessage`; returns what the handler has."""

Send: TypeAlias = "Callable[[Sequence[Output], Delivery | None], Awaitable[Confirmation]]"
"""Hands over outputs in their order, which follow from a delivery, or from nothing (None).

What is known at once is raised. The confirmation is of all of them: it fails with the first.
"""

OnOutcome: TypeAlias = "Callable[[Delivery, Outcome], None]"
"""Told what becomes of a delivery, or of several at once: a `callboard_brokers.BatchDelivery`."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a program an instrument is put.

    Attributes:
        broker: The kind of broker, as `kafka`.
        server: The address of its server, the first of several; may be empty.
        subscriber: The name of the subscriber; None: around whatever the broker sends.
        source: What that reads, as a `KafkaSource`; None likewise.
    """

    broker: str
    server: str
    subscriber: str | None = None
    source: Any = None


@runtime_checkable
class Instrument(Protocol):
    """Looks on while messages are handled and sent; all of its methods may be left as they are.

    What it sets in a context variable before a message is handled is seen by the handler, in its
    thread too, and by whatever leaves for the sake of the message, results and dead letters
    included; it ends with the message, so that nothing has to be reset.
    """

    def around_handle(self, handle: Handle, place: Place, /) -> Handle:
        """Return what handles the messages of a subscriber; asked for each worker that starts.

        It is outside of everything: middlewares, decoding, the handler. A failure passes through it
        as an exception, and so do a rejection, a cancellation and the crash of an actor.
        """
        del place
        return handle

    def around_send(self, send: Send, place: Place, /) -> Send:
        """Return what sends outputs: results, answers, dead letters and what is published by hand.

        Asked for each connection that is opened. Awaiting what it returns hands the outputs over;
        the confirmation tells when they have arrived.
        """
        del place
        return send

    def on_outcome(self, place: Place, /) -> OnOutcome | None:
        """Return what is told what becomes of each message of a subscriber; None: nothing is.

        Asked for each subscriber that starts.
        """
        del place
        return None


class Sender(Protocol):
    """What outputs leave by: a broker."""

    @property
    def send(self) -> Send:
        """The way out while it is connected; else this raises `NotRunning`."""
        ...


class Draft(NamedTuple):
    """How a message is made of what a middleware has yet to see: its body is not encoded."""

    encode: Callable[[object], Any]
    """Encodes the body, if it is still the same."""
    chain: Any
    """The middlewares to pass."""
    together: bool = False
    """Whether it is one of several that are published at once."""


class Output:
    """A message, where it goes, by which broker, and why.

    Attributes:
        by: The broker.
        target: Where it goes, as a `KafkaTarget`.
        message: What goes there.
        kind: Why it leaves: of one's own accord, or for the sake of a message that was received.
        cause: The message of a batch that it came of; None where that goes without saying.
        timeout: Seconds for which an answer is waited for, which is the receipt of the confirmation
            then; None: for none.
        draft: How the message is made, as long as middlewares are to see it; None: it is made.
    """

    __slots__ = ("by", "cause", "draft", "kind", "message", "target", "timeout")

    def __init__(  # noqa: PLR0913, PLR0917 - it is made for each message, and by position is faster
        self,
        by: Sender,
        target: Any,
        message: Message,
        kind: Literal["result", "answer", "dead letter", "own"] = "result",
        cause: Message | None = None,
        timeout: float | None = None,
        draft: Draft | None = None,
    ) -> None:
        self.by = by
        self.target = target
        self.message = message
        self.kind: Literal["result", "answer", "dead letter", "own"] = kind
        self.cause = cause
        self.timeout = timeout
        self.draft = draft

    def carry(self, headers: Headers) -> None:
        """Let the message have *headers* too, in the place of those by the same names."""
        message, given = self.message, self.message.metadata
        metadata = Metadata(
            {**given.headers, **headers},
            given.content_type,
            given.message_id,
            given.correlation_id,
            given.reply_to,
            None,
            [pair for pair in given.pairs if pair[0] not in headers] if given.pairs else (),
        )
        body = None if message.tombstone else message.body
        self.message = Message.made(body, metadata, message.key)
        self.message.address = message.address


class Outcome:
    """What was made of a message when its handler had ended.

    Attributes:
        settlement: How it is to be settled; None: not at all, now. How it is settled, by hand perhaps
            or since its outputs could not be published, says the delivery.
        outputs: What is published before, in order.
        error: What has led to this, if anything has failed.
        delay: Seconds until it comes again; None: the usual time.
        attempt: Which try has failed, where a `Retry` gives it another; else None.
        leaves: Whether later messages may pass it until it comes again.
        stays: For how many seconds it is kept here, unsettled, with its key behind it; None: not.
    """

    __slots__ = (
        "attempt",
        "delay",
        "error",
        "is_plain",
        "leaves",
        "outputs",
        "settlement",
        "stays",
    )

    def __init__(  # noqa: PLR0913 - what follows, by name
        self,
        settlement: Settlement | None,
        outputs: Sequence[Output] = (),
        error: Exception | None = None,
        *,
        delay: float | None = None,
        attempt: int | None = None,
        leaves: bool = False,
        stays: float | None = None,
    ) -> None:
        self.settlement = settlement
        self.outputs = outputs
        self.error = error
        self.delay = delay
        self.attempt = attempt
        self.leaves = leaves
        self.stays = stays
        self.is_plain = settlement is Settlement.ACK and not outputs
