"""`callboard dead`, on a broker in memory that is taken for one that is elsewhere."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner, Result

from callboard.command._cli import cli

SERVICE = """
from dataclasses import replace
from anyio import wait_all_tasks_blocked
from callboard import App, MemoryBroker
from callboard.memory import MEMORY

class Kept(MemoryBroker, kind=replace(MEMORY, name="kept")):
    pass

broker = Kept(dead_letter="{address}.dead")
app = App(broker)
heard = []
failing = True

@broker.subscriber("orders", group="shop")
async def handle(number: int) -> None:
    if not failing:
        heard.append(number)
    elif number % 2:
        raise KeyError(number)
    else:
        raise ValueError(number)

async def work(count: int) -> None:
    async with broker:
        await broker.start()
        for number in range(count):
            await broker.publish(number, "orders", key=b"k", headers={"tenant": "acme\\x1b[31m"})
        await wait_all_tasks_blocked()
"""

TWO = (
    SERVICE[: SERVICE.index("broker = Kept")]
    + """
one, two = (Kept(dead_letter="{address}.dead") for _ in range(2))
app = App(one, two)

@one.subscriber("orders", group="shop")
@two.subscriber("orders", group="shop")
async def handle(number: int) -> None:
    raise KeyError(number)

async def work(count: int) -> None:
    for broker in (one, two):
        async with broker:
            await broker.start()
            for number in range(count):
                await broker.publish(number, "orders")
            await wait_all_tasks_blocked()
"""
)
"""The same with two brokers."""
FOREIGN = """
async def foreign() -> None:
    async with broker:
        await broker.publish(b"", "orders.dead", message_id="\\x1b[31mred", keep=True)
"""


@pytest.fixture
def folder(folder: Path) -> Path:
    (folder / "graves.py").write_text(SERVICE)
    sys.path.insert(0, str(folder))
    return folder


@pytest.fixture
def service(folder: Path) -> Any:
    """The module of a service that has six letters."""
    module = importlib.import_module("graves")
    anyio.run(module.work, 6)
    return module


@pytest.fixture
def call(folder: Path) -> Callable[..., Result]:
    def invoke(command: str, *arguments: str) -> Result:
        words = ["dead", command, "graves:app", *arguments, "--app-dir", str(folder)]
        return CliRunner().invoke(cli, words)

    return invoke


@pytest.mark.usefixtures("service")
def test_groups_are_counted(call: Callable[..., Result]) -> None:
    result = call("groups")

    assert result.exit_code == 0, result.output
    title, *lines = result.output.splitlines()
    assert title.split() == ["count", "last", "fingerprint", "from", "at", "reason"]
    assert sorted(line.split()[3] for line in lines) == [
        "KeyError@graves:handle",
        "ValueError@graves:handle",
    ]


@pytest.mark.usefixtures("service")
def test_letters_are_listed_and_one_is_shown_whole(call: Callable[..., Result]) -> None:
    listed = call("list", "--exception", "KeyError", "--limit", "2").output.splitlines()
    shown = call("show", "orders.dead", "--id", listed[2].split()[0]).output

    assert len(listed) == 3
    assert "x-original-address: orders" in shown
    assert "key: k" in shown
    assert "\nraise" not in shown
    assert "raise KeyError(number)" in shown
    assert "header tenant: acme" in shown
    assert "\x1b" not in shown
    assert "body, 1 bytes of application/json:\n3\n" in shown


def test_a_replay_sends_back_what_is_meant(call: Callable[..., Result], service: Any) -> None:
    service.failing = False

    dry = call("replay", "--exception", "KeyError", "--dry-run")
    done = call("replay", "--exception", "KeyError", "--limit", "2", "--rate", "1000")
    anyio.run(service.work, 0)

    assert dry.output == "3 would be sent back, and none was\n"
    assert done.output == "2 sent back\n"
    assert service.heard == [1, 3]
    assert call("replay", "--since", "1h", "--dry-run").output.startswith("4 would")


def test_what_fails_again_stays_in_the_end(call: Callable[..., Result], service: Any) -> None:
    for _ in range(2):
        call("replay", "--max-replays", "2")
        anyio.run(service.work, 0)

    assert call("replay", "--max-replays", "2").output == (
        "0 sent back\n6 stay, which were sent back 2 times and failed again\n"
    )


@pytest.mark.usefixtures("service")
def test_letters_are_dropped_by_who_says_which_and_that_he_means_it(
    call: Callable[..., Result],
) -> None:
    assert (
        call("drop", "--yes").output
        == "callboard: say which letters to drop, by --exception and the like, or --all\n"
    )
    assert call("drop", "--all").output == (
        "callboard: say --yes to drop letters where nobody can be asked\n"
    )
    assert call("drop", "--all", "--dry-run").output == "6 would be dropped, and none was\n"
    assert call("drop", "-e", "KeyError", "--yes").output == "3 dropped\n"
    assert call("drop", "--all", "--yes").output == "3 dropped\n"
    assert call("list").output == "no letters\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [(["drop", "--all", "--yes"], "6 dropped\n"), (["replay"], "6 sent back\n")],
)
def test_a_limit_is_one_of_all_brokers_together(
    call: Callable[..., Result], folder: Path, words: list[str], said: str
) -> None:
    (folder / "graves.py").write_text(TWO)
    module = importlib.import_module("graves")
    anyio.run(module.work, 6)

    assert call(*words, "--limit", "6").output == said
    assert call("drop", "--all", "--dry-run").output.startswith("6 would")
    assert call(*words, "--limit", "4").output == said.replace("6", "4")
    assert call("drop", "--all", "--dry-run").output.startswith("2 would")


def test_an_id_that_somebody_else_has_chosen_is_fit_to_be_seen(
    call: Callable[..., Result], folder: Path
) -> None:
    (folder / "graves.py").write_text(SERVICE + FOREIGN)
    anyio.run(importlib.import_module("graves").foreign)

    shown = call("show").output

    assert r"\x1b[31mred at orders.dead" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--since", "soon"], "--since 'soon' is no time: write 90s, 30m, 2h, 7d, or"),
        (["list", "--since", "999999d"], "--since '999999d' is no time: write 90s, 30m, 2h, 7d"),
        (["list", "--app-dir", "/nowhere"], "is no directory to import from"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    call: Callable[..., Result], words: list[str], said: str
) -> None:
    if "--app-dir" in words:
        result = CliRunner().invoke(cli, ["dead", words[0], "graves:app", *words[1:]])
    else:
        result = call(*words)

    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") == 1


def test_a_broker_in_memory_has_its_letters_elsewhere(
    call: Callable[..., Result], folder: Path
) -> None:
    file = folder / "graves.py"
    file.write_text(file.read_text().replace("broker = Kept(", "broker = MemoryBroker("))
    result = call("groups")

    assert result.exit_code == 2
    assert "keeps its letters in the process that runs it" in result.output


def test_an_application_without_letters_says_so(call: Callable[..., Result], folder: Path) -> None:
    file = folder / "graves.py"
    file.write_text(file.read_text().replace('dead_letter="{address}.dead"', ""))

    assert "has a dead_letter= address; give the address" in call("list").output
    assert call("list", "orders").output == "no letters\n"
