"""The errors of a client become ours, with what was done and what to do."""

from __future__ import annotations

import pytest

from callboard_brokers import BrokerError, ConnectionLost, DestinationError, PublishFailed
from callboard_brokers.kit import Kind, Translation, brief


class ClientError(Exception):
    passing = False


class Missing(ClientError): ...


class Away(ClientError):
    passing = True


class Odd(ClientError): ...


TRANSLATION = Translation(
    errors=(ClientError, OSError),
    kinds=[Kind((Missing,), DestinationError), Kind((Odd,), advice="look at the log")],
    passing=lambda error: bool(getattr(error, "passing", False)),
)


@pytest.mark.parametrize(
    ("error", "otherwise", "ours"),
    [
        (Missing("x"), PublishFailed, DestinationError),
        (Away("x"), None, ConnectionLost),
        (Away("x"), PublishFailed, PublishFailed),
        (ClientError("x"), None, BrokerError),
        (OSError("x"), PublishFailed, PublishFailed),
    ],
)
def test_the_closest_kind_of_error_is_raised(
    error: Exception, otherwise: type[BrokerError] | None, ours: type[BrokerError]
) -> None:
    with pytest.raises(ours) as caught, TRANSLATION.translating("reading 'a'", otherwise):
        raise error

    assert type(caught.value) is ours
    assert caught.value.__cause__ is error
    assert str(caught.value) == f"reading 'a': {type(error).__name__}: x"


def test_an_error_comes_with_its_advice() -> None:
    assert str(TRANSLATION.of(Odd("x"), "reading")) == "reading: Odd: x; look at the log"


def test_errors_of_others_pass() -> None:
    with pytest.raises(KeyError), TRANSLATION.translating("reading"):
        raise KeyError("mine")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (ValueError(), "ValueError"),
        (ValueError("ValueError: said already"), "ValueError: said already"),
        (Unspeakable(), "Unspeakable"),
    ],
)
def test_any_error_fits_in_a_line(error: Exception, text: str) -> None:
    assert brief(error) == text
