"""One body for several parameters: an object by name, an array by position.

Pydantic validates the arguments of a call from JSON in one step if it is handed a signature. So
the parameters become the signature of a function that returns what it was called with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import Parameter as Native
from inspect import Signature
from typing import Annotated, Any, TypeAlias

from pydantic import PlainValidator, WithJsonSchema

from ._codec import Codec
from ._decoder import validating
from ._msgspec import convert_struct, holds_struct
from ._pydantic import is_untyped, pydantic_target
from ._serializer import OWN, MsgSpecSerializer, Serializer

SpreadDecoder: TypeAlias = Callable[[bytes, str | None], tuple[Any, ...]]
"""Takes a body and its content type, returns a value for each parameter."""

VARIADIC = (Native.VAR_POSITIONAL, Native.VAR_KEYWORD)
_IGNORED = "callboard_unknown_members"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter to fill from the body.

    Attributes:
        name: Also the member of an object body.
        annotation: The type, not its name as a string; `inspect.Parameter.empty` for none.
        default: The value if the body has none, never validated; `inspect.Parameter.empty` if
            there is none.
        kind: One of the kinds of `inspect.Parameter`.
    """

    name: str
    annotation: Any = Native.empty
    default: Any = Native.empty
    kind: int = Native.POSITIONAL_OR_KEYWORD


def spread_decoder(
    parameters: Sequence[Parameter], codec: Codec | None = None, serializer: Serializer = OWN
) -> SpreadDecoder:
    """Make the function that turns bodies into a value for each of *parameters*, in their order.

    An object is spread by name; members that no parameter has go to `**kwargs` (whose value is a
    dict) or, without one, are ignored, so that a producer may add some. An array is spread by
    position, the rest going to `*args` (whose value is a tuple), each validated.
    An empty body leaves every parameter to its default.
    JSON is validated from the bytes in one step; other content types are decoded by *codec* first.

    The function raises `DecodeError` or pydantic's `ValidationError`.

    Raises:
        DefinitionError: A parameter's type cannot be validated, or the names clash.
    """
    name = f"arguments ({', '.join(each.name for each in parameters)})"
    # Whose the parameters are, the arguments of a call are bound by pydantic.
    config, bound = (
        getattr(serializer, "pydantic_config", None),
        as_function(parameters, serializer),
    )
    decode = validating(pydantic_target(bound, config=config, name=name), codec or Codec())
    if any(each.default is Native.empty and each.kind not in VARIADIC for each in parameters):
        return decode
    return lambda body, content_type: decode(body, content_type) if body else decode(b"{}", None)


def as_function(
    parameters: Sequence[Parameter], serializer: Serializer = OWN
) -> Callable[..., tuple[Any, ...]]:
    """Return a function with these parameters that returns a value for each."""
    kinds = {each.kind for each in parameters}
    named = [each.name for each in parameters if each.kind not in VARIADIC]
    count = sum(each.kind < Native.VAR_POSITIONAL for each in parameters)  # of positional ones

    def collect(*args: Any, **more: Any) -> tuple[Any, ...]:
        given = args[:count]
        values = [*given, *[more.pop(name) for name in named[len(given) :]]]
        if Native.VAR_POSITIONAL in kinds:
            values.insert(count, args[count:])
        if Native.VAR_KEYWORD in kinds:
            values.append(more)
        return tuple(values)

    shown = [
        Native(
            each.name, _kind(each), default=each.default, annotation=_annotation(each, serializer)
        )
        for each in parameters
    ]
    if Native.VAR_KEYWORD not in kinds:
        shown.append(Native(_IGNORED, Native.VAR_KEYWORD, annotation=Any))
    vars(collect)["__signature__"] = Signature(shown)
    collect.__annotations__ = {each.name: each.annotation for each in shown}
    return collect


def _kind(parameter: Parameter) -> Any:
    # Positional-only ones are filled from objects by name too.
    return max(parameter.kind, Native.POSITIONAL_OR_KEYWORD)


def _annotation(parameter: Parameter, serializer: Serializer) -> Any:
    """Let msgspec validate what is its own; pydantic hands it the parsed JSON."""
    annotation = Any if is_untyped(parameter.annotation) else parameter.annotation
    by_msgspec = isinstance(serializer, MsgSpecSerializer) or holds_struct(annotation)
    if annotation is Any or not by_msgspec:
        return annotation
    return Annotated[Any, PlainValidator(partial(convert_struct, annotation)), WithJsonSchema({})]
