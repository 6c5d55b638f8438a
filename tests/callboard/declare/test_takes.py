"""Signatures that are derived from records: what users see, and what they are told."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import pytest

from callboard import DeclarationError, MemoryBroker, SetupError
from callboard.extending import part, sends, takes


@dataclass(frozen=True, kw_only=True)
class Place:
    city: str
    street: str = "Main"


@dataclass(frozen=True, kw_only=True)
class Visit(Place):
    hours: int = 1

    def __post_init__(self) -> None:
        if self.hours < 0:
            raise TypeError("hours run forward")


class Guide:
    @takes(Visit)
    def visit(self, visit: Visit) -> Visit:
        """Go there."""
        return visit

    @sends(Visit)
    def tell(self, message: object, visit: Visit) -> tuple[object, Visit]:
        """Tell somebody there."""
        return message, visit


def test_a_method_is_called_with_the_fields_and_receives_the_record() -> None:
    assert Guide().visit(city="Rome", hours=2) == Visit(city="Rome", hours=2)
    assert Guide().tell("hello", city="Rome") == ("hello", Visit(city="Rome"))


@dataclass(frozen=True)
class Walk:
    start: str
    end: str = ""
    hours: int = field(default=1, kw_only=True)


@dataclass(frozen=True)
class Tour(Walk):
    stops: list[str] = field(default_factory=list[str])


class Leader:
    @sends(Walk)
    def walk(self, message: object, walk: Walk) -> Walk:
        """Lead it."""
        return walk

    @sends(Tour)
    def tour(self, message: object, tour: Tour) -> Tour:
        """Lead it."""
        return tour


def test_a_record_is_made_as_it_makes_itself() -> None:
    leader, walk = Leader(), Walk("here", "there", hours=3)

    assert leader.walk("come", "here", end="there", hours=3) == walk
    assert repr(leader.walk("come", "here", "there", hours=3)) == repr(walk)
    assert leader.walk("come", start="here") == leader.walk("come", "here") == Walk("here")
    assert leader.tour("come", "here", hours=3) == Tour("here", hours=3)
    with pytest.raises(AttributeError):
        leader.walk("come", "here").end = "there"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue] - that is the point


def test_however_many_places_have_been_named_each_is_what_was_said() -> None:
    leader = Leader()

    for _ in range(2):
        for place in map(str, range(1_500)):
            assert leader.walk("come", place) == Walk(place)


@pytest.mark.parametrize(
    ("places", "said", "message"),
    [
        (("a", "b", "c"), {}, "too many positional"),
        (("a",), {"start": "b"}, "multiple values"),
        ((), {"end": "b"}, "missing a required argument: 'start'"),
        ((), {"ende": "b"}, "missing a required argument: 'start'"),
        (("a",), {"ende": "b"}, "do you mean 'end'"),
    ],
)
def test_what_a_record_does_not_take_is_refused(
    places: tuple[str, ...], said: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError, match=message):
        Leader().walk("come", *places, **said)


def test_the_signature_shows_the_fields_with_their_defaults() -> None:
    visit, tell = inspect.signature(Guide.visit), inspect.signature(Guide().tell)

    assert (
        str(visit)
        == "(self, /, *, city: 'str', street: 'str' = 'Main', hours: 'int' = 1) -> 'Visit'"
    )
    assert [*tell.parameters] == ["message", "city", "street", "hours"]
    assert Guide.visit.__doc__ == "Go there."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Guide.visit(): missing a required argument: 'city'"),
        (
            {"city": "Rome", "hour": 2},
            "Guide.visit(): got an unexpected keyword argument 'hour'; do you mean 'hours'?",
        ),
        (
            {"city": "Rome", "qqq": 2},
            "Guide.visit(): got an unexpected keyword argument 'qqq'; it takes city, street, hours",
        ),
    ],
)
def test_a_wrong_argument_is_a_declaration_error_that_names_the_method(
    arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(DeclarationError) as refused:
        Guide().visit(**arguments)  # type: ignore[arg-type] # wrong on purpose

    assert str(refused.value) == message


def test_an_error_out_of_the_record_itself_stays_as_it_is() -> None:
    with pytest.raises(TypeError, match="hours run forward"):
        Guide().visit(city="Rome", hours=-1)


def test_part_takes_one_record_out_of_another() -> None:
    assert part(Visit(city="Rome", hours=2), Place) == Place(city="Rome")


def test_a_destination_given_twice_is_refused(broker: MemoryBroker) -> None:
    with pytest.raises(DeclarationError) as refused:
        broker.subscriber("orders", address="orders")  # type: ignore[misc] # wrong on purpose

    assert str(refused.value) == (
        "MemoryBroker.subscriber(): multiple values for argument 'address'"
    )


def test_what_goes_by_name_only_is_said(broker: MemoryBroker) -> None:
    with pytest.raises(DeclarationError) as refused:
        broker.subscriber("orders", "workers")  # type: ignore[call-arg] # wrong on purpose

    assert str(refused.value) == (
        "MemoryBroker.subscriber(): too many positional arguments; by position it takes address,"
        " everything else by name"
    )


@pytest.mark.anyio
async def test_a_message_without_a_destination_is_refused(broker: MemoryBroker) -> None:
    with pytest.raises(DeclarationError, match=r"publish.*missing a required argument: 'address'"):
        await broker.publish("hello")  # type: ignore[call-arg] # wrong on purpose


def test_a_broker_with_an_unknown_option_is_refused() -> None:
    with pytest.raises(
        DeclarationError, match=r"^MemoryBroker\(\): .*'dead_leter'; do you mean 'dead_letter'\?$"
    ):
        MemoryBroker(dead_leter="dead")  # type: ignore[call-arg] # wrong on purpose


def test_the_name_that_migrating_services_know_is_the_same_error() -> None:
    assert SetupError is DeclarationError
