"""Whether a document is one: by the official JSON Schema of its version, and what that can't say.

Schemas look at one place at a time. Whether references lead somewhere, and whether an operation's
messages are those of its channel, is looked at here. No node is needed, which the official parser is
written for; that one says more of style.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ._document import VERSIONS, check_version
from ._errors import ExtraMissingError
from ._plain import is_array, is_object, step

_NAMED = re.compile(r"[^\w.-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: a JSON Pointer."""

    where: str
    text: str


def check(document: object) -> list[Problem]:
    """Return what is wrong with *document*, in its order; nothing if it is valid.

    Raises:
        VersionError: It is of a version that is not known here.
        ExtraMissingError: jsonschema is not installed.
    """
    if not is_object(document) or not isinstance(version := document.get("asyncapi"), str):
        return [Problem("/", "this is no AsyncAPI document: it has no `asyncapi: 3.0.0`")]
    check_version(version)
    return [*_by_schema(document, version), *_dangling(document), *_strangers(document)]


@cache
def official_schema(version: str) -> Mapping[str, Any]:
    """Return the official JSON Schema (draft 7) of documents of *version*."""
    known = next(each for each in VERSIONS if each[:3] == version[:3])
    file = resources.files("callboard_asyncapi") / "official" / f"{known}.json"
    schema: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


def _by_schema(document: Mapping[str, Any], version: str) -> Iterator[Problem]:
    try:
        from jsonschema import Draft7Validator, exceptions  # noqa: PLC0415 - for those who check
    except ImportError as error:
        raise ExtraMissingError(
            'to check a document needs jsonschema: pip install "callboard-asyncapi[check]"'
        ) from error
    best_match: Callable[..., Any] = getattr(exceptions, "best_match")  # noqa: B009 - untyped
    validator = Draft7Validator(official_schema(version))
    # Components whose keys have a colon are not looked at by the schema.
    components: Any = document.get("components")
    if is_object(components):
        renamed = {
            section: {_NAMED.sub("_", str(n)): e for n, e in entries.items()}
            for section, entries in components.items()
            if is_object(entries)
        }
        document = {**document, "components": {**components, **renamed}}
    for wrong in validator.iter_errors(document):  # pyright: ignore[reportUnknownMemberType] - its stub leaves a parameter open
        best = best_match([wrong])
        yield Problem(_pointer(best.absolute_path), best.message.partition("\n")[0][:500])


def _dangling(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Find the references that lead nowhere."""
    for where, reference in _references(document, ()):
        if reference.startswith("#") and follow(document, reference) is None:
            yield Problem(_pointer(where), f"{reference} leads nowhere")


def _references(value: Any, where: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if is_object(value):
        if isinstance(reference := value.get("$ref"), str):
            yield where, reference
        for name, each in value.items():
            yield from _references(each, (*where, str(name)))
    elif is_array(value):
        for n, each in enumerate(value):
            yield from _references(each, (*where, str(n)))


def follow(document: Any, reference: str) -> Any:
    """Return what stands where *reference* leads in *document*; None if nothing does."""
    found = document
    for each in reference.split("/")[1:]:
        name = step(each)
        if is_object(found) and name in found:
            found = found[name]
        elif is_array(found) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _strangers(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Find the messages of operations that their channel does not have."""
    operations: Any = document.get("operations")
    for name, operation in operations.items() if is_object(operations) else ():
        ends: list[Any] = [operation, operation.get("reply")] if is_object(operation) else []
        for end in ends:
            channel, messages = _ends(end)
            for each in messages if channel else ():
                if not each.startswith(f"{channel}/"):
                    text = f"{each} is no message of the channel {channel}"
                    yield Problem(_pointer(("operations", name)), text)


def _ends(end: Any) -> tuple[str, list[str]]:
    """Return what an operation, or its reply, refers to: the channel and messages."""
    if not is_object(end):
        return "", []
    messages: Any = end.get("messages", [])
    return _target(end.get("channel")), [
        target for each in (messages if is_array(messages) else ()) if (target := _target(each))
    ]


def _target(value: Any) -> str:
    return str(value.get("$ref", "")) if is_object(value) else ""


def _pointer(path: Any) -> str:
    steps = (str(each).replace("~", "~0").replace("/", "~1") for each in path)
    return "/" + "/".join(steps)
