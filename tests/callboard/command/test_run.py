"""The options of `callboard run`: where they are said, what they do, and what is wrong with them."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from .calls import add, call, callboard, ended, run, running

LOOP = """
import asyncio, sniffio

@app.on_startup
async def show():
    if sniffio.current_async_library() == "asyncio":
        print(type(asyncio.get_running_loop()).__module__)
    else:
        print("trio")

def another():
    return asyncio.SelectorEventLoop()

app.exit()
"""
HOOK = """
@app.on_startup
def show(db: str = "", token: str = "", tags: list[str] = [], retries: int = 0) -> None:
    print([db, token, tags, retries])

app.exit()
"""


JSON_LOG = """
[root]
level = "INFO"
handlers = ["stderr"]

[handlers.stderr]
class = "logging.StreamHandler"
formatter = "json"

[formatters.json]
"()" = "callboard.logs.JsonFormatter"
"""


@pytest.fixture(autouse=True)
def log() -> Generator[None]:
    """Leave the log as it was, whatever a command makes of it."""
    root, make = logging.getLogger(), logging.getLogRecordFactory()
    handlers, level = [*root.handlers], root.level
    yield
    logging.setLogRecordFactory(make)
    for handler in {*root.handlers} - {*handlers}:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def project(folder: Path, service: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pyproject.toml of the folder in which the command is called."""
    add(service, HOOK)
    monkeypatch.chdir(folder)
    return folder / "pyproject.toml"


SAID: list[tuple[list[str], list[object]]] = [
    (["--db", "postgres://h:1/db?x=1"], ["postgres://h:1/db?x=1", "", [], 0]),
    (["--token=abc==", "--db=a:b"], ["a:b", "abc==", [], 0]),
    (["--tags", "x:y", "z=1", "--retries", "-5"], ["", "", ["x:y", "z=1"], -5]),
    (["--tags=x", "--tags=y"], ["", "", ["x", "y"], 0]),
    (["--db=", "--", "--token=t"], ["", "t", [], 0]),
]


@pytest.mark.parametrize(("words", "seen"), SAID)
def test_options_of_the_application_are_what_was_written(
    service: Path, words: list[str], seen: list[object]
) -> None:
    add(service, HOOK)

    result = run(service, *words)

    assert result.exit_code == 0, result.stderr
    assert f"{seen}\n" in result.stdout


def test_a_wrong_option_is_one_line_that_says_the_nearest_right_one(service: Path) -> None:
    add(service, HOOK)

    theirs, ours = run(service, "--retires=5"), run(service, "--log-levle", "DEBUG")

    assert theirs.stderr == "callboard: no such option: --retires; did you mean --retries?\n"
    assert ours.stderr == "callboard: no such option: --log-levle; did you mean --log-level?\n"
    assert (theirs.exit_code, ours.exit_code) == (2, 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["docs", "gen", "--yaml-file"], "no such option: --yaml-file; did you mean --yaml?"),
        (["rnu"], "no such command 'rnu'; did you mean 'run'?"),
        (["run"], "missing argument 'MODULE:APP'"),
        (["run", "--db", "x"], "write MODULE:APP before '--db'"),
        (["run", "--workres", "3"], "write MODULE:APP before '--workres'; did you mean --workers?"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*words)

    assert result.stderr == f"callboard: {said}\n"
    assert result.exit_code == 2


def test_the_command_line_comes_before_the_environment_and_that_before_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write_text("[tool.callboard]\napp = 'service:app'\nlog-level = 'of the project'\n")

    of_project = call("run", "--db=d")
    monkeypatch.setenv("CALLBOARD_LOG_LEVEL", "of the environment")
    of_environment = call("run", "--db=d")
    of_line = call("run", "--db=d", "--log-level", "info")

    assert "there is no log level 'of the project'" in of_project.stderr
    assert "there is no log level 'of the environment'" in of_environment.stderr
    assert "['d', '', [], 0]" in of_line.stdout, of_line.stderr


def test_what_a_project_says_wrongly_is_one_line(project: Path) -> None:
    project.write_text("[tool.callboard]\nlog-levle = 'INFO'\n")
    misspelt = call("run", "service:app").stderr
    project.write_text("[tool.callboard")
    broken = call("run", "service:app").stderr

    assert misspelt == (
        "callboard: pyproject.toml: [tool.callboard] has no 'log-levle'; did you mean log-level?\n"
    )
    assert broken.startswith("callboard: pyproject.toml can't be read: ")
    assert broken.count("\n") == 1


def test_more_of_an_error_is_shown_if_it_is_asked_for(service: Path) -> None:
    add(service, "@app.on_startup\nasync def connect():\n    raise LookupError('no database')\n")

    result = run(service, "--traceback")

    assert 'service.py", line 15, in connect' in result.stderr
    assert result.stderr.endswith("\ncallboard: LookupError: no database (service.py:15)\n")


def test_an_application_without_a_broker_is_one_line(service: Path) -> None:
    add(service, "app = App()")

    result = run(service)

    assert result.exit_code == 1
    assert "the application of service.py:13 has no broker to run" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ([], "asyncio"),
        (["--backend", "trio"], "trio"),
        (["--loop", "uvloop"], "uvloop"),
        (["--loop", "service:another"], "asyncio"),
    ],
)
def test_the_event_loop_can_be_chosen(service: Path, words: list[str], seen: str) -> None:
    add(service, LOOP)

    result = run(service, *words)

    assert result.exit_code == 0, result.stderr
    assert seen in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backend", "curio"], "'curio' is not one of 'asyncio', 'trio'"),
        (["--backend", "trio", "--loop", "uvloop"], "--loop uvloop is for --backend asyncio"),
        (["--loop", "fast"], "--loop fast names no event loop: write uvloop, or module:factory"),
    ],
)
def test_a_loop_that_cannot_be_had_is_one_line(service: Path, words: list[str], said: str) -> None:
    result = run(service, *words)

    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_broker_that_needs_asyncio_says_so_on_trio(service: Path) -> None:
    add(
        service,
        "from callboard.kafka import KafkaBroker\napp = App(KafkaBroker('localhost:1'))\n",
    )

    result = run(service, "--backend", "trio")

    assert result.exit_code == 1
    assert "the client of Kafka runs on asyncio only" in result.stderr
    assert result.stderr.count("\n") == 1


CONFIG: dict[str, Any] = {
    "formatters": {"short": {"format": "%(worker_id)s %(name)s %(message)s"}},
    "handlers": {"file": {"class": "logging.FileHandler", "formatter": "short"}},
    "root": {"level": "INFO", "handlers": ["file"]},
}
TOML = """
[formatters.short]
format = "%(worker_id)s %(name)s %(message)s"
[handlers.file]
class = "logging.FileHandler"
formatter = "short"
filename = "FILE"
[root]
level = "INFO"
handlers = ["file"]
"""


@pytest.mark.parametrize("kind", ["json", "yaml", "toml"])
def test_a_file_may_say_how_to_log(service: Path, kind: str) -> None:
    written = service.parent / "log"
    config = service.parent / f"log.{kind}"
    handlers = {"file": CONFIG["handlers"]["file"] | {"filename": str(written)}}
    text = json.dumps(CONFIG | {"handlers": handlers})  # which is YAML, too
    config.write_text(TOML.replace("FILE", str(written)) if kind == "toml" else text)
    add(service, "import logging\nlogging.getLogger('shop').info('open')\napp.exit()\n")

    result = run(service, "--log-config", str(config))

    assert result.exit_code == 0, result.stderr
    assert written.read_text().startswith("None shop open\n")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("log.ini", "", "write it as .json, .yaml or .toml"),
        ("log.json", "{", "can't be read: JSONDecodeError"),
        ("log.toml", "x", "can't be read: TOMLDecodeError"),
        ("log.yaml", "a: [", "can't be read: ParserError"),
        ("log.yaml", "loud", "has no dictionary for logging.config, but a str"),
        ("log.json", '{"root": {"handlers": ["tape"]}}', "as FILE says: ValueError: Unable to"),
        ("none.json", None, "can't be read: FileNotFoundError"),
    ],
)
def test_a_log_that_cannot_be_had_is_one_line(
    service: Path, name: str, text: str | None, said: str
) -> None:
    config = service.parent / name
    if text is not None:
        config.write_text(text)

    result = run(service, "--log-config", str(config))

    assert result.exit_code == 2
    assert said.replace("FILE", str(config)) in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_start_that_waits_for_a_server_ends_at_once(service: Path) -> None:
    add(
        service,
        """
from callboard.kafka import KafkaBroker

kafka = KafkaBroker("localhost:1")
waiting = App(kafka, graceful_timeout=3600)

@kafka.subscriber("parcels")
async def pack(parcel: int): ...

@waiting.on_startup
async def tell():
    print("up", flush=True)
""",
    )
    with running(service, "waiting", "--log-level", "WARNING") as process:
        assert process.stderr is not None
        while "localhost:1" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        ended(process)

    assert process.returncode == 0


def test_there_is_completion_for_shells() -> None:
    assert "_CALLBOARD_COMPLETE" in call("--show-completion").output


def test_an_application_says_who_listens_where_that_it_is_up_and_when_it_has_stopped(
    service: Path,
) -> None:
    add(service, "app.exit()\n")

    with callboard("run", "service:app", "--app-dir", str(service.parent)) as process:
        _, errors = ended(process)

    said = [line.partition(" INFO     ")[2] for line in errors.splitlines()]
    assert said == ["memory: handle(orders)", "up; Ctrl-C stops", "stopped"]


@pytest.mark.parametrize(
    ("options", "own", "clients"),
    [
        ([], logging.NOTSET, logging.WARNING),
        (["-v"], logging.DEBUG, logging.WARNING),
        (["-vv"], logging.DEBUG, logging.NOTSET),
        (["-l", "ERROR"], logging.NOTSET, logging.ERROR),
        (["-l", "DEBUG"], logging.NOTSET, logging.NOTSET),
    ],
)
def test_lines_of_clients_are_for_those_who_ask_twice(
    service: Path, options: list[str], own: int, clients: int
) -> None:
    add(service, "app.exit()\n")

    assert run(service, *options).exit_code == 0

    assert logging.getLogger("callboard").level == own
    assert logging.getLogger("aiokafka").level == clients


def test_how_much_is_logged_may_be_said_in_the_environment(
    service: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(service, "app.exit()\n")
    monkeypatch.setenv("CALLBOARD_VERBOSE", "2")

    assert run(service).exit_code == 0

    assert logging.getLogger("callboard").level == logging.DEBUG
    assert logging.getLogger("aiokafka").level == logging.NOTSET


def test_a_file_may_have_lines_written_as_json(service: Path) -> None:
    add(service, "app.exit()\n")
    config = service.with_name("log.toml")
    config.write_text(JSON_LOG)

    with callboard(
        "run", "service:app", "--app-dir", str(service.parent), "--log-config", str(config)
    ) as process:
        _, errors = ended(process)

    said = [json.loads(line) for line in errors.splitlines()]
    assert [line["message"] for line in said] == [
        "memory: handle(orders)",
        "up; Ctrl-C stops",
        "stopped",
    ]
    assert {line["logger"] for line in said} == {"callboard"}
