"""The command line, in this process where no signal is needed, and in one of its own."""

from __future__ import annotations

import json
import logging
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import Result

from ...leaks import looked_through
from .calls import add, call, ended, run, running

TERMINAL = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
SCREEN_BEFORE = "\x1b[?1049l"
CURSOR = "\x1b[?25h"


def test_the_version_is_told() -> None:
    result = call("--version")

    assert result.exit_code == 0
    assert result.stdout.startswith("callboard 0.")


def test_without_a_command_there_is_help() -> None:
    assert "run" in call().output
    assert "gen" in call("docs").output


@pytest.mark.parametrize("command", [["run"], ["docs", "gen"]])
def test_a_path_that_leads_nowhere_is_one_line_and_status_2(
    folder: Path, command: list[str]
) -> None:
    result = call(*command, "nowhere:app", "--app-dir", str(folder))

    assert result.exit_code == 2
    assert result.stderr == f"callboard: there is no module 'nowhere' in '{folder}'\n"
    assert result.stdout == ""


def test_an_unknown_log_level_is_one_line_and_status_2(service: Path) -> None:
    result = run(service, "--log-level", "loud")

    assert result.exit_code == 2
    assert result.stderr.startswith("callboard: there is no log level 'loud'")


@pytest.mark.parametrize("level", ["debug", "INFO", "30"])
def test_an_application_that_exits_ends_with_status_0(service: Path, level: str) -> None:
    add(service, "app.exit()")

    assert run(service, "--log-level", level).exit_code == 0


def test_a_factory_may_make_the_application(service: Path) -> None:
    add(service, "app.exit()\ndef make(): return app")

    result = call("run", "service:make", "--factory", "--app-dir", str(service.parent))

    assert result.exit_code == 0


def test_an_application_that_fails_to_start_is_one_line_and_status_1(
    service: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "callboard")
    add(service, "@app.on_startup\nasync def connect():\n    raise LookupError('no database')\n")

    result = run(service)

    assert result.exit_code == 1
    assert result.stderr == "callboard: LookupError: no database (service.py:15)\n"
    assert caplog.records[-1].exc_info is not None


def test_what_an_error_says_is_no_command_to_the_terminal(service: Path) -> None:
    add(
        service,
        "@app.on_startup\nasync def f():\n    raise LookupError('\\x1b]0;title\\x07\\x1b[2J')\n",
    )

    result = run(service)

    assert result.stderr == "callboard: LookupError: \\x1b]0;title\\x07\\x1b[2J (service.py:15)\n"


def test_a_hook_that_a_client_library_cancels_is_one_line_and_status_1(service: Path) -> None:
    add(
        service,
        """
import asyncio

@app.on_startup
async def connect():
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future
""",
    )

    result = run(service)

    assert result.exit_code == 1
    assert "the hook 'connect' (service.py:16) was cancelled, but by no cancel" in result.stderr


def test_a_hook_that_fails_when_all_stops_is_one_line_and_status_1(service: Path) -> None:
    add(
        service,
        """
@broker.subscriber("parcels")
class Packer:
    async def receive(self, parcel: int): ...
    async def on_stop(self, reason):
        raise LookupError("no shelf")

app.graceful_timeout = 100
app.exit()
""",
    )

    result = run(service)

    assert result.exit_code == 1
    assert result.stderr == "callboard: LookupError: no shelf (service.py:18)\n"


def test_a_declaration_that_cannot_work_is_one_line_and_status_1(service: Path) -> None:
    add(
        service,
        "from typing import Annotated\n"
        "from callboard import Context\n"
        "@broker.subscriber('parcels')\n"
        "class Pack:\n"
        "    def __init__(self, shelf: Annotated[int, Context()]) -> None: ...\n"
        "    async def receive(self, parcel: int) -> None: ...\n",
    )

    result = run(service)

    assert result.exit_code == 1
    assert result.stderr.startswith("callboard: DeclarationError: ")
    assert "'Pack' (service.py:17)" in result.stderr
    assert result.stderr.count("\n") == 1


def test_other_options_are_for_the_application(service: Path) -> None:
    add(
        service,
        """
@app.on_startup
def show(name: str, port: int, is_dry: bool, tags: list[str], loud: bool = True) -> None:
    print(name, port, is_dry, tags, loud)

app.exit()
""",
    )

    result = run(
        service, "--name=ada", "--port", "80", "--is-dry", "--no-loud", "--tags", "a", "b=c"
    )

    assert result.exit_code == 0, result.stderr
    assert "ada 80 True ['a', 'b=c'] False" in result.stdout


def test_an_option_that_nobody_takes_is_refused(service: Path) -> None:
    result = run(service, "--nmae=ada")

    assert result.exit_code == 2
    assert result.stderr.startswith("callboard: no such option: --nmae; neither the command nor")


def test_an_option_that_is_missing_is_named(service: Path) -> None:
    add(service, "@app.on_startup\ndef show(name: str) -> None: ...\n")

    result = run(service)

    assert result.exit_code == 1
    assert "StartupValidationError: options of the start are missing: name" in result.stderr


@pytest.mark.slow
def test_an_application_that_gives_up_ends_with_status_1(service: Path) -> None:
    add(
        service,
        """
starts = []

@broker.subscriber("parcels", supervision=Supervision(intensity=0, on_give_up="stop"))
class Doomed:
    async def on_start(self):
        starts.append(1)
        if len(starts) > 1:
            raise LookupError("no shelf")

    async def receive(self, parcel: int):
        raise ActorCrash("corrupt")

@app.after_startup
async def publish():
    await broker.publish(1, "parcels")
""",
    )

    result = run(service)

    assert result.exit_code == 1
    assert result.stderr.startswith("callboard: GaveUp: supervisor 'app' gave up on 'memory'")
    assert "because of LookupError: no shelf (service.py:21)" in result.stderr


def gen(service: Path, *arguments: str) -> Result:
    return call("docs", "gen", "service:app", "--app-dir", str(service.parent), *arguments)


def test_the_document_is_printed_as_json(service: Path) -> None:
    document = json.loads(gen(service).stdout)

    assert document["info"]["title"] == "Shop"
    assert {channel["address"] for channel in document["channels"].values()} == {
        "orders",
        "invoices",
    }


def test_the_document_is_written_to_a_file(service: Path) -> None:
    out = service.parent / "asyncapi.json"
    result = gen(service, "--out", str(out))

    assert (result.exit_code, result.output) == (0, "")
    assert out.read_text() == gen(service).stdout


def test_the_document_may_be_yaml(service: Path) -> None:
    assert "title: Shop" in gen(service, "--yaml").stdout


def test_a_document_that_cannot_be_written_is_one_line_and_status_2(service: Path) -> None:
    result = gen(service, "--out", str(service.parent / "nowhere" / "asyncapi.json"))

    assert result.exit_code == 2
    assert result.stderr.startswith("callboard: the document can't be written: ")


@pytest.mark.slow
def test_a_signal_lets_what_is_in_flight_finish(service: Path) -> None:
    add(
        service,
        """
app.graceful_timeout = 100

@broker.subscriber("parcels")
async def pack(parcel: int):
    print("up", flush=True)
    await anyio.sleep(0.3)
    print(f"packed {parcel}")

@app.after_startup
async def publish():
    await broker.publish(1, "parcels")
""",
    )
    with running(service) as process:
        process.send_signal(signal.SIGTERM)
        out, errors = ended(process)

    assert process.returncode == 0
    assert out == "packed 1\n"
    assert "SIGTERM: stopping" in errors


@pytest.mark.slow
def test_a_second_signal_stops_hard(service: Path) -> None:
    add(
        service,
        """
app.graceful_timeout = 100

@broker.subscriber("parcels")
async def pack(parcel: int):
    print("up", flush=True)
    await anyio.sleep_forever()

@app.after_startup
async def publish():
    await broker.publish(1, "parcels")
""",
    )
    with running(service) as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "SIGINT: stopping" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        ended(process)

    assert process.returncode == 128 + signal.SIGINT


@pytest.mark.slow
def test_a_handler_that_never_ends_does_not_keep_the_process(service: Path) -> None:
    add(
        service,
        """
@broker.subscriber("parcels")
async def swallow(parcel: int):
    print("up", flush=True)
    while True:
        try:
            await anyio.sleep(1)
        except BaseException:
            print("not me")

@broker.subscriber("letters")
def block(letter: int):
    print("up", flush=True)
    time.sleep(3600)

swallowing, blocking = App(broker, graceful_timeout=0.2), App(broker, graceful_timeout=0.2)

@swallowing.after_startup
async def publish_a_parcel():
    await broker.publish(1, "parcels")

@blocking.after_startup
async def publish_a_letter():
    await broker.publish(1, "letters")
""",
    )
    with running(service, "swallowing") as swallowing, running(service, "blocking") as blocking:
        swallowing.send_signal(signal.SIGTERM)
        blocking.send_signal(signal.SIGTERM)
        out, errors = ended(swallowing)
        reason = ended(blocking)[1]

    assert (swallowing.returncode, blocking.returncode) == (70, 70)
    assert "not me" in out
    assert "swallow(parcels)/workers/worker-0 still runs: it swallows its cancellation" in errors
    assert "the thread 'AnyIO worker thread' still runs" in reason


@pytest.mark.slow
def test_a_generator_that_does_not_end_in_its_thread_does_not_keep_the_process(
    service: Path,
) -> None:
    add(
        service,
        """
from callboard import Depends

app.graceful_timeout = 0.2

def hang():
    yield
    print("up", flush=True)
    time.sleep(3600)

@broker.subscriber("letters")
async def send(letter: int, hanging: object = Depends(hang, sync_to_thread=True)): ...

@app.after_startup
async def publish():
    await broker.publish(1, "letters")
""",
    )
    with running(service) as process:
        process.send_signal(signal.SIGTERM)
        _, errors = ended(process)

    assert process.returncode == 70
    assert "send(letters)/workers/worker-0 still runs" in errors


@pytest.mark.slow
def test_a_blocked_loop_does_not_keep_the_process_and_is_told_where(service: Path) -> None:
    add(
        service,
        """
import asyncio, hashlib, signal

@broker.subscriber("parcels")
class Sleeper:
    async def on_start(self):
        print("up", flush=True)
    async def receive(self, parcel: int): ...
    async def on_stop(self, reason):
        time.sleep(3600)

busy = MemoryBroker()
calculating = App(busy, graceful_timeout=3600)

@busy.subscriber("letters")
async def calculate(letter: int):
    print("up", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"in C, without a look at signals", b"", 2**31 - 1)

@calculating.after_startup
async def publish():
    await busy.publish(1, "letters")

lazy = MemoryBroker()
dozing = App(lazy, graceful_timeout=0.2)

@lazy.subscriber("letters")
async def doze(letter: int):
    print("up", flush=True)
    time.sleep(3600)

@dozing.after_startup
async def publish_to_the_lazy():
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, print)
    await lazy.publish(1, "letters")
""",
    )
    with (
        running(service) as sleeping,
        running(service, "calculating") as calculating,
        running(service, "dozing") as dozing,
    ):
        dozing.send_signal(signal.SIGTERM)
        sleeping.send_signal(signal.SIGTERM)
        calculating.send_signal(signal.SIGTERM)
        deadline = ended(sleeping)[1]
        calculating.send_signal(signal.SIGINT)
        second = ended(calculating)[1]
        taken = ended(dozing)[1]

    assert [each.returncode for each in (sleeping, calculating, dozing)] == [70, 70, 70]
    assert "the event loop hangs in doze (service.py:42); the process ends" in taken
    assert "the event loop hangs in on_stop (service.py:22); the process ends" in deadline
    assert "the event loop hangs in calculate (service.py:30); the process ends" in second


@pytest.fixture
def shown(service: Path) -> Generator[Path]:
    """The socket of a live application, one of whose actors has crashed once."""
    add(
        service,
        """
class Shelf:
    crashed = False

@broker.subscriber("parcels", max_workers=2)
class Packer:
    async def receive(self, parcel: int):
        if not Shelf.crashed:
            Shelf.crashed = True
            raise ActorCrash("no shelf")
        print("up", flush=True)
        await anyio.sleep_forever()

@app.after_startup
async def publish():
    await broker.publish(1, "parcels")
    await broker.publish(2, "parcels")
""",
    )
    socket = service.parent / "s"
    with running(service, "app", "--inspect", str(socket)):
        yield socket


@pytest.mark.slow
def test_the_tree_of_a_live_application_is_drawn(shown: Path) -> None:
    result = call("tree", str(shown))

    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert lines[:2] == ["app  running", "├── memory  running"]
    assert lines[-2:] == ["├── observer  running", "└── inspection  running"]
    crashed = [line for line in lines if "1 restart, last exit: ActorCrash: no shelf" in line]
    assert len(crashed) == 1


@pytest.mark.slow
def test_top_prints_one_snapshot_where_there_is_no_terminal(shown: Path) -> None:
    result = call("top", str(shown))

    lines = [line.split() for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert " ".join(lines[0]) == "subscription state queued busy rate/s load% restarts oldest"
    assert [line[:4] for line in lines[1:3]] == [
        ["handle(orders)", "running", "0", "0/1"],
        ["Packer(parcels)", "running", "0", "2/2"],
    ]
    assert lines[2][6] == "1"
    assert result.stdout.splitlines()[-1].startswith("crash ")
    assert "memory/Packer(parcels)/worker-" in result.stdout


@contextmanager
def watched(socket: Path, until: bytes) -> Generator[tuple[int, subprocess.Popen[bytes]]]:
    """Run `callboard top` on a terminal, and begin when *until* is on it."""
    terminal, end = pty.openpty()
    command = [str(Path(sys.executable).parent / "callboard"), "top", str(socket)]
    with subprocess.Popen(
        command, stdin=end, stdout=end, stderr=end, start_new_session=True, env=TERMINAL
    ) as process:
        os.close(end)
        try:
            screen = b""
            while until not in screen:
                screen += os.read(terminal, 65536)
            yield terminal, process
        finally:
            process.kill()
            os.close(terminal)


def rest(terminal: int) -> str:
    """Return what comes until the terminal is left."""
    text = b""
    try:
        while part := os.read(terminal, 65536):
            text += part
    except OSError:  # Linux says so when nobody has the other end any more
        pass
    return looked_through(text.decode())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_top_and_leaves_the_terminal_as_it_was(
    shown: Path, number: signal.Signals
) -> None:
    with watched(shown, b"Packer") as (terminal, process):
        process.send_signal(number)
        text = rest(terminal)

        assert process.wait(45) == 0
    assert "Traceback" not in text
    assert SCREEN_BEFORE in text
    assert CURSOR in text


@pytest.mark.slow
def test_top_says_so_when_the_application_ends(service: Path) -> None:
    socket = service.parent / "s"
    add(service, "@app.after_startup\nasync def tell():\n    print('up', flush=True)\n")
    with (
        running(service, "app", "--inspect", str(socket)) as application,
        watched(socket, b"handle") as (terminal, process),
    ):
        application.send_signal(signal.SIGTERM)
        text = rest(terminal)

        assert process.wait(45) == 1
    assert text.partition(SCREEN_BEFORE)[2].count("callboard: ") == 1
    assert "Traceback" not in text


@pytest.mark.parametrize("command", ["tree", "top"])
def test_where_no_application_listens_is_one_line_and_status_1(
    tmp_path: Path, command: str
) -> None:
    result = call(command, str(tmp_path / "s"))

    assert result.exit_code == 1
    assert result.stderr == (
        f"callboard: nothing is at {tmp_path / 's'}; run the application with --inspect"
        f" {tmp_path / 's'}\n"
    )
    assert result.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_can_be_looked_at_and_ended_also_in_the_background(
    tmp_path: Path, number: signal.Signals
) -> None:
    socket = tmp_path / "demo.sock"
    demo = [str(Path(sys.executable).parent / "callboard"), "demo", "--inspect", str(socket)]
    # A shell without jobs has what it starts in the background ignore SIGINT.
    background = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *demo]
    with subprocess.Popen(background, stdout=subprocess.DEVNULL) as process:
        try:
            # In this process: another one would be up when the demo is over already.
            while "Invoices(orders.priced)" not in call("tree", str(socket)).stdout:
                assert process.poll() is None
            process.send_signal(number)

            assert process.wait() == 128 + number
            assert not socket.exists()
        finally:
            process.kill()
