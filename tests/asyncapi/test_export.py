"""A document as text."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

from callboard_asyncapi import Channel, ExtraMissingError, Info, Tag, document, to_json, to_yaml

TAGS = [Tag(name="ventes")]
DOCUMENT = document(
    Info(title="Épicerie", version="1", tags=TAGS), channels=[Channel(address="a", tags=TAGS)]
)


def test_json_keeps_the_order_and_readable_letters() -> None:
    text = to_json(DOCUMENT)

    assert json.loads(text) == DOCUMENT
    assert text.startswith(
        '{\n  "asyncapi": "3.0.0",\n  "defaultContentType": "application/json",\n  "info": {\n    "title": "Épicerie",'
    )


def test_yaml_says_the_same_without_anchors() -> None:
    text = to_yaml(DOCUMENT)

    assert yaml.safe_load(text) == DOCUMENT
    assert text.startswith(
        "asyncapi: 3.0.0\ndefaultContentType: application/json\ninfo:\n  title: Épicerie\n"
    )
    assert "&id" not in text


def test_yaml_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    with pytest.raises(ExtraMissingError, match=r'pip install "callboard-asyncapi\[yaml\]"'):
        to_yaml(DOCUMENT)
