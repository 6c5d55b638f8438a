"""A process that runs an application, and those that take its place, seen from who starts them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import Process as Running
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from callboard.command._line import (
    SHOW,
    SLACK,
    STOP,
    WORKER,
    Failing,
    Place,
    Seen,
    Signalled,
    Up,
    read,
)
from callboard.command._serve import Settings
from callboard.watch._view import View

_LONGEST: Final = 64 * 2**20
_PATIENCE: Final = 1.0
"""Seconds that a process may take to say how it is."""
_UNTOLD: Final = 25.0
"""Seconds for the stop of an application that has not said how long that may take."""
_GONE: Final = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.DelimiterNotFound,
    anyio.EndOfStream,
    anyio.IncompleteRead,
)


@dataclass(frozen=True, kw_only=True)
class End:
    """How a process has ended.

    Attributes:
        pid: Of that process.
        status: Of its exit; of one that was killed, the number of the signal, negative.
        was_up: Whether its application had started.
        asked: Whether it was told to stop from here.
        signal: What else told it to.
        reason: What it has said of its failure.
    """

    pid: int
    status: int
    was_up: bool
    asked: bool
    signal: int | None
    reason: str

    @property
    def words(self) -> str:
        """What went wrong, in its own words if there are any."""
        return self.reason or str(self)

    @property
    def is_well(self) -> bool:
        """Whether nothing went wrong; what is killed by SIGTERM had nothing in hand yet."""
        return self.status in (0, -signal.SIGTERM)

    def __str__(self) -> str:
        who = f"process {self.pid}"
        if self.status < 0:
            return f"{who} was killed by {signal.Signals(-self.status).name}"
        return f"{who} ended with status {self.status}" + (
            f": {self.reason}" if self.reason else ""
        )


class Process:
    """One process at a time.

    Attributes:
        worker_id: Its number; None: it is the only one.
        pid: Of the one that runs; None: none does.
        is_up: Whether its application has started.
        ever_up: Whether that of any has.
        lives: How many there have been.
        silent: Whether it has given no answer when it was looked at.
        view: What there was to see then.
    """

    def __init__(
        self, settings: Settings, worker_id: int | None, up: Callable[[Process, Up], None]
    ) -> None:
        self.worker_id = worker_id
        self.pid: int | None = None
        self.is_up = self.ever_up = self.silent = False
        self.lives = 0
        self.view: View | None = None
        self._settings = settings
        self._command = command(settings, is_alone=worker_id is None)
        self._up = up
        self._changed = anyio.Event()
        self._talking = anyio.Lock()
        self._begin()

    def _begin(self) -> None:
        self._stream: SocketStream | None = None
        self._graceful_timeout = _UNTOLD
        self._urgency = 0
        self._answers = 0
        self._signal: int | None = None
        self._reason = ""
        self._was_up = self._is_over = False

    def details(self) -> dict[str, object]:
        """What the tree says of it."""
        said: dict[str, object] = {"pid": self.pid}
        return {**said, "silent": True} if self.silent else said

    async def live(self) -> End:
        """Run a process from its start to its end, and return how that was.

        If cancelled, the process is killed.

        Raises:
            OSError: None can be started.
        """
        self._begin()
        self.lives += 1
        ours, theirs = socket.socketpair()
        with theirs:
            place = Place(self.worker_id, self._settings.workers, theirs.fileno())
            try:
                process = await anyio.open_process(
                    [*self._command, f"{WORKER}={place}", "--", *self._settings.words],
                    stdin=subprocess.DEVNULL,
                    stdout=None,
                    stderr=None,
                    # Ctrl-C is for who supervises it, which stops it in good order.
                    start_new_session=True,
                    pass_fds=[theirs.fileno()],
                )
            except BaseException:
                ours.close()
                raise
        async with process, await SocketStream.from_socket(ours) as stream:
            self.pid, self._stream = process.pid, stream
            try:
                return await self._attend(process, stream)
            finally:
                self.pid, self._stream, self.view = None, None, None
                self.is_up, self._is_over = False, True
                self._change()

    def press(self, urgency: int = 1) -> None:
        """Have the process stop: in good order; 2: at once; 3: whatever it says to that."""
        self._urgency = max(self._urgency, urgency)
        self._change()

    async def renew(self) -> bool:
        """Have another process take its place, and return when that is up, or has failed to be.

        One that does not run at the moment is left to who starts it anew anyway.
        """
        if self.pid is None:
            return True
        lives = self.lives
        self.press()
        await self._until(lambda: self.lives > lives and (self._was_up or self._is_over))
        return self._was_up

    async def look(self) -> None:
        """Ask it what there is to see."""
        before, stream = self._answers, self._stream
        if stream is None:
            return
        self.silent = True
        with anyio.move_on_after(_PATIENCE), suppress(*_GONE):
            await self._say(stream, SHOW)
            await self._until(lambda: self._answers > before or self._is_over)
            self.silent = False
        if self.silent:
            self.view = None

    async def _attend(self, process: Running, stream: SocketStream) -> End:
        heard = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear, stream, heard)
            tasks.start_soon(self._end, process, stream)
            await process.wait()
            # What it has said is here already; who holds the other end may be a child of its own.
            with anyio.move_on_after(_PATIENCE):
                await heard.wait()
            tasks.cancel_scope.cancel()
        status = process.returncode or 0
        return End(
            pid=process.pid,
            status=status,
            was_up=self._was_up,
            asked=self._urgency > 0,
            signal=-status if -status in (signal.SIGINT, signal.SIGTERM) else self._signal,
            reason=self._reason,
        )

    async def _hear(self, stream: SocketStream, over: anyio.Event) -> None:
        buffered = BufferedByteReceiveStream(stream)
        with suppress(*_GONE):
            while True:
                self._take(await buffered.receive_until(b"\n", _LONGEST))
        over.set()

    def _take(self, line: bytes) -> None:
        match read(line):
            case Up() as up:
                self.is_up = self.ever_up = self._was_up = True
                self._graceful_timeout = up.graceful_timeout
                self._up(self, up)
            case Failing(reason=reason):
                self._reason = reason
            case Signalled(signal=number):
                self._signal = number
            case Seen(view=view):
                self.view = view
                self._answers += 1
        self._change()

    async def _end(self, process: Running, stream: SocketStream) -> None:
        """End the process when that is asked, by stronger and stronger means."""
        await self._until(lambda: self._urgency > 0)
        with suppress(*_GONE):
            await self._say(stream, STOP)
        with anyio.move_on_after(self._graceful_timeout + SLACK):
            await self._until(lambda: self._urgency > 1)
        with suppress(ProcessLookupError):
            # The second signal is the one that stops hard.
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
        with anyio.move_on_after(SLACK):
            await self._until(lambda: self._urgency > 2)
        with suppress(ProcessLookupError):
            process.kill()

    async def _say(self, stream: SocketStream, word: bytes) -> None:
        async with self._talking:
            await stream.send(word)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def command(settings: Settings, *, is_alone: bool) -> list[str]:
    """Return the words that run an application as *settings* say, but for its own options."""
    # As if this process had gone on: `-m` puts the folder first, which a script does not.
    safely = [] if sys.path[0] in {"", str(Path.cwd())} else ["-P"]
    words = [sys.executable, *safely, "-m", "callboard", "run", settings.app]
    words += [f"--app-dir={settings.app_dir}", f"--backend={settings.backend}"]
    said = {
        "--log-level": settings.log_level,
        "--log-config": settings.log_config,
        "--loop": settings.loop,
        "--inspect": settings.inspect if is_alone else None,
    }
    words += [f"{name}={value}" for name, value in said.items() if value is not None]
    words += ["--verbose"] * settings.verbose
    return words + ["--factory"] * settings.factory + ["--traceback"] * settings.traceback
