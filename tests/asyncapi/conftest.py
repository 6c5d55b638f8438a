"""The official schema of AsyncAPI documents."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import unquote

import pytest
from jsonschema import Draft7Validator

from callboard_asyncapi import Channel, Info, Message, Operation, document, official_schema

Json = dict[str, Any]


@pytest.fixture(scope="session")
def official_of() -> Callable[[str], Draft7Validator]:
    """Make the validators of the official schemas, by version."""

    @cache
    def validator(version: str) -> Draft7Validator:
        return Draft7Validator(official_schema(version))

    return validator


@pytest.fixture(scope="session")
def official() -> Callable[[Json], Json]:
    """Check a document against the official schema, resolve its references, and give it back."""
    validator = Draft7Validator(official_schema("3.0.0"))

    def check(written: Json) -> Json:
        for each in (written, _with_plain_keys(written)):
            # The stub leaves a deprecated parameter without a type.
            errors = validator.iter_errors(each)  # pyright: ignore[reportUnknownMemberType]
            assert [error.message for error in errors] == []
        for ref in re.findall(r'"\$ref": "(.+?)"', json.dumps(written)):
            _resolve(written, ref)
        return written

    return check


@pytest.fixture
def write(official: Callable[[Json], Json]) -> Callable[..., Json]:
    """Write the valid document of an application that receives *messages* at `orders`."""

    def write(*messages: Message, **options: Any) -> Json:
        channel = Channel(address="orders", key="orders:OnOrder", messages=messages)
        operation = Operation(action="receive", channel=channel, **options)
        return official(document(Info(title="Shop", version="1"), operations=[operation]))

    return write


def _with_plain_keys(written: Json) -> Json:
    # The official schema does not look at a component whose key has a colon.
    components = {
        section: {re.sub(r"[^\w.-]", "_", key): entry for key, entry in entries.items()}
        for section, entries in written["components"].items()
    }
    return {**written, "components": components}


FRAGMENT = re.compile(r"#(/([\w.~!$&'()*+,;=:@?-]|%[0-9A-F]{2})*)*", re.ASCII)
"""A JSON Pointer as the fragment of a URI, by RFC 3986."""


def _resolve(written: Json, ref: str) -> None:
    assert FRAGMENT.fullmatch(ref), f"{ref} is no URI"
    found: Any = written
    for step in ref.removeprefix("#/").split("/"):
        found = found[unquote(step).replace("~1", "/").replace("~0", "~")]
