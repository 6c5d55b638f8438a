"""What can go wrong in the facade, and the exceptions by which a handler settles its message.

The leaves raise their own trees (`ActorError`, `BrokerError`, `CodecError`, `InjectionError`),
which the package re-exports; a body that is of another type is refused by the library that validates
it, `pydantic.ValidationError` for one.

CallboardError
├── BatchError              raised by a handler: which messages of its batch have failed
├── BatchUnclear            it has said so in a way that nobody understands: all have failed
├── DeclarationError        a mistake in a declaration, raised where it is made (alias SetupError)
│   └── HasHandler          read by hand, though a handler gets the messages; an AssertionError too
├── DependencyDown          raised by a handler: what it needs is away, so its breaker opens
├── HandlerTimedOut         a handler took longer than its Retry allows (a TimeoutError too)
├── NotRunning              published before the start or after the stop
├── Quarantined             a message has crashed its actor twice; only in its dead letter
├── RequestFailed           the handler that was asked has failed
├── StartupValidationError  hooks lack options of the start, or got such as are not valid
└── StopTimedOut            something outlived the deadline of a stop

ContextError                a name that has no value; a KeyError

IgnoredException            raised in a handler on purpose: never logged as an error
├── HandlerException
│   ├── AckMessage, NackMessage, RejectMessage  settle like this, whatever the policy says
│   └── SkipMessage                             settle not at all
├── StopConsume                                 stop the subscriber in good order
└── StopApplication                             end the application in good order
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager

from callboard_brokers import DestinationError
from callboard_validation import explained


class CallboardError(Exception):
    """The root of the facade's own errors."""


class DeclarationError(CallboardError, ValueError):
    """A declaration that can't work; raised where it is made, or at start at the latest."""


SetupError = DeclarationError


class HasHandler(DeclarationError, AssertionError):
    """A subscriber is read by hand whose messages its handler gets."""


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


class DependencyDown(CallboardError):
    """Raised by a handler: what it depends on is away. A `Breaker` opens at once.

    Without one, it is a failure as any other.
    """


class HandlerTimedOut(CallboardError, TimeoutError):
    """A handler took longer than the `timeout` of its `Retry`, and was cancelled."""


class NotRunning(CallboardError):
    """A broker was asked to do what only a running one can."""


class Quarantined(CallboardError):
    """A message has crashed its actor twice, and is not tried again."""


class RequestFailed(CallboardError):
    """The handler that was asked has failed; `kind` names the type of its exception."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"the handler that was asked has failed with {kind}: {message}")
        self.kind = kind


class StartupValidationError(CallboardError, ValueError):
    """Hooks that run at the start lack options, or have got such as are not valid."""

    def __init__(
        self, missed_fields: Iterable[str] = (), invalid_fields: Iterable[str] = ()
    ) -> None:
        self.missed_fields = [*missed_fields]
        self.invalid_fields = [*invalid_fields]
        said = [("missing", self.missed_fields), ("not valid", self.invalid_fields)]
        told = "; ".join(f"{what}: {', '.join(names)}" for what, names in said if names)
        super().__init__(f"options of the start are {told}")


class ContextError(KeyError):
    """A name that has no value in the context."""

    def __str__(self) -> str:
        return f"the context has no value of the name {self.args[0]!r}"


class StopTimedOut(CallboardError):
    """Something still ran when the deadline of the stop had passed."""


class IgnoredException(Exception):
    """The root of what a handler raises to decide about its message."""


class HandlerException(IgnoredException):
    """The root of what decides how a message is settled."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args)
        self.extra_options = options


class AckMessage(HandlerException):
    """The message is done, whatever else happened."""


class NackMessage(HandlerException):
    """Deliver the message again, after *delay* seconds or the broker's own back-off (None)."""

    def __init__(self, delay: float | None = None, **options: object) -> None:
        super().__init__(**options, **({} if delay is None else {"delay": delay}))
        self.delay = delay


class RejectMessage(HandlerException):
    """The message can't be handled, ever: *reason* goes into its dead letter."""

    def __init__(self, reason: str = "rejected by the handler", **options: object) -> None:
        super().__init__(reason, **options)


class SkipMessage(HandlerException):
    """Leave the message as it is: whoever holds it settles it later."""


class Suppressed(IgnoredException):
    """A middleware has seen to a failure: nothing is published, and it is settled as well as told.

    Attributes:
        failure: By what it is settled; None: as if it had gone well.
    """

    def __init__(self, failure: Exception | None) -> None:
        super().__init__("a middleware has seen to the failure")
        self.failure = failure


class StopConsume(IgnoredException):
    """Stop the subscriber in good order; the message that raised it is acknowledged."""


class StopApplication(IgnoredException, SystemExit):
    """End the application in good order; the message that raised it is acknowledged."""


def words(error: BaseException) -> str:
    """Return what *error* says, with the notes that say where; a longer note is a story of its own.

    One that says why something is not valid does so in the place of the library's many lines.
    """
    try:
        said = explained(error)
        notes: Iterable[str] = getattr(error, "__notes__", ())
        others = [note for note in notes if note is not said and "\n" not in note]
        return "; ".join([str(error) if said is None else said, *others])
    except Exception:  # noqa: BLE001 - an error that can't be told is still an error
        return "(its text can't be read)"
