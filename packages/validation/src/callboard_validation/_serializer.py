"""Which library validates, and how: said for all types of a broker at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import ConfigDict

from ._msgspec import holds_struct, msgspec_target
from ._pydantic import Target, pydantic_target


@dataclass(frozen=True)
class PydanticSerializer:
    """Validates by pydantic, with a configuration of one's own.

    That is for types which have none: a model has its own. Structs of msgspec are left to that.
    """

    pydantic_config: ConfigDict | None = None

    def target(self, annotation: Any) -> Target[Any]:
        """Return what the library of *annotation* makes of it."""
        if holds_struct(annotation):
            return msgspec_target(annotation)
        return pydantic_target(annotation, config=self.pydantic_config)


class MsgSpecSerializer:
    """Validates by msgspec, models of pydantic excepted: text may stand for a number, as there."""

    def target(self, annotation: Any) -> Target[Any]:
        """Return what msgspec makes of *annotation*."""
        return msgspec_target(annotation, strict=False)


Serializer: TypeAlias = PydanticSerializer | MsgSpecSerializer
OWN = PydanticSerializer()
"""Leaves each type to its own library, as it is configured."""
