"""What the log says about messages and about supervision: one place, one wording."""

from __future__ import annotations

import logging
from math import inf
from typing import Final

from callboard._errors import ControlFlow, words
from callboard.watch._bus import Bus
from callboard.watch._printable import text_of
from callboard.watch._say import say
from callboard_actors import ActorCrash, Event
from callboard_brokers import BatchMessage, Delivery, Message, Settlement
from callboard_di import MissingValue
from callboard_validation import ValidationError

_THEN: Final = {
    Settlement.ACK: "it is acknowledged all the same",
    Settlement.NACK: "it will be delivered again",
    Settlement.REJECT: "it is rejected",
    None: "it stays unsettled",
}
# What these say is the whole story: the handler's own frames are not in it.
_SELF_EXPLANATORY: Final = (ValidationError, MissingValue, ActorCrash)
_LIFE: Final[dict[str, tuple[int, str]]] = {
    "actor.crashed": (logging.ERROR, "{path} crashed"),
    "actor.restarting": (logging.WARNING, "{path} starts again in {delay} s, try {attempt}"),
    "actor.unkillable": (logging.CRITICAL, "{path} was cancelled, but lives on"),
    "connection.lost": (
        logging.WARNING,
        "{path} can't reach {address}, and tries again until it can: {error}",
    ),
    "connection.restored": (logging.INFO, "{path} has reached {address} again"),
    "partitions.lost": (logging.WARNING, "{path} has lost partitions of {address}: {error}"),
    "partition.held": (
        logging.WARNING,
        "{path} reads no further in {address}, partition {partition}, until {position} is settled",
    ),
    "settle.failed": (
        logging.WARNING,
        "{path} tries again to settle messages of {address}: {error}",
    ),
    "publish.failed": (logging.ERROR, "{path} could not publish to {address}: {error}"),
    "subscription.down": (
        logging.ERROR,
        "{path} is down; it is tried again in {delay} s: {error}",
    ),
    "subscription.up": (logging.INFO, "{path} is up again"),
    "supervisor.gave_up": (logging.ERROR, "{path} gives up on {child}: {reason}"),
    "loop.lag": (
        logging.WARNING,
        "{path} has kept the event loop for {seconds} s, at {where}",
    ),
}
LONG: Final = 1.0
"""Seconds for which somebody may keep the event loop before that is a line of the log."""
SILENCE: Final = 30.0
"""Seconds until the next line about the same one who does."""


class Reporter:
    """Writes to a logger what users must not miss, and puts events on the bus."""

    def __init__(self, logger: logging.Logger, bus: Bus) -> None:
        self.logger = logger
        self._bus = bus
        self._crashed = ("", "")
        self._silent: dict[str, float] = {}
        bus.subscribe(self._life)

    def _say(
        self,
        level: int,
        line: str,
        *parts: object,
        error: BaseException | None = None,
        trace: str = "",
    ) -> None:
        say(self.logger, level, line, *parts, error=error, trace=trace, above=1)

    def failed(
        self,
        subscriber: str,
        message: Message,
        error: Exception,
        settlement: Settlement | None,
    ) -> None:
        """Say that a handler ended with *error*; on purpose (ControlFlow) it is no error."""
        purpose = isinstance(error, ControlFlow)
        self._say(
            logging.DEBUG if purpose else logging.ERROR,
            "%s failed on %s; %s: %s: %s",
            subscriber,
            coordinates(message),
            _THEN[settlement],
            type(error).__name__,
            words(error),
            error=None if purpose or isinstance(error, _SELF_EXPLANATORY) else error,
        )
        self._bus(
            Event(
                "message.exception",
                subscriber,
                {"error": error, "address": message.address, "settlement": settlement},
            )
        )

    def quarantined(self, subscriber: str, message: Message, error: Exception) -> None:
        """Say that a message has crashed its actor twice."""
        self._say(
            logging.ERROR,
            "%s crashed twice on %s; it is quarantined",
            subscriber,
            coordinates(message),
        )
        self._bus(
            Event("message.quarantined", subscriber, {"error": error, "address": message.address})
        )

    def left(self, delivery: Delivery) -> None:
        """Tell that a handled message is left unsettled: whoever holds it settles it later."""
        self._bus(Event("message.left", delivery.message.address, {"delivery": delivery}))

    def parked(self, delivery: Delivery) -> None:
        """Tell that a nacked delivery waits in its lane, hence stays unsettled for now."""
        self._bus(Event("message.parked", delivery.message.address, {"delivery": delivery}))

    def without_dead_letters(self, subscriber: str) -> None:
        """Warn that what a subscriber rejects is kept nowhere."""
        self._say(
            logging.WARNING,
            "what %s rejects is logged and skipped, since its broker keeps no dead letters: give"
            " the subscriber or the broker a dead_letter= address",
            subscriber,
        )

    def unordered(self, subscriber: str, delivery: Delivery, error: Exception) -> None:
        """Say that nobody knows which messages this one has to wait for."""
        self._say(
            logging.ERROR,
            "ordered_by= of %s fails for %s, which is handled in no particular order: %s: %s",
            subscriber,
            coordinates(delivery.message),
            type(error).__name__,
            words(error),
        )

    def unpublished(
        self, delivery: Delivery, error: Exception, settlement: Settlement | None
    ) -> None:
        """Say that the outputs of a handled message are not out, so that it is not done."""
        self._say(
            logging.ERROR,
            "the outputs of %s can't be published; %s: %s: %s",
            coordinates(delivery.message),
            "it is settled already, so that they are lost"
            if delivery.settled
            else _THEN[settlement],
            type(error).__name__,
            words(error),
        )
        address = delivery.message.address
        self._bus(Event("message.unpublished", address, {"error": error, "address": address}))

    def unanswered(self, address: str, reason: str) -> None:
        """Say that whoever has asked gets no answer, since he has named a place that is none."""
        self._say(logging.WARNING, "no answer goes to %s: %s", repr(address), reason)

    def dead_letter_late(self, delivery: Delivery, error: Exception) -> None:
        """Say that a dead letter is not out yet."""
        self._say(
            logging.ERROR,
            "the dead letter of %s can't be published; trying again: %s: %s",
            coordinates(delivery.message),
            type(error).__name__,
            words(error),
        )

    def dead_letter_impossible(self, delivery: Delivery, error: Exception) -> None:
        """Say that there will be no dead letter."""
        self._say(
            logging.CRITICAL,
            "no dead letter can be made of %s, which is rejected without one: %s: %s",
            coordinates(delivery.message),
            type(error).__name__,
            words(error),
        )

    def _life(self, event: Event) -> None:
        if event.name not in _LIFE:
            return
        level, line = _LIFE[event.name]
        if event.name == "actor.crashed" and self._is_known(event):
            level = logging.DEBUG
        if event.name == "loop.lag" and not self._is_long(event):
            level = logging.DEBUG
        trace = _trace(event) if event.name == "actor.crashed" else ""
        if self.logger.isEnabledFor(level):
            self._say(level, "%s", _told(line, event), trace=trace)

    def _is_long(self, event: Event) -> bool:
        """Whether somebody has kept the loop for long, and that is not what was just said."""
        seconds, until = event.attributes.get("seconds"), self._silent.get(event.path, -inf)
        if not isinstance(seconds, float) or seconds < LONG or event.at < until:
            return False
        self._silent[event.path] = event.at + SILENCE
        return True

    def _is_known(self, event: Event) -> bool:
        """Whether a crash is only what has been told already, on its way up the tree."""
        error = _trace(event).rstrip().rpartition("\n")[2]
        path, before = self._crashed
        self._crashed = (event.path, error)
        climbs = path.startswith(f"{event.path}/") and error == before
        return climbs or event.attributes.get("reason") == "gave_up"


def coordinates(message: Message) -> str:
    """Name *message*, or a batch of them, for a log line."""
    id_, address = text_of(message.message_id or "(no id)"), text_of(repr(message.address))
    if isinstance(message, BatchMessage):
        count = len(message.parts)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - isinstance can't say of what
        return f"{count} messages of {address}, the first {id_}"
    return f"message {id_} of {address}"


class _Particulars(dict[str, str]):
    """What an event says; what it does not say is a question mark in the log, and no error."""

    def __missing__(self, name: str) -> str:
        return "?"


def _trace(event: Event) -> str:
    error = event.attributes.get("error")
    return error if isinstance(error, str) else ""


def _told(line: str, event: Event) -> str:
    said = _Particulars(path=text_of(event.path or "something outside of the tree"))
    for name, value in event.attributes.items():
        said[name] = f"{value:.1f}" if isinstance(value, float) else text_of(value)
    return line.format_map(said)
