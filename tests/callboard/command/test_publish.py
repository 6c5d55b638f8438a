"""`callboard publish`, by a broker in memory that is taken for one that is elsewhere."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from typer.testing import Result

from .calls import add, call, running

SERVICE = """
from dataclasses import replace
from typing import Any
from anyio import wait_all_tasks_blocked
from callboard import App, Message, MemoryBroker
from callboard.memory import MEMORY
from callboard.nats import NatsBroker

class Kept(MemoryBroker, kind=replace(MEMORY, name="kept")):
    pass

broker = Kept()
app, several = App(broker), App(broker, NatsBroker())
alike, silent, none = App(broker, Kept()), App(MemoryBroker()), App()
heard = []

@broker.subscriber("orders", group="shop")
async def handle(body: Any, message: Message) -> None:
    heard.append((body, message.key, {**message.headers}))

async def work() -> None:
    async with broker:
        await broker.start()
        await wait_all_tasks_blocked()
"""


@pytest.fixture
def shop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of a service that is known to its broker; the command is called in its folder."""
    (folder / "shop.py").write_text(SERVICE)
    monkeypatch.chdir(folder)
    sys.path.insert(0, str(folder))
    module = importlib.import_module("shop")
    anyio.run(module.work)
    return module


def publish(*words: str, app: str = "app") -> Result:
    return call("publish", f"shop:{app}", *words)


def heard(shop: Any) -> list[tuple[object, object, object]]:
    """Return what the handler gets of what was published: bodies, keys and headers."""
    anyio.run(shop.work)
    found: list[tuple[object, object, object]] = shop.heard
    return found


def bodies(shop: Any) -> list[object]:
    return [body for body, _, _ in heard(shop)]


@pytest.mark.parametrize(
    ("said", "got"), [('{"id": 1}', {"id": 1}), ("[1, 2]", [1, 2]), ("hello", "hello"), ("7", 7)]
)
def test_a_message_is_what_its_json_says_or_else_text(shop: Any, said: str, got: object) -> None:
    result = publish(said, "--to", "orders")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "1 published\n")
    assert bodies(shop) == [got]


def test_options_are_those_of_publish_each_of_its_type(shop: Any) -> None:
    result = publish(
        "1", "--address=orders", "--key", "k=v:w", "-H", "tenant=acme=1", "-H", "b=2", "--delay=0",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    [(_, key, headers)] = heard(shop)
    assert key == b"k=v:w"
    assert headers == {"tenant": "acme=1", "b": "2"}


def test_options_may_come_before_the_message(shop: Any) -> None:
    assert publish("--to", "orders", "--key", "k", "5").exit_code == 0
    assert bodies(shop) == [5]


def test_each_line_of_a_file_is_a_message(shop: Any, folder: Path) -> None:
    lines = folder / "orders.jsonl"
    lines.write_text("1\n\n[2]\n" + '"three"')

    result = publish("--file", "orders.jsonl", "--lines", "--to", "orders")

    assert result.stderr == "3 published\n"
    assert bodies(shop) == [1, [2], "three"]


def test_many_lines_are_told_now_and_then_and_may_be_sent_together(shop: Any, folder: Path) -> None:
    (folder / "many").write_text("\n".join(map(str, range(2500))))

    result = publish("--file", "many", "--lines", "--at-once", "100", "--to", "orders")

    assert result.stderr == "1000 ...\n2000 ...\n2500 published\n"
    assert sorted(map(int, map(str, bodies(shop)))) == [*range(2500)]


def test_a_line_that_is_no_json_is_named_and_those_before_it_are_sent(
    shop: Any, folder: Path
) -> None:
    (folder / "orders.jsonl").write_text("1\n2\nthree\n4\n")

    result = publish("--file", "orders.jsonl", "--lines", "--to", "orders")

    assert result.exit_code == 1
    published, error = result.stderr.splitlines()
    assert published == "2 published"
    assert error.startswith("callboard: orders.jsonl:3 is no JSON: Expecting value")
    assert bodies(shop) == [1, 2]


@pytest.mark.parametrize(
    ("app", "words", "said"),
    [
        ("app", ["1"], "say where to: --to, or --address"),
        ("app", ["1", "2", "--to=a"], "'2' is one word too many: there is a message already"),
        ("app", ["--to=a"], "there is no message: give one, --file FILE, or write it to stdin"),
        ("app", ["1", "--file=x", "--to=a"], "give a message, or a file of some, and not both"),
        ("app", ["--file=none", "--to=a"], "none can't be read: No such file or directory"),
        ("app", ["1", "--adress=a"], "no such option: --adress; did you mean --address?"),
        ("app", ["1", "--to=a", "--delay=soon"], "--delay 'soon' is no float or timedelta"),
        ("app", ["1", "--to=a", "--key"], "--key needs a value"),
        ("app", ["1", "--to=a", "-H", "x"], "--header 'x' is no header: write NAME=VALUE"),
        ("none", ["1", "--to=a"], "the application has no broker: there is nothing to publish by"),
        ("silent", ["1", "--to=a"], "a broker in memory is in the process that runs it: nobody"),
        ("alike", ["1", "--to=a"], "several brokers: say --broker kept or --broker kept-2"),
        ("several", ["1", "--to=a", "-b", "redis"], "has no broker 'redis'; it has kept, nats"),
        ("several", ["1", "--topik=a"], "no broker of the application takes --topik"),
    ],
)
def test_what_is_wrong_is_one_line(shop: Any, app: str, words: list[str], said: str) -> None:
    result = publish(*words, app=app)

    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_broker_is_the_one_that_takes_the_options(shop: Any) -> None:
    assert publish("1", "--address", "orders", app="several").exit_code == 0
    assert publish("2", "--to", "orders", "--broker", "kept", app="several").exit_code == 0
    assert bodies(shop) == [1, 2]


def test_an_answer_that_does_not_come_is_one_line_and_status_1(shop: Any) -> None:
    result = publish("1", "--to", "nowhere", "--rpc", "--timeout", "0.01")

    assert result.exit_code == 1
    assert result.stderr.startswith("0 published\ncallboard: ")
    assert "nowhere" in result.stderr


NATS = """
import os
from callboard.nats import NatsBroker

nats = NatsBroker(os.environ["CALLBOARD_NATS"])
asked = App(nats)

@nats.subscriber("SUBJECT")
async def double(number: int) -> dict[str, int]:
    return {"twice": 2 * number}

@asked.after_startup
async def tell():
    print("up", flush=True)
"""


@pytest.mark.slow
@pytest.mark.broker("nats")
def test_answers_are_printed_as_json_one_for_each_line_of_stdin(service: Path) -> None:
    subject = f"cli.{uuid4().hex}"
    add(service, NATS.replace("SUBJECT", subject))
    command = [str(Path(sys.executable).parent / "callboard"), "publish", "service:asked"]
    command += ["--app-dir", str(service.parent), "--subject", subject, "--rpc", "--lines"]
    with running(service, "asked"):
        done = subprocess.run(
            command, input="1\n21\n", capture_output=True, text=True, env=os.environ, check=True
        )

    assert done.stdout == '{"twice": 2}\n{"twice": 42}\n'
    assert done.stderr == "2 published\n"
