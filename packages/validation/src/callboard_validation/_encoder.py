"""From what a handler returns to a body: the return annotation decides, once, at declaration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from ._codec import JSON, Codec, Encoded
from ._decoder import target_of
from ._errors import EncodeError
from ._json import unencodable
from ._target import is_untyped

__all__ = ["Encoder", "encoder"]

Encoder: TypeAlias = Callable[[object], Encoded]
"""Takes a value, returns a body and its content type."""

_AS_THEY_ARE = (bytes, str, bytearray, type(None))


def encoder(
    annotation: object, codec: Codec | None = None, *, content_type: str | None = None
) -> Encoder:
    """Make the function that encodes values of *annotation*.

    A value is first validated into the type, leniently, and then written as the type says: field
    serialisers count, aliases are used, a subclass of a model keeps its own fields.
    None, bytes and text follow the rules of `Codec.encode`; so does everything if the annotation
    is missing or `Any`, or if *content_type* is not JSON.
    The function raises `EncodeError` for a value that is not of the type or has no encoding.

    Raises:
        DefinitionError: The type cannot be validated.
    """
    chosen = codec or Codec()
    if is_untyped(annotation):
        return partial(chosen.encode, content_type=content_type)
    target = target_of(annotation)

    def encode(value: object) -> Encoded:
        try:
            result = target.from_python(value)
        except target.errors as error:
            reason = f"it was to be {target.name}: {target.explain(error, value)}"
            raise EncodeError(reason, type(value).__qualname__) from error
        if isinstance(result, _AS_THEY_ARE) or content_type not in (None, JSON):
            return chosen.encode(result, content_type)
        try:
            return target.to_json(result), JSON
        except Exception as error:
            raise unencodable(result, error) from error

    return encode
