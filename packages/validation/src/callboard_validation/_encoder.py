"""From what a handler returns to a body: the return annotation decides, once, at declaration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from pydantic import BaseModel

from ._codec import BINARY, JSON, MESSAGEPACK, Codec, Encoded
from ._decoder import casting
from ._errors import EncodeError, explained
from ._msgspec import encode_json, encode_messagepack
from ._pydantic import Target, is_untyped
from ._serializer import OWN, Serializer

Encoder: TypeAlias = Callable[[object], Encoded]
"""Takes a value, returns a body and its content type."""


def encoder(
    annotation: object,
    codec: Codec | None = None,
    content_type: str | None = None,
    serializer: Serializer = OWN,
) -> Encoder:
    """Make the function that encodes values of *annotation*, so that its decoder gives them back.

    A value is first validated into the type, leniently, and then written as the type says: field
    serialisers count, aliases are used, a subclass of a model keeps its own fields.
    Without *content_type*, text and bytes pass as they are, anything else is JSON; bytes that the
    type has alternatives to are `application/octet-stream`, since they may look like one of these.
    *serializer* says which library validates; unless given, each type is left to its own.
    If the annotation is missing or `Any`, `Codec.encode` decides.
    The function raises `EncodeError` for a value that is not of the type or has no encoding.

    Raises:
        DefinitionError: The type cannot be validated.
    """
    chosen = codec or Codec()
    if is_untyped(annotation):
        return partial(chosen.encode, content_type=content_type)
    target = serializer.target(annotation)
    cast = casting(target)
    write = _writing(annotation, target, chosen, content_type)
    raw = annotation is bytes
    binary = None if raw else BINARY

    def encode(value: object) -> Encoded:
        try:
            result = cast(value)
        except Exception as error:
            if (why := explained(error)) is None:
                raise
            raise EncodeError(f"it was to be {target.name}: {why}", value) from error
        if result is None:
            return chosen.encode(None, content_type)
        if isinstance(result, bytes) and (raw or content_type is None):
            return result, content_type or binary
        if isinstance(result, str) and content_type is None:
            return chosen.encode(result)
        return write(result)

    return encode


def _writing(
    annotation: object, target: Target[Any], codec: Codec, content_type: str | None
) -> Encoder:
    """Return what writes values of a type that are neither text nor bytes by themselves."""
    label = content_type or JSON
    known = codec.known(label)
    if known not in (JSON, MESSAGEPACK):
        return lambda value: codec.encode(value, content_type)

    model = isinstance(annotation, type) and issubclass(annotation, BaseModel)

    def write(value: object) -> Encoded:
        try:
            if known == JSON:
                # A subclass has a serialiser of its own, which knows nothing of our spelling.
                other = model and type(value) is not annotation
                return (encode_json(value) if other else target.to_json(value)), label
            return encode_messagepack(target.to_builtins(value)), label
        except Exception as error:
            raise EncodeError(str(error), value) from error

    return write
