"""The thread that ends a process whose loop does not: it has to let all others live."""

from __future__ import annotations

import subprocess
import sys

import pytest

ENDED = """
import asyncio, logging, os, signal, threading
from callboard.app._last_resort import obeying

loop = asyncio.new_event_loop()
with obeying(loop, logging.getLogger(), lambda: 1.0, lambda _: None):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    [thread] = [each for each in threading.enumerate() if "last resort" in each.name]
loop.close()
thread.join()
print("all is well")
"""


@pytest.mark.slow
def test_a_loop_that_has_ended_after_a_second_signal_is_not_taken_for_a_blocked_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDED], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "all is well\n"), done.stderr


ENDLESS = """
import asyncio, logging, os, signal
from callboard.app._last_resort import obeying

async def main():
    with obeying(asyncio.get_running_loop(), logging.getLogger(), lambda: 0.0, lambda _: None):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_loop_that_turns_and_does_not_end_is_said_to_do_so() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (70, "something does not end; the process does\n")
