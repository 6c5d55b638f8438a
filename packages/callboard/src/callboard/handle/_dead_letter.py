"""Where rejected messages go. Nothing is dropped silently.

With a dead letter address, the original bytes are published there under headers that say what
happened, and then the message is acknowledged; else the broker's own dead-lettering takes it;
else only the log keeps it.
"""

from __future__ import annotations

import random
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2s
from typing import Any, Final, NamedTuple, TypeAlias

import anyio

from callboard._errors import words
from callboard.events import DeadLetterImpossible, DeadLetterLate, Notify, about
from callboard.handle._fingerprint import fingerprint
from callboard.handle._finish import ToDeadLetters
from callboard.handle._output import is_hopeless
from callboard.instruments import Output, Send
from callboard.watch._printable import LINE, TRACE, printable
from callboard_actors import Backoff
from callboard_brokers import Delivery, DestinationError, Headers, Message, forwarding

_BACKOFF: Final = Backoff(min=0.2, max=30)
_LIMITS: Final = {"x-exception-stacktrace": TRACE}
Where: TypeAlias = Callable[[Message], Mapping[str, object]]
REASONS: Final = frozenset(
    {
        "x-original-address",
        "x-original-reply-to",
        "x-original-exchange",
        "x-original-routing-key",
        "x-original-stream",
        "x-original-sequence",
        "x-original-partition",
        "x-original-offset",
        "x-original-timestamp",
        "x-original-traceparent",
        "x-group",
        "x-subscriber",
        "x-attempts",
        "x-deliveries",
        "x-crash-count",
        "x-first-failure-ts",
        "x-last-failure-ts",
        "x-host",
        "x-app-version",
        "x-dlq-id",
        "x-fingerprint",
        "x-exception-type",
        "x-exception-message",
        "x-exception-stacktrace",
    }
)
"""The headers that a dead letter has beside those of its message."""
KEPT: Final = "x-kept-"
"""Stands before the name of a message's own header, if letters have one of that name."""
_ID: Final = "x-dlq-id"
"""Tells a letter, which every one has."""


class Whose(NamedTuple):
    """By what a message was handled."""

    subscriber: str
    version: str | None = None
    """That of the application; None: nobody has said."""


class Post(NamedTuple):
    """How letters of one source leave."""

    output: Callable[[str, Message, Message], Output]
    """Makes the output of a letter to an address, given the message that it is of."""
    where: Where
    """Says where a message came from, by headers: as its broker calls that; None is not said."""


def dead_lettering(
    whose: Whose,
    address: str | None,
    post: Post,
    send: Send,
    tell: Notify,
) -> ToDeadLetters:
    """Compose what a rejection does, given the dead letter *address*, a template.

    A dead letter that can't be published is tried
    again with back-off, for as long as it takes: the worker waits with it, hence the subscription's
    intake does too. What comes from the dead letter address itself is left to the broker: it would
    come back at once, for ever. A letter that the broker will never take, being too large, goes
    without the reasons; else, and where no letter can ever be sent, only the log keeps it.
    """

    async def to_dead_letters(delivery: Delivery, error: Exception | None) -> None:
        came_from = delivery.message.address
        destination = came_from if address is None else address.replace("{address}", came_from)
        if destination == came_from:
            delivery.reject()
            return
        message = delivery.message
        letter = dead_letter(delivery, error, whose, post.where)
        failures, brief = 0, False
        while not delivery.settled:
            try:
                sent = await send([post.output(destination, letter, message)], delivery)
                await sent.wait()
            except Exception as failure:  # noqa: BLE001 - nothing may lose the letter
                if not is_hopeless(failure):
                    failures += 1
                    tell(DeadLetterLate(whose.subscriber, *about(delivery.message), failure))
                    await anyio.sleep(_BACKOFF.delay(failures, random.random))
                elif brief or isinstance(failure, DestinationError):
                    delivery.reject()
                    tell(DeadLetterImpossible(whose.subscriber, *about(delivery.message), failure))
                else:
                    brief, letter = True, dead_letter(delivery, None, whose, post.where)
            else:
                delivery.ack()

    return to_dead_letters


def dead_letter(delivery: Delivery, error: Exception | None, whose: Whose, where: Where) -> Message:
    """Return the message of *delivery* as it came, every header of it, and why it is dead.

    Whatever the message holds and the error says, this is text that every broker takes. Its own
    headers that are called as reasons are, `x-host` for one, are kept under other names.
    """
    said = {**_found(where, delivery.message), **_reasons(delivery, error, whose)}
    reasons: dict[str, Any] = {
        name: printable(reason, _LIMITS.get(name, LINE), lines=True)
        for name, reason in said.items()
    }
    own = delivery.message.metadata.headers
    if _ID not in own:  # else it is a letter that has failed in its turn
        reasons |= {KEPT + name: value for name, value in own.items() if name in REASONS}
    return forwarding(delivery.message, reasons)


def kept_in(headers: Headers) -> Headers:
    """Return the headers of a message that are kept in its letter under other names."""
    return {
        name.removeprefix(KEPT): value for name, value in headers.items() if name.startswith(KEPT)
    }


def _reasons(delivery: Delivery, error: Exception | None, whose: Whose) -> Mapping[str, str]:
    message, subscriber, now = delivery.message, whose.subscriber, time.time()
    # Remembered by a clock that nobody puts back.
    failed_for = anyio.current_time() - getattr(delivery, "failed_at", anyio.current_time())
    coordinates = f"{message.address}\0{message.message_id}\0{subscriber}"
    identity = coordinates.encode(errors="backslashreplace") + message.body
    reasons = {
        "x-original-address": message.address,
        "x-subscriber": subscriber,
        "x-attempts": str(message.attempt),
        "x-deliveries": str(delivery.deliveries or ""),
        "x-crash-count": str(getattr(message.binding, "crashes", 0)),
        "x-first-failure-ts": f"{now - failed_for:.3f}",
        "x-last-failure-ts": f"{now:.3f}",
        "x-host": socket.gethostname(),
        _ID: blake2s(identity, digest_size=16).hexdigest(),
        "x-fingerprint": fingerprint(error, subscriber),
        "x-exception-type": "rejected",
        "x-exception-message": "rejected by the handler",
    }
    if whose.version is not None:
        reasons["x-app-version"] = whose.version
    if message.reply_to is not None:
        reasons["x-original-reply-to"] = message.reply_to
    if error is not None:
        reasons |= {
            "x-exception-type": type(error).__name__,
            "x-exception-message": printable(words(error)),
            "x-exception-stacktrace": "".join(_story(error)),
        }
    return reasons


def _found(where: Where, message: Message) -> Mapping[str, str]:
    try:
        return {name: str(said) for name, said in where(message).items() if said is not None}
    except Exception:  # noqa: BLE001 - whatever came over the wire, or a parser has made of it
        return {}


def _story(error: Exception) -> Sequence[str]:
    try:
        return traceback.format_exception(error)
    except Exception:  # noqa: BLE001 - an error that can't be told is still an error
        return ["(its traceback can't be read)"]
