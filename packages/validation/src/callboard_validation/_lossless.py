"""Schemas of pydantic under which JSON loses nothing: bytes that are no text, NaN, infinity.

Pydantic writes bytes as the text that they are, and fails if they are none; it writes NaN as null,
which no float is read from. A value is to arrive, yet what can be written must stay what
`model_dump_json` writes, since others read and write it too. So only the rest gets a spelling:

* bytes that are no UTF-8 are a data URL (RFC 2397) in base64;
* NaN and infinity are the texts `NaN`, `Infinity` and `-Infinity`, which a lax float takes anyway.

Pydantic has no hook for this but the schema that it hands to its core: a copy is changed here, and
validators and serialisers are built from it that only this package uses. Models that say themselves
how bytes travel (`ser_json_bytes`), or have an `__init__` of their own, which leads back to their
own validator, stay as they are: such bytes are refused when they are written.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeGuard

from pydantic_core import CoreConfig

CONFIG: Final[CoreConfig] = {"ser_json_inf_nan": "strings"}

_DATA: Final = "data:application/octet-stream;base64,"
_NUMBERS: Final = ("NaN", "Infinity", "-Infinity")
_CONFIGURED: Final = ("dataclass", "model", "typed-dict")
# Under these, keys are names and tags that a user gave …
_BY_NAME: Final = ("fields", "choices")
# … and under these stands what is no schema.
_OUTER: Final = ("ref", "serialization")
_VALUES: Final = ("config", "context", "default", "expected", "members", "metadata")


def spell(value: bytes | bytearray) -> str:
    """Return the text that stands for *value* in JSON."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = _DATA
    # What looks like a data URL by itself is made one, so that it is read as what it was.
    return _DATA + b64encode(value).decode() if text.startswith(_DATA) else text


def lossless(schema: Any, config: Mapping[str, Any] = CONFIG) -> Any:
    """Copy a core schema, so that what it serves is read as it was, whatever it is.

    *config* is pydantic's configuration of what is around.
    """
    if not is_mapping(schema):
        return _copied(schema, lambda each: lossless(each, config))
    kind = schema.get("type")
    if kind in _CONFIGURED:
        config = {**CONFIG, **schema.get("config", {})}
        schema = {**schema, "config": config}
    if schema.get("custom_init"):
        return schema
    copy = _copied(schema, lambda each: lossless(each, config))
    strict = schema.get("strict", config.get("strict"))
    if kind == "bytes" and _as_text(config):
        return _bytes(copy, _read_strictly if strict else _read_bytes)
    if kind == "float" and strict:
        return _before(copy, _read_number)
    return copy


def always(schema: Any) -> Any:
    """Copy a core schema, so that what is meant for JSON is done for Python's values too."""
    copy = _copied(schema, always)
    if is_mapping(schema) and str(schema.get("when_used", "")).startswith("json"):
        copy["when_used"] = "always" if schema["when_used"] == "json" else "unless-none"
    return copy


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Tell whether *value* is a mapping, of whatever."""
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)


def _copied(schema: Any, change: Callable[[Any], Any]) -> Any:
    """Copy a part of a schema, *change* made of the parts of it."""
    if _is_list(schema):
        return type(schema)(map(change, schema))
    if not is_mapping(schema):
        return schema
    copy: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _BY_NAME and is_mapping(value):
            copy[name] = {key: change(each) for key, each in value.items()}
        else:
            copy[name] = value if name in _VALUES else change(value)
    return copy


def _as_text(config: Mapping[str, Any]) -> bool:
    """Tell whether bytes travel as pydantic has them by default."""
    return {config.get("ser_json_bytes", "utf8"), config.get("val_json_bytes", "utf8")} == {"utf8"}


def _bytes(schema: dict[str, Any], function: Callable[[object], object]) -> dict[str, Any]:
    outer = _taken(schema)
    written = {
        "type": "function-plain",
        "function": spell,
        "when_used": "json",
        "return_schema": {"type": "str"},
    }
    read = _before(schema, function)
    both = {"type": "json-or-python", "json_schema": read, "python_schema": schema}
    return {"serialization": written, **both, **outer}


def _before(schema: dict[str, Any], function: Callable[[object], object]) -> dict[str, Any]:
    outer = _taken(schema)
    call = {"type": "no-info", "function": function}
    return {"type": "function-before", "function": call, "schema": schema, **outer}


def _taken(schema: dict[str, Any]) -> dict[str, Any]:
    """Take out what a schema that is put around *schema* has to say."""
    return {name: schema.pop(name) for name in _OUTER if name in schema}


def _read_bytes(value: object) -> object:
    # Other text stays text, so that in a union a str is still the better match for it.
    if isinstance(value, str) and value.startswith(_DATA):
        return b64decode(value.removeprefix(_DATA), validate=True)
    return value


def _read_strictly(value: object) -> object:
    # What comes from a function is no JSON any more, and text is no bytes then.
    value = _read_bytes(value)
    return value.encode() if isinstance(value, str) else value


def _read_number(value: object) -> object:
    return float(value) if isinstance(value, str) and value in _NUMBERS else value
