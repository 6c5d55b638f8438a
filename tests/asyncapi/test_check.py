"""What is found wrong with documents."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest

from callboard_asyncapi import (
    VERSIONS,
    Channel,
    ExtraMissingError,
    Info,
    Message,
    Operation,
    VersionError,
    check,
    document,
)

CHANNEL = Channel(address="orders", messages=[Message(payload={"type": "integer"})])


def written(version: str) -> dict[str, Any]:
    operations = [Operation(action="receive", channel=CHANNEL)]
    return document(Info(title="Shop", version="1"), operations=operations, version=version)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_valid_document_has_no_problem(version: str) -> None:
    assert check(written(version)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_missing_is_said_with_its_place(version: str) -> None:
    wrong = written(version)
    del wrong["info"]["version"]

    [problem] = check(wrong)
    assert (problem.where, problem.text) == ("/info", "'version' is a required property")


def test_a_component_whose_key_has_a_colon_is_looked_at_too() -> None:
    wrong = written("3.0.0")
    wrong["components"]["messages"]["orders:Message"]["payloads"] = {}

    assert any("payloads" in each.text for each in check(wrong))


def test_a_reference_that_leads_nowhere_is_found() -> None:
    wrong = written("3.0.0")
    wrong["components"]["schemas"].clear()

    [problem] = check(wrong)
    assert problem.where.startswith("/components/messages/orders:Message/payload")
    assert "leads nowhere" in problem.text


def test_a_message_of_another_channel_is_found() -> None:
    wrong = written("3.0.0")
    wrong["channels"]["other"] = copy.deepcopy(wrong["channels"]["orders"])
    messages = [{"$ref": "#/channels/other/messages/Message"}]
    wrong["operations"]["ordersSubscribe"]["messages"] = messages

    [problem] = check(wrong)
    assert (problem.where, problem.text) == (
        "/operations/ordersSubscribe",
        "#/channels/other/messages/Message is no message of the channel #/channels/orders",
    )


@pytest.mark.parametrize("other", [None, [], {}, {"openapi": "3.0.0"}, {"asyncapi": 3}])
def test_what_is_no_document_is_said_to_be_none(other: object) -> None:
    [problem] = check(other)

    assert "no AsyncAPI document" in problem.text


def test_a_version_that_is_not_known_is_refused() -> None:
    with pytest.raises(VersionError, match=r"'2\.0\.0'"):
        check({"asyncapi": "2.0.0"})


def test_what_a_check_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)

    with pytest.raises(ExtraMissingError, match=r'pip install "callboard-asyncapi\[check\]"'):
        check(written("3.0.0"))
