"""How often, and when, a message is handled again that has failed: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from random import random
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from callboard._errors import DeclarationError, IgnoredException
from callboard.declare._policy import AckPolicy, is_invalid, settlement_of
from callboard_actors import Backoff
from callboard_brokers import Message, Settlement

OnExhausted: TypeAlias = Literal["dead_letter", "requeue", "halt", "drop"]

_EXHAUSTED: Final = {
    "dead_letter": Settlement.REJECT,
    "requeue": Settlement.NACK,
    "drop": Settlement.ACK,
}
_BACKOFF: Final = Backoff(0.2, 5.0, first=0.1)
Kinds: TypeAlias = type[Exception] | Sequence[type[Exception]]


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Handle a message again that has failed, with a back-off, and in the end give it up.

    While it waits, messages of its key wait behind it, and others go on. Where messages are in no
    order (`ordered_by="none"`, or one without a key among several workers), it waits at the broker.
    A message that is not valid, and what a handler decides by raising `AckMessage` and the like,
    is never tried again.

    Tries are counted by the broker where it counts, so that they outlive a restart; elsewhere by
    this process, which begins anew with 1 after a restart or a rebalance.

    Attributes:
        attempts: How often a message is handled in a row, the first time included.
        backoff: How long it waits before each next time; by default 0.1 s, then up to 0.2 s, 0.4 s
            and so on, to 5 s, drawn at random so that what failed together does not return together.
            Less, if what waits behind failing messages has more than `retry_share` of the mailbox,
            and most messages do not fail.
        delayed: When these are used up, it is given to the broker for so many seconds, and then
            handled as often again; once for each number. Meanwhile messages of its key pass it, so
            this needs `ordered_by="none"`, or *relaxed*.
        relaxed: Whether later messages of its key may pass one that is delayed.
        on: The exceptions after which it is tried again.
        never: Those among them after which it is not.
        timeout: Seconds that the handler may take each time; then it is cancelled, which is a
            failure (`HandlerTimedOut`). None: as long as it likes. The thread of a sync handler
            can't be cancelled: it is left behind, and nothing counts that it returns, settles or
            publishes from then on. As many may be left as there are workers, then these wait.
        on_exhausted: What becomes of it in the end: the dead letters, another round of tries
            ("requeue"), nothing ("drop"), which is said in the log, or it stays where it is, and
            its key behind it, until the subscriber starts anew ("halt"). None: as `ack_policy` says.
    """

    attempts: int = 3
    backoff: Backoff = _BACKOFF
    delayed: Sequence[float] = ()
    relaxed: bool = False
    on: Kinds = Exception
    never: Kinds = ()
    timeout: float | None = None
    on_exhausted: OnExhausted | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        attempts: object = getattr(self, "attempts")  # noqa: B009 - whatever was given for it
        if not isinstance(attempts, int) or attempts < 1:
            raise DeclarationError(f"{attempts=} of a Retry must be a whole number, at least 1")
        if any(delay <= 0 for delay in self.delayed):
            raise DeclarationError(f"delayed={self.delayed!r} of a Retry must be seconds, above 0")
        if self.timeout is not None and self.timeout <= 0:
            raise DeclarationError(f"timeout={self.timeout!r} of a Retry must be above 0")
        if self.on_exhausted not in (None, *get_args(OnExhausted)):
            raise DeclarationError(
                f"on_exhausted={self.on_exhausted!r} of a Retry must be"
                f" {', '.join(map(repr, get_args(OnExhausted)))} or None"
            )
        check_kinds("a Retry", on=self.on, never=self.never)

    @property
    def total(self) -> int:
        """How often a message is handled at most."""
        return self.attempts * (len(self.delayed) + 1)

    def covers(self, error: Exception) -> bool:
        """Whether a message that has failed with *error* is tried again, as long as it may be."""
        if isinstance(error, IgnoredException) or is_invalid(error):
            return False
        return isinstance(error, kinds_of(self.on)) and not isinstance(error, kinds_of(self.never))


class Verdict(NamedTuple):
    """What follows from a failure."""

    settlement: Settlement | None
    delay: float | None = None
    """Seconds until it comes again; None: the usual time."""
    attempt: int | None = None
    """Which try has failed, if there is going to be another; None: this is final, or a nack."""
    leaves: bool = False
    """Whether it is given to the broker meanwhile, so that later messages pass it."""
    stays: float | None = None
    """For how many seconds it stays here, unsettled and not counted as another try; None: not."""


HALTED: Final = Verdict(None, stays=inf)


def judged(policy: AckPolicy, retry: Retry | None, message: Message, error: Exception) -> Verdict:
    """Say what follows for *message*, whose handler has failed with *error*."""
    usual = Verdict(settlement_of(policy, error), getattr(error, "delay", None))
    if retry is None or not retry.covers(error):
        return usual
    attempt = message.attempt
    if attempt >= retry.total and retry.on_exhausted != "requeue":
        given = retry.on_exhausted
        if given == "halt":
            return HALTED
        return usual if given is None else Verdict(_EXHAUSTED[given])
    rounds, done = divmod(attempt, retry.attempts)
    if done:
        return Verdict(Settlement.NACK, retry.backoff.delay(done - 1, random), attempt)
    pauses = retry.delayed or (retry.backoff.max,)
    return Verdict(
        Settlement.NACK, pauses[min(rounds, len(pauses)) - 1], attempt, bool(retry.delayed)
    )


def check_kinds(what: str, **kinds: Kinds) -> None:
    """Refuse what is no type of exceptions, or several, among the options of *what*.

    Raises:
        DeclarationError: One of them is.
    """
    for name, given in kinds.items():
        if not all(map(_is_kind, kinds_of(given))):
            raise DeclarationError(f"{name}={given!r} of {what} must be types of exceptions")


def kinds_of(kinds: Kinds) -> tuple[type[Exception], ...]:
    """Return *kinds* as `isinstance` takes them."""
    return (kinds,) if isinstance(kinds, type) else (*kinds,)


def _is_kind(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, Exception)
