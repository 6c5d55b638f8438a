"""Messages that are in hand, and go back to wait: not begun, so nobody has failed."""

from __future__ import annotations

from callboard._errors import IgnoredException
from callboard.declare._retry import Verdict
from callboard.handle._outcome import Verdicts
from callboard_brokers import Message


class PutOff(IgnoredException):
    """A message is to wait for *seconds*, with its key behind it, for it was not begun."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the message was not begun")
        self.seconds = seconds


def putting_off(verdicts: Verdicts) -> Verdicts:
    """Let stay what was held, and judge the rest by *verdicts*."""

    def judge(message: Message, error: Exception) -> Verdict:
        return (
            Verdict(None, stays=error.seconds)
            if isinstance(error, PutOff)
            else verdicts(message, error)
        )

    return judge
