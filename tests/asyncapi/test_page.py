"""A document as a page: what it shows, and what it never does."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard_asyncapi import DocumentError, VersionError, page
from callboard_asyncapi._plain import is_array, is_object

from ..browser import look
from .pages import Json, old_shop, shop

EVIL = "</style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{7*7}}"
OLD_AND_NEW = pytest.mark.parametrize("written", [shop, old_shop])


class Texts(HTMLParser):
    """What a reader sees, and the tags with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.seen.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.seen).split())


@OLD_AND_NEW
def test_a_page_shows_what_is_received_and_what_it_looks_like(written: Callable[[], Json]) -> None:
    text = Texts(page(written())).text

    assert "Shop AsyncAPI" in text
    assert "orders.{country}" in text
    assert "nats://localhost:4222" in text
    assert "receive onOrder" in text
    assert "id integer required ≥ 1" in text
    assert "country string matches ^[A-Z]{2}$ length ≥ 2 length ≤ 2" in text
    assert 'one of "new" "paid" default "new"' in text
    assert "items array of Item items ≥ 1" in text
    assert '"de" "fr"' in text


def test_an_answer_stands_at_its_operation_and_is_no_channel_of_its_own() -> None:
    text = Texts(page(shop())).text

    assert "Answers at $message.header#/reply_to" in text
    assert "Channels 1" in text


def test_descriptions_are_markdown() -> None:
    assert "<p>Takes <strong>orders</strong>.</p>" in page(shop())


def test_a_circle_of_schemas_is_cut_where_it_closes() -> None:
    html = page(shop())

    # Each of Item's two trees names its parts, and those only name Item.
    assert html.count('<code class="name">parts</code>') == 2


def test_a_message_without_an_example_gets_one() -> None:
    text = Texts(page(shop())).text

    assert "Example, made from the schema" in text
    assert '"id": 7' in text


def test_the_examples_of_a_message_are_shown_by_name() -> None:
    document = shop()
    example = {"name": "A small one", "payload": {"id": 12345}}
    document["components"]["messages"]["Order"]["examples"] = [example]

    text = Texts(page(document)).text

    assert "Example: A small one" in text
    assert "12345" in text


def test_a_payload_in_a_format_of_its_own_is_shown_as_it_stands() -> None:
    document = shop()
    avro: Json = {"type": "record", "name": "Order", "fields": []}
    form = "application/vnd.apache.avro;version=1.9.0"
    document["components"]["messages"]["Order"]["payload"] = {"schemaFormat": form, "schema": avro}

    text = Texts(page(document)).text

    assert f"Payload {form}" in text
    assert '"type": "record"' in text


def test_traits_are_part_of_what_they_are_given_to() -> None:
    document = shop()
    document["operations"]["onOrder"]["traits"] = [{"description": "From a trait."}]

    assert "From a trait." in page(document)


def hurt(value: object) -> Any:
    """Put *EVIL* into every text of a document that has no meaning to machines."""
    if is_object(value):
        kept = {"$ref", "asyncapi", "type", "action"}
        return {n: each if n in kept else hurt(each) for n, each in value.items()}
    if is_array(value):
        return [hurt(each) for each in value]
    return EVIL + value if isinstance(value, str) else value


@OLD_AND_NEW
def test_whatever_a_document_says_is_escaped(written: Callable[[], Json]) -> None:
    html = page(hurt(written()))
    tags = Texts(html).tags

    assert [tag for tag, _ in tags].count("script") == 1
    assert not [tag for tag, attributes in tags if tag == "img" or "onerror" in attributes]
    assert "alert(1)" in html
    assert "49" not in Texts(html).text


def test_a_link_of_a_document_leads_to_the_web_or_nowhere() -> None:
    document = shop()
    document["info"] |= {
        "contact": {"name": "Ann", "url": "javascript:alert(1)"},
        "license": {"name": "MIT", "url": "https://example.com"},
        "description": "[press](javascript:alert(1)) ![see](https://example.com/spy.png)",
    }

    html = page(document)

    links = [a.get("href") or "" for tag, a in Texts(html).tags if tag == "a"]
    assert "https://example.com" in links
    assert not [each for each in links if each.startswith("javascript")]
    assert "<img" not in html


def test_a_page_loads_nothing_and_runs_only_what_its_policy_names() -> None:
    html = page(shop())

    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert "unsafe" not in policy
    assert "connect-src" not in policy
    for tag, attributes in Texts(html).tags:
        assert "style" not in attributes
        assert "src" not in attributes
        assert tag != "link" or str(attributes["href"]).startswith("data:")


def test_ids_are_unique_and_every_link_inside_leads_somewhere() -> None:
    tags = Texts(page(shop(**{"a b": {"type": "string"}, "a-b": {"type": "string"}}))).tags

    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = [href[1:] for _, a in tags if (href := a.get("href") or "").startswith("#")]
    assert set(inside) <= set(ids)


@pytest.mark.parametrize("document", [None, [], {}, {"openapi": "3.0.0"}])
def test_what_is_no_document_has_no_page(document: object) -> None:
    with pytest.raises(DocumentError, match="no AsyncAPI document"):
        page(document)


def test_a_version_that_is_not_known_has_no_page() -> None:
    with pytest.raises(VersionError):
        page({"asyncapi": "1.2.0"})


WORDS = st.sampled_from(
    [
        "$ref",
        "type",
        "properties",
        "items",
        "allOf",
        "oneOf",
        "anyOf",
        "enum",
        "required",
        "additionalProperties",
        "format",
        "default",
        "minLength",
        "exclusiveMinimum",
        "description",
        "examples",
        "bindings",
        "traits",
        "messages",
        "payload",
        "headers",
        "tags",
        "address",
        "parameters",
        "servers",
        "security",
        "externalDocs",
        "reply",
        "message",
        "action",
        "channel",
        "x-own",
    ]
)
REFERENCES = st.sampled_from(["#/components/schemas/S", "#/channels/c", "#", "#/no", "other.json"])
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "array", "<b>", "é"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS, inner, max_size=4)
        | st.fixed_dictionaries({"$ref": REFERENCES})
    ),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None)
@given(ANYTHING, ANYTHING, ANYTHING, st.sampled_from(["2.6.0", "3.0.0"]))
def test_no_document_is_so_wrong_that_there_is_no_page(
    channel: Any, operation: Any, schema: Any, version: str
) -> None:
    document = {
        "asyncapi": version,
        "info": operation,
        "servers": {"s": channel},
        "channels": {"c": channel, "d": {"publish": operation, "messages": {"m": channel}}},
        "operations": {"o": operation, "p": {"channel": {"$ref": "#/channels/d"}}},
        "components": {"schemas": {"S": schema, "T": {"$ref": "#/components/schemas/S"}}},
    }

    assert page(document).endswith("</html>")


def wide() -> Json:
    """Return a document whose schemas refer to each other so often that no tree could show all."""
    names = [f"S{n}" for n in range(30)]
    refers = {each: {"$ref": f"#/components/schemas/{each}"} for each in names}
    schemas = {each: {"type": "object", "properties": refers} for each in names}
    document = shop(**schemas)
    document["components"]["messages"]["Order"]["payload"] = refers["S0"]
    return document


def test_schemas_that_refer_to_each_other_make_a_page_of_some_length() -> None:
    assert len(page(wide())) < 2_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (written := tmp_path / "page.html").write_text(page(hurt(shop())), encoding="utf-8")
    return written


@pytest.mark.slow
def test_in_a_browser_nothing_is_refused_by_the_policy_nor_asked_for(file: Path) -> None:
    (seen,) = look({"url": file.as_uri()})

    assert (seen["errors"], seen["requests"]) == ([], [file.as_uri()])


@pytest.mark.slow
def test_in_a_browser_a_page_fits_and_keeps_nobody_out(tmp_path: Path) -> None:
    (file := tmp_path / "page.html").write_text(page(shop()), encoding="utf-8")
    width = ["see", "document.documentElement.scrollWidth"]
    asked = [
        {"url": file.as_uri(), "width": each, "dark": dark, "audit": True, "steps": [width]}
        for each in (390, 1280)
        for dark in (False, True)
    ]

    seen = look(*asked)

    assert [each["axe"] for each in seen] == [[]] * 4
    assert [each["values"] for each in seen] == [[390], [390], [1280], [1280]]


@pytest.mark.slow
def test_in_a_browser_the_keyboard_searches_and_a_link_opens_what_it_leads_to(
    tmp_path: Path,
) -> None:
    (file := tmp_path / "page.html").write_text(page(shop()), encoding="utf-8")
    hidden = "[...document.querySelectorAll('.card[hidden]')].map((each) => each.id)"
    search = {
        "url": file.as_uri(),
        "steps": [
            ["press", "/"],
            ["see", "document.activeElement.id"],
            ["fill", "#search", "parts deprecated"],
            ["see", hidden],
            ["press", "Escape"],
            ["see", hidden],
        ],
    }
    link = {
        "url": f"{file.as_uri()}#schema-Item",
        "steps": [["see", "document.querySelector(':target').id"]],
    }

    searched, linked = look(search, link)

    assert searched["values"] == ["search", ["server-main", "schema-Order"], []]
    assert linked["values"] == ["schema-Item"]


@pytest.mark.slow
def test_in_a_browser_without_javascript_everything_can_be_read(tmp_path: Path) -> None:
    (file := tmp_path / "page.html").write_text(page(shop()), encoding="utf-8")
    shown = "document.querySelector('#schema-Item').checkVisibility()"
    offered = "document.querySelector('.search').checkVisibility()"
    steps = [["see", shown], ["see", offered]]

    (seen,) = look({"url": file.as_uri(), "javascript": False, "steps": steps})

    assert seen["values"] == [True, False]
