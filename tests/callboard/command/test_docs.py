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
