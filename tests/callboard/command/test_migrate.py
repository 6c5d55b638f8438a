"""`callboard migrate` changes imports and names, says what behaves otherwise, and touches no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from callboard.command._cli import cli
from callboard.command._rewrite import missing, rewrite

SERVICE = """\
# a service
from faststream import FastStream, Logger
from faststream.kafka import KafkaBroker

broker = KafkaBroker("localhost:9092")
app: FastStream = FastStream(broker)


@broker.subscriber("orders")
async def handle(order: str, logger: Logger) -> None:
    logger.info(order)
"""


def migrated(text: str) -> str:
    return rewrite(text.encode()).text.decode()


def test_imports_and_the_name_of_the_application_change_and_nothing_else() -> None:
    assert migrated(SERVICE) == (
        SERVICE.replace("faststream", "callboard").replace("FastStream", "App")
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "import faststream\napp = faststream.FastStream()",
            "import callboard\napp = callboard.App()",
        ),
        (
            "import faststream as fs\napp = fs.FastStream()",
            "import callboard as fs\napp = fs.App()",
        ),
        (
            "import faststream.kafka\nb = faststream.kafka.KafkaBroker()",
            "import callboard.kafka\nb = callboard.kafka.KafkaBroker()",
        ),
        (
            "from faststream import FastStream as Service\napp = Service()",
            "from callboard import App as Service\napp = Service()",
        ),
        (
            "from faststream.asgi import AsgiFastStream\napp = AsgiFastStream()",
            "from callboard.asgi import AsgiApp\napp = AsgiApp()",
        ),
        (
            "if True: from faststream import FastStream\nx = f(FastStream, FastStream=1)",
            "if True: from callboard import App\nx = f(App, FastStream=1)",
        ),
        (
            "from fast_depends import Depends, Dependant",
            "from callboard import Depends\nfrom fast_depends import Dependant",
        ),
        ("from .faststream import FastStream", "from .faststream import FastStream"),
        ("def faststream(): FastStream", "def faststream(): FastStream"),
    ],
)
def test_a_name_is_changed_wherever_it_stands_for_the_import(old: str, new: str) -> None:
    assert migrated(old + "\n") == new + "\n"


@pytest.mark.parametrize("other", ["class App: ...", 'x: "FastStream"', "def f(): App = 1"])
def test_a_name_stays_where_the_new_one_is_taken_or_stands_in_a_text(other: str) -> None:
    old = f"from faststream import FastStream\n{other}\napp = FastStream()\n"

    assert migrated(old) == old.replace("faststream import", "callboard import App as")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_line_ends_and_encoding_stay(end: str, encoding: str) -> None:
    old = end.join([f"# coding: {encoding}", "import faststream", "x = 'é'", ""])

    new = rewrite(old.encode(encoding)).text

    assert new == old.replace("faststream", "callboard").encode(encoding)


@settings(deadline=None)
@given(st.lists(st.sampled_from(SERVICE.splitlines(keepends=True))))
def test_what_is_migrated_has_nothing_left_to_migrate(lines: list[str]) -> None:
    text = "".join(line for line in lines if not line.startswith((" ", "@", "async")))
    once = migrated(text)

    assert migrated(once) == once


def test_what_behaves_otherwise_is_told_with_its_line() -> None:
    findings = rewrite(SERVICE.encode()).findings

    assert [(line, says.split(",")[0]) for line, says in findings] == [
        (9, "settles after the handler and its outputs (at least once)")
    ]


def test_what_callboard_does_not_have_is_told_with_its_reason() -> None:
    text = "from faststream.mqtt import MQTTBroker\nfrom faststream import Nonsense\n"

    assert [line for line, _ in rewrite(text.encode()).findings] == [1, 2]
    assert missing("callboard.App") is None
    assert missing("callboard.kafka") is None


def test_the_command_shows_a_diff_and_writes_only_when_told(tmp_path: Path) -> None:
    module = tmp_path / "app.py"
    module.write_text(SERVICE)
    (tmp_path / "pyproject.toml").write_text('dependencies = ["faststream[kafka]"]\n')
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "other.py").write_text("import faststream\n")

    shown = CliRunner().invoke(cli, ["migrate", str(tmp_path)])

    assert shown.exit_code == 0
    assert "+from callboard import App, Logger\n" in shown.stdout
    assert "1 of 1 modules to rewrite" in shown.stderr
    assert f"{tmp_path}/pyproject.toml:1" in shown.stderr
    assert module.read_text() == SERVICE

    written = CliRunner().invoke(cli, ["migrate", str(tmp_path), "--write"])

    assert "1 of 1 modules rewritten" in written.stderr
    assert module.read_text() == migrated(SERVICE)
    assert "faststream" in (tmp_path / ".venv" / "other.py").read_text()


def test_a_module_that_is_no_python_is_left_alone_and_named(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import faststream\ndef f(:\n")

    result = CliRunner().invoke(cli, ["migrate", str(tmp_path), "--write"])

    assert result.exit_code == 0
    assert (
        f"stays as it is, since it can't be read as Python\n    {tmp_path}/bad.py:2"
        in result.stderr
    )


def test_a_path_that_is_not_there_is_one_line() -> None:
    result = CliRunner().invoke(cli, ["migrate", "no/such/path"])

    assert (result.exit_code, result.stderr) == (2, "callboard: there is no 'no/such/path'\n")


@pytest.mark.parametrize(
    ("elsewhere", "kept"),
    [
        ("__all__ = ['FastStream']\n", True),
        ("try:\n    pass\nexcept ImportError:\n    FastStream = None\n", True),
        ("def f():\n    global FastStream\n", True),
        ("", False),
    ],
)
def test_a_name_stays_that_is_bound_or_named_in_another_way(elsewhere: str, kept: bool) -> None:
    text = f"from faststream import FastStream\n{elsewhere}app = FastStream()\n"

    assert ("import App as FastStream\n" in migrated(text)) is kept


def test_an_import_that_is_there_for_other_modules_keeps_its_name() -> None:
    assert migrated("from faststream import FastStream\n") == (
        "from callboard import App as FastStream\n"
    )


def test_a_star_is_rewritten_and_told() -> None:
    new = rewrite(b"from faststream.kafka import *\nbroker = KafkaBroker()\n")

    assert new.text.startswith(b"from callboard.kafka import *\n")
    assert [line for line, _ in new.findings] == [1]


@pytest.mark.parametrize(
    "text",
    [
        b"# -*- coding: nonesuch -*-\nimport faststream\n",
        b"import faststream\nx = " + b"+".join([b"1"] * 800) + b"\n",
        b"import faststream\n\0\n",
    ],
    ids=["encoding", "depth", "null"],
)
def test_a_module_that_cannot_be_taken_apart_does_not_keep_others_from_it(
    tmp_path: Path, text: bytes
) -> None:
    (tmp_path / "a.py").write_bytes(text)
    (tmp_path / "b.py").write_text(SERVICE)

    result = CliRunner().invoke(cli, ["migrate", str(tmp_path), "--write"])

    assert result.exit_code == 0
    assert (
        f"stays as it is, since it can't be read as Python\n    {tmp_path}/a.py:" in result.stderr
    )
    assert (tmp_path / "a.py").read_bytes() == text
    assert (tmp_path / "b.py").read_text() == migrated(SERVICE)


def test_the_last_line_of_a_diff_ends_where_that_of_the_module_does_not(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from faststream import App")

    result = CliRunner().invoke(cli, ["migrate", str(tmp_path)])

    assert "-from faststream import App\n\\ No newline at end of file\n+from" in result.stdout


@pytest.mark.parametrize("name", ["book.ipynb", "tox.ini", ".github/workflows/ci.yml"])
def test_what_names_faststream_and_is_no_module_is_told(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("run: faststream run main:app\n")

    for path in (tmp_path, file):
        result = CliRunner().invoke(cli, ["migrate", str(path)])

        assert "names faststream, and stays: the distribution" in result.stderr
        assert f"{file}:1" in result.stderr


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("NatsBroker('nats://a', max_reconnect_attempts=-1)", "max_reconnect_attempts= is to be"),
        ("RabbitBroker(fail_fast=True)", "fail_fast= is to be taken out"),
        ("broker.publisher('orders', autoflush=True)", "autoflush= is to be taken out"),
    ],
)
def test_an_option_that_is_not_there_is_reported_with_what_to_do(made: str, says: str) -> None:
    text = f"from faststream.nats import NatsBroker\nmade = {made}\n"

    assert [says in said for _, said in rewrite(text.encode()).findings] == [True]
