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
from operator import itemgetter
from typing import Annotated, Any, TypeAlias

from pydantic import PlainValidator, WithJsonSchema

from ._codec import Codec
from ._decoder import validating
from ._msgspec import convert_struct, holds_struct
from ._pydantic import pydantic_target
from ._target import is_untyped

__all__ = ["VARIADIC", "Parameter", "SpreadDecoder", "as_function", "spread_decoder"]

SpreadDecoder: TypeAlias = Callable[[bytes, str | None], tuple[tuple[Any, ...], dict[str, Any]]]
"""Takes a body and its content type, returns the arguments of a call."""

POSITIONAL = (Native.POSITIONAL_ONLY, Native.POSITIONAL_OR_KEYWORD)
VARIADIC = (Native.VAR_POSITIONAL, Native.VAR_KEYWORD)
_IGNORED = "callboard_unknown_members"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter to fill from the body; an `inspect.Parameter` with a resolved type does too.

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
    parameters: Sequence[Parameter | Native], codec: Codec | None = None
) -> SpreadDecoder:
    """Make the function that turns bodies into the arguments of a call.

    An object is spread by name; members that no parameter has go to `**kwargs` or, without one,
    are ignored, so that a producer may add some. An array is spread by position, the rest going to
    `*args`, each validated. An empty body leaves every parameter to its default.
    JSON is validated from the bytes in one step; other content types are decoded by *codec* first.

    The function returns arguments as `inspect.BoundArguments` has them, defaults filled in: first
    the positional ones in order of declaration with the rest of `*args`, then keyword-only ones.
    It raises `DecodeError` or `ValidationFailed`.

    Raises:
        DefinitionError: A parameter's type cannot be validated, or the names clash.
    """
    name = f"arguments ({', '.join(each.name for each in parameters)})"
    target = pydantic_target(as_function(parameters), name=name)
    decode = validating(target, codec or Codec())
    if any(each.default is Native.empty and each.kind not in VARIADIC for each in parameters):
        return decode
    return partial(_defaults_if_empty, decode)


def as_function(parameters: Sequence[Parameter | Native]) -> Callable[..., Any]:
    """Return a function with these parameters that returns how it was called."""
    positional = [each.name for each in parameters if each.kind in POSITIONAL]
    keyword = [each.name for each in parameters if each.kind == Native.KEYWORD_ONLY]
    takes_any = any(each.kind == Native.VAR_KEYWORD for each in parameters)
    # The common case, an object without keyword-only members, is worth 0.5 us per message.
    take = itemgetter(*positional) if len(positional) > 1 and not takes_any else None

    def collect(*args: Any, **named: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if take and not args:
            args = take(named)
        elif len(args) < len(positional):
            args += tuple([named.pop(name) for name in positional[len(args) :]])
        if takes_any:
            return args, named
        return args, {name: named[name] for name in keyword} if keyword else {}

    signature = _signature(parameters)
    vars(collect)["__signature__"] = signature
    collect.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return collect


def _defaults_if_empty(
    decode: SpreadDecoder, body: bytes, content_type: str | None = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return decode(body, content_type) if body else decode(b"{}", None)


def _signature(parameters: Sequence[Parameter | Native]) -> Signature:
    shown = [
        Native(each.name, _kind(each.kind), default=each.default, annotation=_annotation(each))
        for each in parameters
    ]
    if not any(each.kind == Native.VAR_KEYWORD for each in parameters):
        shown.append(Native(_IGNORED, Native.VAR_KEYWORD, annotation=Any))
    return Signature(shown)


def _kind(kind: int) -> Any:
    # Positional-only ones are filled from objects by name too.
    return Native.POSITIONAL_OR_KEYWORD if kind == Native.POSITIONAL_ONLY else kind


def _annotation(parameter: Parameter | Native) -> Any:
    """Let msgspec validate what is its own; pydantic hands it the parsed JSON."""
    annotation = Any if is_untyped(parameter.annotation) else parameter.annotation
    if not holds_struct(annotation):
        return annotation
    return Annotated[Any, PlainValidator(partial(convert_struct, annotation)), WithJsonSchema({})]
