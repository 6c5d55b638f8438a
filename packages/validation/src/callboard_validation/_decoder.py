"""From bodies to values of a type: plain functions, made once where a handler is declared.

A JSON body is validated from its bytes in one step. That is not only faster: a strict model takes
an ISO date from JSON, but not from a Python string. Other content types are decoded first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar, overload

from pydantic_core import to_json

from ._codec import HOW_TO_ADD, JSON, TEXT, Codec
from ._errors import DecodeError, DefinitionError
from ._msgspec import spelled
from ._pydantic import ANYTHING, Target, is_untyped, pydantic_target
from ._serializer import OWN, Serializer

T = TypeVar("T")

Decoder: TypeAlias = Callable[[bytes, str | None], T]
"""Takes a body and its content type (None if there is none), returns a value."""

Caster: TypeAlias = Callable[[object], object]
"""Takes a value, returns it as another type."""


@overload
def decoder(
    annotation: type[T], codec: Codec | None = None, by: Serializer = OWN
) -> Decoder[T]: ...
@overload
def decoder(
    annotation: object, codec: Codec | None = None, by: Serializer = OWN
) -> Decoder[Any]: ...
def decoder(annotation: object, codec: Codec | None = None, by: Serializer = OWN) -> Decoder[Any]:
    """Make the function that turns bodies into values of *annotation*.

    * `bytes`: the body as it is. No annotation, `Any`, `object`: what `Codec.decode` gives.
    * JSON, or no content type: validated from the bytes. Without content type, a body that is no
      JSON of the type may also be the plain text or bytes of it (`str`, `bytes | None`, `date`).
    * Any other content type: decoded by *codec*, then validated leniently, so that the text `42`
      is an int; text that is no value of the type may be JSON of it. A body of unknown content
      type stays bytes.
    * An empty body is None where the type allows it, but for one of `text/plain`, which is an empty
      str, and one of no or an unknown content type, which may be empty bytes or an empty str.

    *by* says which library validates; unless given, each type is left to its own.

    The function raises `DecodeError`, or what `explained` knows: the `ValidationError` of the library
    that validates the type. What a validator of the user raises beyond ValueError and
    AssertionError passes through.

    Raises:
        DefinitionError: The type cannot be validated; a Struct inside a pydantic type, for one.
    """
    chosen = codec or Codec()
    if is_untyped(annotation):
        return chosen.decode
    if annotation is bytes:
        return _untouched
    return validating(by.target(annotation), chosen)


def caster(annotation: object, by: Serializer = OWN) -> Caster:
    """Make the function that turns values into *annotation*, leniently: "100" becomes an int.

    A class that no library knows is checked with `isinstance`; what cannot even be checked so, a
    Protocol for one, passes as it is.
    The function raises the `ValidationError` of the library that validates the type.
    """
    if not is_untyped(annotation):
        with suppress(DefinitionError):
            return casting(by.target(annotation))
        with suppress(DefinitionError):
            return casting(pydantic_target(annotation, config=ANYTHING))
    return lambda value: value


def casting(target: Target[T]) -> Callable[[object], T]:
    """Make the caster of *target*."""
    validate, errors = target.from_python, target.errors

    def cast(value: object) -> T:
        try:
            return validate(value)
        except errors as error:
            # Raised outside of the handler: the explanation chooses its own cause.
            failure = target.explain(error, value, None)
        raise failure

    return cast


def validating(target: Target[T], codec: Codec) -> Decoder[T]:
    """Make the decoder of *target*; JSON is the hot path of every message."""
    from_json, errors = target.from_json, target.errors

    def decode(body: bytes, content_type: str | None = None) -> T:
        if content_type is None or content_type == JSON or codec.known(content_type) == JSON:
            try:
                return from_json(body)
            except errors as error:
                failure = error
            return _recover(target, body, content_type, failure)
        return _decode_other(target, codec, body, content_type)

    return decode


def _recover(target: Target[T], body: bytes, content_type: str | None, error: Exception) -> T:
    """Decide what a body means that is not JSON of the type: raw, empty, or refused."""
    # If these fail too, the first error tells what was expected: JSON.
    for value in ([body] if content_type is None else []) + ([] if body else [None]):
        with suppress(*target.errors):
            return target.from_python(value)
    if not body:
        raise _empty(target, body, content_type)
    raise target.explain(error, body, content_type)


def _decode_other(target: Target[T], codec: Codec, body: bytes, content_type: str) -> T:
    known = codec.known(content_type)
    if not body and known not in (TEXT, None):
        with suppress(*target.errors):
            return target.from_python(None)
        raise _empty(target, body, content_type)
    value = codec.decode(body, content_type)
    try:
        return target.from_python(value)
    except target.errors as error:
        failure = error
    if known is None:
        with suppress(*target.errors):
            return target.from_python(body or None)
        reason = f"its content type is unknown, and its bytes are no {target.name}; {HOW_TO_ADD}"
        raise DecodeError(reason, body, content_type) from failure
    # A date is text in other formats too, which strict types take from JSON alone.
    spelling = _json_of(value)
    if spelling is not None:
        with suppress(*target.errors):
            return target.from_json(spelling)
    if known == TEXT:
        return _decode_json_text(target, body, content_type, failure)
    raise target.explain(failure, value, content_type)


def _json_of(value: object) -> bytes | None:
    """Write what another format has said as JSON; None if JSON can't say it."""
    try:
        return to_json(spelled(value))
    except (TypeError, ValueError, RecursionError):
        return None  # extensions, keys that are lists, what is nested too deeply


def _decode_json_text(target: Target[T], body: bytes, content_type: str, error: Exception) -> T:
    """Take text that is no value of the type for JSON of it, as `model_dump_json()` makes it."""
    try:
        return target.from_json(body)
    except target.errors as failure:
        explained = target.explain(failure, body, content_type)
    if isinstance(explained, DecodeError):
        explained = target.explain(error, body.decode(), content_type)
    raise explained


def _empty(target: Target[Any], body: bytes, content_type: str | None) -> DecodeError:
    return DecodeError(f"it is empty, and {target.name} was expected", body, content_type)


def _untouched(body: bytes, content_type: str | None = None) -> bytes:  # noqa: ARG001 - a Decoder
    return body
