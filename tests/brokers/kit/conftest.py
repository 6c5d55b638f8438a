from __future__ import annotations

import pytest

from callboard_brokers.events import Event
from callboard_brokers.kit import Journal


class Told(list[Event]):
    """What a journal has told, in order."""

    @property
    def types(self) -> list[type[Event]]:
        return [type(event) for event in self]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def journal(told: Told) -> Journal:
    return Journal(told.append)
