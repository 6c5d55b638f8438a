from __future__ import annotations

from collections.abc import Mapping

import pytest

from callboard_brokers.kit import Journal


class Told(list[tuple[str, Mapping[str, object]]]):
    """What a journal has told, in order."""

    def note(self, event: str, attributes: Mapping[str, object]) -> None:
        self.append((event, attributes))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def journal(told: Told) -> Journal:
    return Journal(told.note)
