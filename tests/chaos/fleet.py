"""The worker processes of a trial: they start, stop and die, and their files are read here."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

from anyio import CancelScope, create_task_group, fail_after, open_process, sleep
from anyio.abc import Process

from .history import Run
from .kind import Settings

__all__ = ["Fleet", "fleet_of", "until"]

ROOT: Final = Path(__file__).parents[2]
CALLBOARD: Final = Path(sys.executable).with_name("callboard")
SERVICE: Final = "tests.chaos.service:make"
OPTIONS: Final = ["--app-dir", str(ROOT), "-l", "WARNING"]
PATIENCE: Final = 40.0


async def until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait for something outside of this process."""
    try:
        with fail_after(patience):
            while not condition():  # noqa: ASYNC110 - other processes signal nothing
                await sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"waited {patience:.0f} s for {what}") from None


class Told(NamedTuple):
    """An event in a worker process."""

    name: str
    pid: int
    at: float
    attributes: Mapping[str, Any]


class Fleet:
    """Some processes of the same service, and what all of them have written."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.members: list[Process] = []
        self.runs: list[Run] = []
        self.handled: set[str] = set()
        self.told: list[Told] = []
        self._read: dict[Path, int] = {}
        self._count = 0

    async def start(self) -> Process:
        """Start one more process; it works once it is `ready`."""
        self._count += 1
        folder = Path(self.settings.folder)
        described = {"CALLBOARD_CHAOS": json.dumps(asdict(self.settings))}
        with (folder / f"{self._count}.log").open("wb") as log:
            process = await open_process(
                [CALLBOARD, "run", "-f", SERVICE, *OPTIONS, "--workers", str(self.settings.pool)],
                env={**os.environ, **described},
                cwd=ROOT,
                stdin=None,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.members.append(process)
        return process

    async def ready(self, process: Process) -> None:
        """Wait until *process* handles records."""

        def works() -> bool:
            self.look()
            if process.returncode is not None:
                raise ChildProcessError(f"a worker ended at once: status {process.returncode}")
            alone = self.settings.pool == 1
            return bool(self.of(process, "ready")) if alone else self.has_pool()

        await until(works, f"the worker {process.pid} to start")

    def has_pool(self, times: int = 1) -> bool:
        """Whether the workers of a pool have come up so many times."""
        self.look()
        return self.events["ready"] >= times * self.settings.pool

    async def takeover(self, process: Process) -> float:
        """Wait until the new *process* has partitions; return the seconds since it asked for some."""

        def assigned() -> list[float]:
            self.look()
            events = self.of(process, "partitions.assigned")
            return [each.at for each in events if each.attributes["partitions"]]

        await until(lambda: bool(assigned()), f"the worker {process.pid} to get partitions")
        return assigned()[0] - self.of(process, "partitions.revoked")[0].at

    async def kill(self, process: Process) -> None:
        """End it by force."""
        self.members.remove(process)
        process.kill()
        await process.wait()

    async def stop(self, process: Process) -> None:
        """Stop it in good order."""
        self.members.remove(process)
        process.send_signal(signal.SIGTERM)
        try:
            with fail_after(PATIENCE):
                status = await process.wait()
        except TimeoutError:
            self.members.append(process)  # to be killed in the end
            raise TimeoutError(f"the worker {process.pid} does not stop") from None
        # It may be told to stop before Python listens; that is as good an order.
        if status not in (0, -signal.SIGTERM):
            raise ChildProcessError(f"the worker {process.pid} stopped with status {status}")

    async def stop_all(self) -> None:
        """Stop all of them, at once."""
        async with create_task_group() as tasks:
            for process in [*self.members]:
                tasks.start_soon(self.stop, process)

    def look(self) -> None:
        """Read what was written since the last time."""
        for path in Path(self.settings.folder).glob("*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                new = file.read()
            whole = new.rfind(b"\n") + 1
            self._read[path] = self._read.get(path, 0) + whole
            for line in new[:whole].splitlines():
                self._take(*json.loads(line))

    @property
    def unfinished(self) -> int:
        """How many deliveries were in flight when their partitions were given up."""
        return sum(each.attributes.get("unfinished", 0) for each in self.told)

    @property
    def events(self) -> Counter[str]:
        """How often what was told."""
        return Counter(each.name for each in self.told)

    def of(self, process: Process, name: str) -> list[Told]:
        """What *process* has told by this *name*, in order."""
        return [each for each in self.told if (each.pid, each.name) == (process.pid, name)]

    def errors(self) -> str:
        """What the processes have logged of errors, for a message."""
        logs = sorted(Path(self.settings.folder).glob("*.log"))
        return "\n".join(text[-800:] for log in logs if (text := log.read_text()))

    def _take(self, kind: str, *values: Any) -> None:
        if kind == "run":
            run = Run(*values)
            self.runs.append(run)
            self.handled.add(run.id)
        else:
            self.told.append(Told(*values))


@asynccontextmanager
async def fleet_of(settings: Settings, size: int) -> AsyncGenerator[Fleet]:
    """Start so many processes, and leave none behind."""
    fleet = Fleet(settings)
    try:
        for process in [await fleet.start() for _ in range(size)]:
            await fleet.ready(process)
        yield fleet
    finally:
        with CancelScope(shield=True):
            for process in [*fleet.members]:
                await fleet.kill(process)
