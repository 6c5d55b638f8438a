"""`callboard run --workers`: real processes, which tell by their output where they are."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .calls import add, call, callboard, ended

pytestmark = pytest.mark.slow

TELLING = """
import os, threading

@app.on_startup
def begin(worker_id: int | None):
    app.worker_id = worker_id

@app.after_startup
async def tell():
    print("up", app.worker_id, os.getpid(), flush=True)

@app.on_shutdown
async def end():
    print("down", app.worker_id, os.getpid(), flush=True)
"""


@pytest.fixture(autouse=True)
def telling(service: Path) -> None:
    add(service, TELLING)


class Pool:
    """Workers that run, by what they print."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []

    def line(self) -> tuple[str, int, int]:
        """What happens next, to which worker, in which process."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.count(" ") == 2, (line, self.process.communicate())
        what, worker, pid = line.split()
        return what, int(worker), int(pid)

    def ups(self, number: int) -> dict[int, int]:
        """Wait until so many are up: their processes, by their numbers."""
        found = [self.line() for _ in range(number)]
        assert {what for what, _, _ in found} == {"up"}
        return {worker: pid for _, worker, pid in found}

    def said(self, words: str) -> str:
        """Wait for a line of the log, unless it is there."""
        assert self.process.stderr is not None
        while not (found := [line for line in self.log if words in line]):
            self.log.append(self.process.stderr.readline())
            assert self.log[-1], (f"nobody said {words}", self.log)
        return found[0]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[str, str]:
        """What is still said until all have ended."""
        return ended(self.process, patience=110)


@contextmanager
def pool(service: Path, workers: int, *arguments: str) -> Generator[Pool]:
    """Run so many workers, and leave none."""
    words = ["run", "service:app", "--app-dir", str(service.parent), "--workers", str(workers)]
    with callboard(*words, *arguments) as process:
        yield Pool(process)


def test_each_worker_has_a_number_and_one_signal_stops_all(service: Path) -> None:
    with pool(service, 3) as workers:
        pids = workers.ups(3)
        workers.signal(signal.SIGTERM)
        out, errors = workers.end()

        assert workers.process.returncode == 0
    assert sorted(pids) == [0, 1, 2]
    assert sorted(out.splitlines()) == [f"down {each} {pid}" for each, pid in sorted(pids.items())]
    assert "each of the 3 workers has a MemoryBroker of its own" in errors


def test_a_worker_that_is_killed_comes_back_and_the_tree_says_so(service: Path) -> None:
    socket = str(service.parent / "s")
    with pool(service, 2, "--inspect", socket) as workers:
        pids = workers.ups(2)
        os.kill(pids[1], signal.SIGKILL)
        what, worker, pid = workers.line()
        workers.said(f"worker-1 is up: process {pid}")
        tree, top = call("tree", socket).stdout, call("top", socket).stdout

    assert (what, worker) == ("up", 1)
    assert tree.startswith("pool  running\n")
    assert f"worker-0  running, process {pids[0]}\n" in tree
    killed = f"last exit: WorkerDied: process {pids[1]} was killed by SIGKILL"
    assert f"worker-1  running, process {pid}, 1 restart, {killed}" in tree
    assert tree.count("handle(orders)  running") == 2
    assert "worker-1/handle(orders) running" in top


def test_sighup_starts_one_after_another_anew(service: Path) -> None:
    with pool(service, 2) as workers:
        old = workers.ups(2)
        workers.signal(signal.SIGHUP)
        lines = [workers.line() for _ in range(4)]
        workers.said("all workers have been started anew")

    steps = [(what, worker) for what, worker, _ in lines]
    assert steps == [("down", 0), ("up", 0), ("down", 1), ("up", 1)]
    assert [lines[0][2], lines[2][2]] == [old[0], old[1]]


def test_a_rolling_restart_ends_where_a_worker_does_not_come_up(service: Path) -> None:
    with pool(service, 2) as workers:
        old = workers.ups(2)
        whole = service.read_text()
        add(service, "raise LookupError('no shelf')")
        workers.signal(signal.SIGHUP)
        assert workers.line() == ("down", 0, old[0])
        crash = workers.said("has crashed")
        workers.said("no other worker is started anew, since worker-0 has not come up")
        service.write_text(whole)
        what, worker, _ = workers.line()
        workers.signal(signal.SIGTERM)
        out, _ = workers.end()

    assert "can't be imported: LookupError: no shelf (service.py:" in crash
    assert (what, worker) == ("up", 0)
    assert f"down 1 {old[1]}\n" in out


def test_a_signal_to_one_worker_has_another_take_its_place(service: Path) -> None:
    with pool(service, 2) as workers:
        pids = workers.ups(2)
        os.kill(pids[0], signal.SIGTERM)
        lines = [workers.line() for _ in range(2)]
        workers.said("worker-0 was stopped by a SIGTERM of its own; it starts anew")

    assert [(what, worker) for what, worker, _ in lines] == [("down", 0), ("up", 0)]


def test_a_worker_that_does_not_start_is_one_line_and_the_status_of_all(service: Path) -> None:
    add(service, "@app.on_startup\ndef connect():\n    raise LookupError('no database')\n")
    with pool(service, 2) as workers:
        _, errors = workers.end()

        assert workers.process.returncode == 1
    assert errors.count("no database") == 1
    assert re.search(
        r"^callboard: LookupError: no database \(service.py:\d+\)$", errors, re.MULTILINE
    )


def test_a_wrong_option_of_the_application_is_one_line(service: Path) -> None:
    with pool(service, 2, "--nmae=ada") as workers:
        _, errors = workers.end()

        assert workers.process.returncode == 2
    assert errors.count("callboard: no such option: --nmae") == 1


def test_workers_that_crash_again_and_again_are_given_up(service: Path) -> None:
    add(
        service,
        """
@broker.subscriber("parcels")
async def crash(parcel: int):
    while not app.running:
        await anyio.sleep(0)
    if app.worker_id == 1:
        os._exit(3)

@app.after_startup
async def publish():
    await broker.publish(1, "parcels")
""",
    )
    with pool(service, 2) as workers:
        out, errors = workers.end()

        assert workers.process.returncode == 1
    assert out.count("up 1 ") == 6
    assert out.count("up 0 ") == out.count("down 0 ") == 1
    line = errors.splitlines()[-1]
    assert line.startswith("callboard: worker-1 crashed more than 5 times within 60 s; the last")
    assert line.endswith("ended with status 3")


def test_workers_that_have_done_their_work_are_not_started_again(service: Path) -> None:
    add(service, "app.after_startup(app.exit)")
    with pool(service, 2) as workers:
        out, errors = workers.end()

        assert workers.process.returncode == 0
    assert sorted(line.split()[0] for line in out.splitlines()) == ["down", "down", "up", "up"]
    assert "worker-0 is done" in errors


HANDLING = """
@broker.subscriber("parcels")
async def pack(parcel: int):
    print("handling", app.worker_id, os.getpid(), flush=True)
    await anyio.sleep_forever()

@app.after_startup
async def publish():
    await broker.publish(1, "parcels")

app.graceful_timeout = 3600
"""


def test_a_second_signal_stops_all_hard(service: Path) -> None:
    add(service, HANDLING)
    with pool(service, 2) as workers:
        for _ in range(4):
            workers.line()
        workers.signal(signal.SIGINT)
        workers.said("SIGINT: stopping")
        workers.signal(signal.SIGINT)
        workers.end()

        assert workers.process.returncode == 128 + signal.SIGINT


def test_workers_stop_in_good_order_when_nobody_supervises_them_any_more(service: Path) -> None:
    with pool(service, 2) as workers:
        pids = workers.ups(2)
        workers.process.kill()
        out, _ = workers.end()

    assert sorted(out.splitlines()) == [f"down {each} {pid}" for each, pid in sorted(pids.items())]


def test_a_worker_that_does_not_end_is_ended_by_force(service: Path) -> None:
    add(
        service,
        HANDLING.replace("await anyio.sleep_forever()", "time.sleep(3600)").replace(
            "3600\n", "0.1\n"
        ),
    )
    with pool(service, 1 + 1) as workers:
        for _ in range(4):
            workers.line()
        workers.signal(signal.SIGTERM)
        _, errors = workers.end()

        assert workers.process.returncode == 70
    assert "the event loop hangs in pack (service.py:" in errors


def test_where_an_application_shows_itself_all_its_workers_do(service: Path) -> None:
    socket = service.parent / "s"
    add(service, f"app.inspect = {str(socket)!r}")
    with pool(service, 2) as workers:
        workers.ups(2)
        while not socket.exists():
            assert workers.process.poll() is None
        tree = call("tree", str(socket)).stdout

    assert "├── worker-1  " in tree
