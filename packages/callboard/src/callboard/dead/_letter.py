"""A dead letter as a person sees it, and which of them are meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from callboard._errors import DeclarationError
from callboard.handle._dead_letter import KEPT, REASONS, kept_in
from callboard_brokers import Message

REPLAYS: Final = "x-replays"
REPLAYED_FROM: Final = "x-replayed-from"
_OWN: Final = REASONS | {REPLAYS, REPLAYED_FROM}


def is_own(name: str) -> bool:
    """Whether a header of a letter is not its message's."""
    return name in _OWN or name.startswith(KEPT)


class Letter:
    """A dead letter: the message, and what its headers say of why it is here.

    Attributes:
        message: As it was, with the headers of the letter beside its own.
        address: Where it is kept.
    """

    __slots__ = ("address", "message")

    def __init__(self, message: Message, address: str) -> None:
        self.message = message
        self.address = address

    def __repr__(self) -> str:
        return f"<Letter {self.id} of {self.origin!r}: {self.fingerprint}>"

    @property
    def id(self) -> str:
        """The same for copies of one letter; empty if nobody has given it one."""
        return self._said("x-dlq-id") or self.message.message_id or ""

    @property
    def origin(self) -> str | None:
        """Where its message came from; None: it does not say."""
        return self._said("x-original-address") or self._said("x-first-death-queue")

    @property
    def subscriber(self) -> str:
        """Who has read it; empty if it does not say."""
        return self._said("x-subscriber") or ""

    @property
    def exception(self) -> str:
        """The type of what the handler raised; `rejected`, or what the broker says, if nothing."""
        return self._said("x-exception-type") or self._said("x-first-death-reason") or "unknown"

    @property
    def reason(self) -> str:
        """The words of that."""
        return self._said("x-exception-message") or ""

    @property
    def stacktrace(self) -> str:
        """How it came to that; empty if nothing was raised."""
        return self._said("x-exception-stacktrace") or ""

    @property
    def fingerprint(self) -> str:
        """The type of the exception, and where in the application it was raised."""
        return self._said("x-fingerprint") or f"{self.exception}@{self.origin or self.address}"

    @property
    def failed_at(self) -> datetime | None:
        """When its handler has failed the last time; None: it does not say."""
        try:
            return datetime.fromtimestamp(float(self._said("x-last-failure-ts") or ""), UTC)
        except (ValueError, OverflowError, OSError):
            return None

    @property
    def replays(self) -> int:
        """How often it was sent back before."""
        said = self._said(REPLAYS) or ""
        return int(said) if said.isdecimal() and len(said) < 10 else 0

    @property
    def why(self) -> Mapping[str, str]:
        """The headers that the letter has beside those of its message."""
        given = self.message.headers
        return {name: str(value) for name, value in given.items() if name in _OWN}

    @property
    def headers(self) -> Mapping[str, Any]:
        """The headers of its message."""
        given = self.message.headers
        left = {name: value for name, value in given.items() if not is_own(name)}
        return {**left, **kept_in(given)}

    @property
    def reply_to(self) -> str | None:
        """Where an answer to its message was to go; None: nowhere."""
        return self._said("x-original-reply-to")

    def _said(self, name: str) -> str | None:
        said = self.message.headers.get(name)
        return None if said is None else str(said)


@dataclass(frozen=True, kw_only=True, slots=True)
class Only:
    """Which letters are meant: those that all of this is true of; by default, all.

    Attributes:
        exception: The type of what was raised, as `ValueError`.
        fingerprint: Of one fault.
        origin: Where their messages came from.
        since: That failed then or later; those that do not say when are not meant.
        id: How their ids begin.
    """

    exception: str | None = None
    fingerprint: str | None = None
    origin: str | None = None
    since: datetime | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        if self.since is not None and self.since.tzinfo is None:
            raise DeclarationError(f"since={self.since!r} of letters must have a time zone")

    def __contains__(self, letter: Letter) -> bool:
        for said, wanted in (
            (letter.exception, self.exception),
            (letter.fingerprint, self.fingerprint),
            (letter.origin, self.origin),
        ):
            if wanted is not None and said != wanted:
                return False
        failed_at = letter.failed_at
        if self.since is not None and (failed_at is None or failed_at < self.since):
            return False
        return self.id is None or letter.id.startswith(self.id)


ALL: Final = Only()
