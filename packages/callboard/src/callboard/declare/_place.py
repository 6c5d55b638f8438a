"""Where messages come from or go to, as documents describe it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from callboard.declare._subscriber import addresses_of
from callboard_asyncapi import Bindings

_NAME = re.compile(r"\{[A-Za-z_]\w*\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """An address, and what is particular to its broker.

    Attributes:
        address: A template where it varies; "": one that is made up at each start.
        name: What the key of its channel begins with; None: the address.
        channel: The bindings of the channel.
        operation: The bindings of what is done there.
    """

    address: str
    name: str | None = None
    channel: Mapping[str, Any] | Bindings = field(default_factory=dict[str, Any])
    operation: Mapping[str, Any] | Bindings = field(default_factory=dict[str, Any])

    @property
    def is_template(self) -> bool:
        """Whether braces in the address stand around names; in regular expressions they may not."""
        return not set("{}") & set(_NAME.sub("", self.address))


def places_of(end: Any) -> Sequence[Place]:
    """Return the places of a source or a target of which only the addresses are known."""
    return [Place(address=each) for each in addresses_of(end)]
