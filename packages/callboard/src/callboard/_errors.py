"""What can go wrong in the facade, and the exceptions by which a handler settles its message.

The leaves raise their own trees (`ActorError`, `BrokerError`, `InjectionError`,
`ValidationError`), which the package re-exports.

CallboardError
├── BatchError              raised by a handler: which messages of its batch have failed
├── BatchUnclear            it has said so in a way that nobody understands: all have failed
├── DeclarationError        a mistake in a declaration, raised where it is made (alias SetupError)
├── NotRunning              published before the start or after the stop
├── Quarantined             a message has crashed its actor twice; only in its dead letter
├── RequestFailed           the handler that was asked has failed
└── StopTimedOut            something outlived the deadline of a stop

ControlFlow                 raised in a handler on purpose: never logged as an error
├── AckMessage, NackMessage, RejectMessage      settle like this, whatever the policy says
├── SkipMessage                                 settle not at all
└── StopApplication                             end the application in good order
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager

from callboard_brokers import DestinationError


class CallboardError(Exception):
    """The root of the facade's own errors."""


class DeclarationError(CallboardError):
    """A declaration that can't work; raised where it is made, or at start at the latest."""


SetupError = DeclarationError


@contextmanager
def declaring() -> Generator[None]:
    """Say of a destination that can't be one that it is declared wrongly."""
    try:
        yield
    except DestinationError as error:
        raise DeclarationError(str(error)) from error


class BatchError(CallboardError):
    """Raised by a handler of batches: those messages have failed, the others have not.

    Args:
        failures: By the places of the messages in the batch, from 0.
    """

    def __init__(self, failures: Mapping[int, Exception]) -> None:
        super().__init__(f"{len(failures)} messages of the batch have failed")
        self.failures = failures


class BatchUnclear(CallboardError):
    """A handler has said that messages of its batch have failed, but not which."""


class NotRunning(CallboardError):
    """A broker was asked to do what only a running one can."""


class Quarantined(CallboardError):
    """A message has crashed its actor twice, and is not tried again."""


class RequestFailed(CallboardError):
    """The handler that was asked has failed; `kind` names the type of its exception."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"the handler that was asked has failed with {kind}: {message}")
        self.kind = kind


class StopTimedOut(CallboardError):
    """Something still ran when the deadline of the stop had passed."""


class ControlFlow(Exception):
    """The root of what a handler raises to decide about its message."""


class AckMessage(ControlFlow):
    """The message is done, whatever else happened."""


class NackMessage(ControlFlow):
    """Deliver the message again, after *delay* seconds or the broker's own back-off (None)."""

    def __init__(self, delay: float | None = None) -> None:
        super().__init__()
        self.delay = delay


class RejectMessage(ControlFlow):
    """The message can't be handled, ever: *reason* goes into its dead letter."""

    def __init__(self, reason: str = "rejected by the handler") -> None:
        super().__init__(reason)


class SkipMessage(ControlFlow):
    """Leave the message as it is: whoever holds it settles it later."""


class StopApplication(ControlFlow):
    """End the application in good order; the message that raised it is acknowledged."""


def words(error: BaseException) -> str:
    """Return what *error* says, with the notes that say where; a longer note is a story of its own."""
    try:
        notes: Iterable[str] = getattr(error, "__notes__", ())
        return "; ".join([str(error), *(note for note in notes if "\n" not in note)])
    except Exception:  # noqa: BLE001 - an error that can't be told is still an error
        return "(its text can't be read)"
