"""The errors of a client become ours at one place of its adapter."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from callboard_brokers._errors import BrokerError, ConnectionLost


def brief(error: BaseException) -> str:
    """Return *error* in one line, by its name and what it says; never raises."""
    name = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a client's error that cannot describe itself
        return name
    return text if name in text else f"{name}: {text}".rstrip(": ")


@dataclass(frozen=True, slots=True)
class Kind:
    """Errors of a client, and what they are to us; *advice* says what to do about them."""

    errors: tuple[type[Exception], ...]
    ours: type[BrokerError] | None = None
    """None: as if it were not listed, but with the advice."""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Translation:
    """All *errors* that a client raises, and the *kinds* of them; the first that fits counts."""

    errors: tuple[type[Exception], ...]
    kinds: Sequence[Kind] = ()
    passing: Callable[[Exception], bool] = lambda _error: False
    """Whether trying again may help: such an error is `ConnectionLost` unless a kind says more."""

    def of(
        self, error: Exception, doing: str, otherwise: type[BrokerError] | None = None
    ) -> BrokerError:
        """Return our error for *error* while *doing*; *otherwise* where no kind is closer."""
        kind = next((each for each in self.kinds if isinstance(error, each.errors)), Kind(()))
        ours = kind.ours or otherwise or (ConnectionLost if self.passing(error) else BrokerError)
        text = f"{doing}: {brief(error)}"
        return ours(f"{text}; {kind.advice}" if kind.advice else text)

    @contextmanager
    def translating(
        self, doing: str, otherwise: type[BrokerError] | None = None
    ) -> Generator[None]:
        """Raise our errors for those of the client; see `of`."""
        try:
            yield
        except self.errors as error:
            raise self.of(error, doing, otherwise) from error
