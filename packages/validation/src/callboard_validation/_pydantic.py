"""A type as one record of bound functions, and what pydantic makes of most types.

It serves models, dataclasses, TypedDict, builtins and their unions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import lru_cache, partial
from inspect import Parameter
from typing import Any, Final, Generic, TypeVar, get_args, get_origin, is_typeddict

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic_core import (
    CoreConfig,
    ErrorDetails,
    InitErrorDetails,
    PydanticCustomError,
    SchemaError,
    SchemaSerializer,
    SchemaValidator,
)
from pydantic_core import ValidationError as PydanticError

from ._errors import DecodeError, DefinitionError, Explanation, Failure, clipped, dotted
from ._lossless import CONFIG, always, lossless

T = TypeVar("T")
_MODULES = re.compile(r"(?:[A-Za-z_<][\w<>]*\.)+")

ANYTHING = ConfigDict(arbitrary_types_allowed=True)  # unknown classes: checked with isinstance
# By alias, since the same type must read what it has written; polymorphic, since a model that is
# returned for its base class must not lose its own fields on the way. Dataclasses may hold what they
# do not declare: it is written as what it is.
_WRITING: Final[Mapping[str, Any]] = {
    "by_alias": True,
    "polymorphic_serialization": True,
    "warnings": False,
}
LISTED = 1_000  # failures; beyond, pydantic would need seconds and gigabytes to describe them


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(Generic[T]):
    """A type, and the functions that a library made for it.

    Attributes:
        name: How errors call the type.
        from_json: Validates a JSON body from the bytes, in one step.
        from_python: Validates a value, leniently: text may stand for a number or a date.
        to_json: Encodes a value of the type.
        to_builtins: Turns a value of the type into what MessagePack knows, bytes staying bytes.
        errors: What the first two raise for bad input.
        explain: Makes of one of `errors`, given the value and its content type too, what is raised:
            the library's error with an `Explanation`, or a `DecodeError`.
    """

    name: str
    from_json: Callable[[bytes], T]
    from_python: Callable[[object], T]
    to_json: Callable[..., bytes]
    to_builtins: Callable[[T], object]
    errors: tuple[type[Exception], ...]
    explain: Callable[[Any, object, str | None], Exception]


def is_untyped(annotation: Any) -> bool:
    """Tell whether *annotation* leaves the value open: none, `Any` or `object`."""
    return annotation in (Parameter.empty, Any, object)


def describe(annotation: Any) -> str:
    """Name a type for an error: `Order`, `list[Order]`, `int | None`."""
    is_class = isinstance(annotation, type) and not get_args(annotation)
    return _MODULES.sub("", annotation.__qualname__ if is_class else str(annotation))


def pydantic_target(
    annotation: Any, *, config: ConfigDict | None = None, name: str | None = None
) -> Target[Any]:
    """Build the functions of a type that pydantic serves, called *name* in errors.

    Raises:
        DefinitionError: pydantic cannot handle the type.
    """
    config = None if _has_config(annotation) else config
    schema: Any = adapter_of(annotation, config).core_schema
    core = _core(config)
    ours = lossless(schema, core)
    # Its own validators, if a model has some already, would be taken in place of these.
    validator = SchemaValidator(ours, core, _use_prebuilt=False)
    serializer = SchemaSerializer(ours, core, _use_prebuilt=False)
    name = name or describe(annotation)
    return Target(
        name=name,
        from_json=validator.validate_json,
        from_python=validator.validate_python,
        to_json=_to_json(serializer.to_json),
        to_builtins=partial(_to_builtins, lru_cache(1)(partial(_plain_serializer, schema))),
        errors=(PydanticError,),
        explain=partial(_explain, name),
    )


@lru_cache(1_024)
def target_of_class(kind: type) -> Target[Any] | None:
    """Build the functions of a model or a dataclass; None of any other, which says no types.

    Kept, since whoever publishes a value tells its class anew each time.
    """
    if not (hasattr(kind, "__pydantic_serializer__") or is_dataclass(kind)):
        return None
    try:
        return pydantic_target(kind)
    except DefinitionError:
        return None


def adapter_of(annotation: Any, config: ConfigDict | None = None) -> TypeAdapter[Any]:
    """Build pydantic's own adapter of a type.

    Raises:
        DefinitionError: pydantic cannot handle the type.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=config)
        # Touching the validator resolves forward references now rather than at the first message.
        _ = adapter.validator.validate_json
    except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError) as error:
        reason = str(error).partition("\n")[0]
        raise DefinitionError(f"{describe(annotation)} cannot be validated: {reason}") from error
    return adapter


def _core(config: ConfigDict | None) -> Any:
    """Return what validators are told, *config* among it as far as it is for them."""
    told = CoreConfig.__annotations__
    return {**CONFIG, **{name: each for name, each in (config or {}).items() if name in told}}


def _has_config(annotation: Any) -> bool:
    """Tell whether a type has a configuration of its own, or pydantic allows it none from outside."""
    kind: Any = get_origin(annotation) or annotation
    return hasattr(kind, "model_config") or is_dataclass(kind) or is_typeddict(kind)


def _plain_serializer(schema: Any) -> SchemaSerializer:
    return SchemaSerializer(always(schema), _use_prebuilt=False)


def _to_json(write: Callable[..., bytes]) -> Callable[..., bytes]:
    """Return what writes JSON; spelled out, since a `partial` of these would cost a third of it."""

    def to_json(value: object, fallback: Callable[[Any], Any] | None = None) -> bytes:
        return write(
            value, by_alias=True, polymorphic_serialization=True, warnings=False, fallback=fallback
        )

    return to_json


def _to_builtins(make: Callable[[], SchemaSerializer], value: object) -> object:
    return make().to_python(value, **_WRITING)


def _explain(name: str, error: Any, value: object, content_type: str | None) -> Exception:
    count = error.error_count()
    if count > LISTED:
        return _flood(Explanation.of(name, (), count, value))
    details = error.errors(include_url=False, include_context=False)
    if isinstance(value, bytes) and details[0]["type"] == "json_invalid" and not details[0]["loc"]:
        refused = DecodeError(details[0]["msg"], value, content_type)
        refused.__cause__ = error
        return refused
    error.add_note(Explanation.of(name, [_failure(each) for each in details], count, value))
    return error  # type: ignore[no-any-return] # pydantic's, which has no type that fits `Target`


def _flood(explanation: Explanation) -> PydanticError:
    """Return an error of one line: whoever shows the one of pydantic would spell out each failure."""
    kind = PydanticCustomError("failures", "{count} failures", {"count": explanation.total})
    line = InitErrorDetails(type=kind, input=explanation.body)
    error = PydanticError.from_exception_data(explanation.target, [line])
    error.add_note(explanation)
    return error


def _failure(details: ErrorDetails) -> Failure:
    # For a missing field, pydantic's input is the whole object around it.
    value = None if details["type"].startswith("missing") else clipped(details["input"])
    return Failure(dotted(details["loc"]), value, details["msg"])
