"""What `callboard docs` says of documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from callboard.command._cli import cli

SERVICE = """
from callboard import App, MemoryBroker

broker = MemoryBroker()
app = App(broker, title="Shop")


@broker.subscriber("orders")
async def on_order(number: int) -> None: ...
"""


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["docs", *arguments])


@pytest.fixture
def document(folder: Path) -> dict[str, Any]:
    (folder / "shop_service.py").write_text(SERVICE)
    printed = call("gen", "shop_service:app", "--app-dir", str(folder)).stdout
    written: dict[str, Any] = json.loads(printed)
    return written


def test_a_document_is_written_in_another_version(folder: Path) -> None:
    (folder / "shop_service.py").write_text(SERVICE)
    result = call("gen", "shop_service:app", "--app-dir", str(folder), "--schema-version", "2.6.0")

    assert json.loads(result.stdout)["asyncapi"] == "2.6.0"


def test_a_version_that_is_not_written_is_one_line(folder: Path) -> None:
    (folder / "shop_service.py").write_text(SERVICE)
    result = call("gen", "shop_service:app", "--app-dir", str(folder), "--schema-version", "1.2")

    assert result.exit_code == 1
    assert "give one of 3.0.0, 3.1.0, 2.6.0" in result.stderr


@pytest.mark.parametrize("name", ["api.json", "api.yaml"])
def test_a_valid_file_is_said_to_be_so(document: dict[str, Any], tmp_path: Path, name: str) -> None:
    document["info"]["version"] = "2020-01-01"  # which YAML takes for a date
    text = json.dumps(document) if name == "api.json" else yaml.safe_dump(document)
    (file := tmp_path / name).write_text(text.replace("'2020-01-01'", "2020-01-01"))

    result = call("check", str(file))

    assert (result.exit_code, result.stderr) == (0, f"{file} is valid\n")


def test_what_is_wrong_with_a_file_is_said_line_by_line(
    document: dict[str, Any], tmp_path: Path
) -> None:
    del document["info"]["title"]
    (file := tmp_path / "api.json").write_text(json.dumps(document))

    result = call("check", str(file))

    assert result.exit_code == 1
    assert result.stdout == f"{file}: /info: 'title' is a required property\n"


@pytest.mark.parametrize(("name", "text"), [("a.json", "{"), ("a.yaml", "a: [")])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    for result in (call("check", str(tmp_path / name)), call("check", str(tmp_path / "no.json"))):
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        assert "can't be read" in result.stderr


def test_a_page_is_made_of_an_application_and_of_a_file(
    document: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    (file := tmp_path / "api.json").write_text(json.dumps(document))

    of_the_app = call("page", "shop_service:app", "--app-dir", str(folder)).stdout
    assert call("page", str(file), "--out", str(tmp_path / "api.html")).exit_code == 0

    assert of_the_app.startswith("<!DOCTYPE html>")
    assert "<title>Shop AsyncAPI</title>" in of_the_app
    assert (tmp_path / "api.html").read_text() == of_the_app


@pytest.mark.parametrize("source", ["no.json", "no_such_module:app"])
def test_a_source_that_is_not_there_is_one_line(folder: Path, source: str) -> None:
    result = call("page", source, "--app-dir", str(folder))

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert source.partition(":")[0] in result.stderr


@pytest.fixture
def both(document: dict[str, Any], tmp_path: Path) -> tuple[str, str]:
    """The files of a document, and of one whose handler wants text."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(document, indent=2))
    schemas = document["components"]["schemas"]
    document["components"]["schemas"] = {each: {"type": "string"} for each in schemas}
    new.write_text(json.dumps(document, indent=2))
    return str(old), str(new)


def test_a_change_that_breaks_somebody_fails(both: tuple[str, str]) -> None:
    result = call("diff", *both)

    assert result.stdout == ("breaks producers  receive orders: payload: integer became string\n")
    assert (result.exit_code, result.stderr) == (
        1,
        "callboard: 1 of 1 change(s) break producers\n",
    )


def test_what_has_not_changed_does_not_fail(both: tuple[str, str]) -> None:
    result = call("diff", both[0], both[0])

    assert (result.exit_code, result.stdout) == (0, "")


def test_changes_are_said_as_json_and_as_annotations(both: tuple[str, str]) -> None:
    as_json = json.loads(call("diff", *both, "--format", "json").stdout)
    annotations = call("diff", *both, "--format", "github").stdout

    assert as_json["breaking"] is True
    assert as_json["changes"][0]["breaks"] == "producers"
    assert annotations.startswith(f"::error file={both[1]},line=")
    assert ",title=breaks producers::receive orders: payload: integer" in annotations


def test_an_application_is_compared_with_its_document(both: tuple[str, str], folder: Path) -> None:
    here = ("--app-dir", str(folder))

    assert call("diff", both[0], "shop_service:app", *here).exit_code == 0
    assert call("diff", both[1], "shop_service:app", *here).exit_code == 1


@pytest.mark.parametrize("text", ["{", "{}", '{"asyncapi": "1.0.0"}'])
def test_what_cannot_be_compared_is_one_line_and_status_2(
    both: tuple[str, str], tmp_path: Path, text: str
) -> None:
    (file := tmp_path / "bad.json").write_text(text)
    result = call("diff", both[0], str(file))

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
