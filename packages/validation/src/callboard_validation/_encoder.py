"""From what a handler returns to a body: the return annotation decides, once, at declaration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ._codec import JSON, Codec, Encoded
from ._decoder import casting, target_of
from ._errors import EncodeError, ValidationError
from ._pydantic import is_untyped

__all__ = ["Encoder", "encoder"]

Encoder: TypeAlias = Callable[[object], Encoded]
"""Takes a value, returns a body and its content type."""


def encoder(annotation: object, codec: Codec | None = None) -> Encoder:
    """Make the function that encodes values of *annotation*.

    A value is first validated into the type, leniently, and then written as the type says: field
    serialisers count, aliases are used, a subclass of a model keeps its own fields.
    None, bytes and text follow the rules of `Codec.encode`; so does everything if the annotation
    is missing or `Any`.
    The function raises `EncodeError` for a value that is not of the type or has no encoding.

    Raises:
        DefinitionError: The type cannot be validated.
    """
    chosen = codec or Codec()
    if is_untyped(annotation):
        return chosen.encode
    target = target_of(annotation)
    cast = casting(target)

    def encode(value: object) -> Encoded:
        try:
            result = cast(value)
        except ValidationError as error:
            raise EncodeError(f"it was to be {target.name}: {error}", value) from error
        if result is None or isinstance(result, bytes | bytearray | str):
            return chosen.encode(result)
        try:
            return target.to_json(result), JSON
        except Exception as error:
            raise EncodeError(str(error), result) from error

    return encode
