"""The events that adapters tell: as types, and as names with plain particulars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from callboard_brokers import events
from callboard_brokers.events import Event, PartitionsRevoked, ServerFound, ServerLost


def kinds(of: type[Event]) -> Iterator[type[Event]]:
    for each in of.__subclasses__():
        if each.__module__ == events.__name__ and not each.__name__.startswith("_"):
            yield each
        yield from kinds(each)


def test_each_type_is_public_and_has_a_name_of_its_own() -> None:
    told = [*kinds(Event)]
    names = {each.name for each in told}

    assert {each.__name__ for each in told} == {*events.__all__} - {"Event", "Notify"}
    assert len(names) == len(told)


def test_no_type_is_a_kind_of_another() -> None:
    """Whoever waits for partitions is not told of those that are gone."""
    told = [*kinds(Event)]

    assert not [each for each in told if issubclass(each.__base__ or object, tuple(told))]


def test_what_an_event_says_is_there_by_name_too() -> None:
    event = PartitionsRevoked("orders", "shop", [("orders", 0)], 3)

    assert event.name == "partitions.revoked"
    assert event.attributes == {
        "address": "orders",
        "group": "shop",
        "partitions": [("orders", 0)],
        "unfinished": 3,
    }


def test_whoever_composes_an_adapter_says_to_whom_and_when() -> None:
    event = replace(ServerLost("here:1", "refused"), path="shop/kafka", at=1.5)

    assert (event.path, event.at) == ("shop/kafka", 1.5)
    assert event.attributes == {"address": "here:1", "error": "refused"}
    assert ServerFound("here:1").path == ""
