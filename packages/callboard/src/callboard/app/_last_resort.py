"""The end of a process whose event loop does not end it.

A handler that blocks the loop blocks all that could stop it: deadlines, signals, cancellation. So
the last deadline and the second signal are seen to by a thread. It hears of a signal even while the
main thread is inside of C code, where no handler of Python's runs: the interpreter writes the
number of each to the "wakeup" descriptor, which is the thread's meanwhile. A loop that goes on is
told by Python's handler, which its next turn runs; nothing depends on the pace of the thread then.
The handler tells the thread too, since others may take the descriptor for themselves, such as a
loop that is to handle another signal: who blocks outside of C code is noticed even so.

All time here is real: a virtual clock stands still while the loop does.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic
from traceback import extract_stack, format_list
from typing import Final, NoReturn

from callboard.run._host import GRACE, soon

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
UNKILLABLE: Final = 70
"""The exit status of a process that had to end while something still ran (EX_SOFTWARE)."""
AFTER: Final = GRACE
"""Seconds after a deadline for the loop to end."""
SIGN_OF_LIFE: Final = 1.0
"""Seconds in which a loop that is not blocked answers."""
MORE: Final = 3.0
"""Seconds more for a loop that answers: it says better what lives on, and ends by itself."""
BREATH: Final = 2.0
"""Seconds for the last words, should even the log hang."""
FRAMES: Final = 8
BY_HANDLER: Final = 0x80
"""Added to the number of a signal of which the handler tells; no number is as great."""


class LastResort:
    """Ends the process: some time after a deadline, or at a second signal that nobody hears."""

    def __init__(self, loop: object, logger: logging.Logger, timeout: Callable[[], float]) -> None:
        self._loop = loop
        self._logger = logger
        self._timeout = timeout
        self._watched = threading.get_ident()
        self._ear, self.mouth = socket.socketpair()
        self.mouth.setblocking(False)
        self.former = -1
        """To whom the numbers of signals went before."""
        self._end = inf
        self._heard = [0, 0]
        """How many signals there were, by the descriptor and by the handler."""
        self._known = 0
        self._waited = False
        self._answer = threading.Event()
        self._over = False

    def within(self, seconds: float) -> None:
        """Have all ended in *seconds*, and the time that comes after."""
        self._end = min(self._end, monotonic() + seconds + AFTER)
        self.tell(0)

    def tell(self, number: int) -> None:
        """Have the thread look again; at a signal, if there was one."""
        with suppress(OSError):  # full: it looks anyway
            self.mouth.send(bytes([number | BY_HANDLER]))

    def watch(self) -> None:
        """Listen until the mouth is closed."""
        with closing(self._ear):
            while self._listen():
                if not self._lives():
                    self._give_up()
                if self._waited and not self._over:
                    abandon(self._logger, "something does not end; the process does")
                self._waited, self._end = True, monotonic() + MORE

    def rest(self) -> None:
        """Take notice that all has ended: a loop that is gone answers no question."""
        self._over = True
        self._answer.set()
        self.mouth.close()

    def _listen(self) -> bool:
        """Heed what is told until the time is up; say whether it is, or else all has ended."""
        while (left := self._end - monotonic()) > 0:
            heard, _, _ = select.select([self._ear], [], [], None if left == inf else left)
            if heard and not self._heed(self._ear.recv(64)):
                return False
        return not self._over

    def _heed(self, numbers: bytes) -> bool:
        for number in numbers:
            if number < BY_HANDLER and self.former >= 0:
                with suppress(OSError):
                    os.write(self.former, bytes([number]))
            if number % BY_HANDLER in SIGNALS:
                self._heard[number >= BY_HANDLER] += 1
        while self._known < max(self._heard):
            self._known += 1
            self.within(self._timeout() if self._known == 1 else 0)
            if self._known > 1 and not self._lives():
                self._give_up()
        return bool(numbers)

    def _lives(self) -> bool:
        self._answer = answer = threading.Event()
        if self._over:  # looked at when `rest` can find the question, so that one sees the other
            return True
        soon(self._loop, answer.set)
        return answer.wait(SIGN_OF_LIFE)

    def _give_up(self) -> NoReturn:
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - documented, for such a case
        stack = extract_stack(frame)[-FRAMES:]
        where = f"{stack[-1].name} ({Path(stack[-1].filename).name}:{stack[-1].lineno})"
        told = "".join(format_list(stack))
        abandon(self._logger, f"the event loop hangs in {where}; the process ends\n{told}")


@contextmanager
def obeying(
    loop: object,
    logger: logging.Logger,
    timeout: Callable[[], float],
    obey: Callable[[signal.Signals], None],
) -> Generator[LastResort]:
    """Have *obey* called in *loop* for each SIGINT and SIGTERM, and the last resort behind it.

    Only the main thread may do so.
    """

    def heed(number: int, _frame: object) -> None:
        last.tell(number)
        soon(loop, partial(obey, signal.Signals(number)))

    last = LastResort(loop, logger, timeout)
    former = {number: signal.signal(number, heed) for number in SIGNALS}
    last.former = signal.set_wakeup_fd(last.mouth.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=last.watch, name="callboard last resort", daemon=True).start()
    try:
        yield last
    finally:
        try:
            signal.set_wakeup_fd(last.former)
            for number, handler in former.items():
                signal.signal(number, handler or signal.SIG_DFL)
        finally:
            last.rest()


def abandon(logger: logging.Logger, words: str) -> NoReturn:
    """Say *words*, and end the process, whatever still runs in it."""

    def speak() -> None:
        logger.critical("%s", words)
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()

    # What hangs may hold the lock of the log.
    voice = threading.Thread(target=speak, daemon=True)
    voice.start()
    voice.join(BREATH)
    os._exit(UNKILLABLE)
