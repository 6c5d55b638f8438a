"""One message, traced through the whole of Callboard: the path that ARCHITECTURE.md promises."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType

import anyio
import pytest
from pydantic import BaseModel

from callboard import Handle, MemoryBroker, Message
from callboard.instruments import Instrument

pytestmark = pytest.mark.anyio

PACKAGES = Path(__file__).parents[1] / "packages"

HOPS = [
    ("1 receive", "callboard_brokers/memory/_subscription.py"),
    ("2 pump", "callboard/run/_pump.py"),
    ("3 mailbox", "callboard_actors/mailbox/_mailbox.py"),
    ("4 actor loop", "callboard_actors/system/_actor.py"),
    ("5 worker", "callboard/handle/_worker.py"),
    ("6 middlewares", "tests/test_message_path.py"),
    ("7 plan", "callboard_di/_plan.py"),
    ("8 handler", "tests/test_message_path.py"),
]


class Order(BaseModel):
    id: int


class Trace:
    """The functions through which the message passes, from `receive` to the handler.

    What the pump does for the next message, while this one waits for its worker, is not counted:
    a function counts if it runs inside the bulk put or inside the actor loop.
    """

    def __init__(self) -> None:
        self.codes: list[CodeType] = []
        self._over = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if self._over or "_clock" in code.co_filename:
            return
        if event == "return" and code.co_qualname == "MemorySubscription.receive" and argument:
            self.codes.append(code)
        elif event == "call" and self.codes and self._is_ours(code):
            stack = _stack(frame)
            if stack[0].co_name == "put_many":
                self.codes.append(stack[1])
            if any(each.co_name in {"put_many", "serve"} for each in filter(self._is_ours, stack)):
                self.codes.append(code)
            self._over = code.co_name == "handle_order"

    def _is_ours(self, code: CodeType) -> bool:
        return code.co_filename == __file__ or code.co_filename.startswith(str(PACKAGES))

    @property
    def functions(self) -> list[str]:
        return list(dict.fromkeys(f"{_file(code)}:{code.co_qualname}" for code in self.codes))

    @property
    def files(self) -> list[str]:
        return list(dict.fromkeys(_file(code) for code in self.codes))


def _stack(frame: FrameType | None) -> list[CodeType]:
    codes: list[CodeType] = []
    while frame is not None:
        codes.append(frame.f_code)
        frame = frame.f_back
    return codes


def _file(code: CodeType) -> str:
    path = Path(code.co_filename)
    if path == Path(__file__):
        return f"tests/{path.name}"
    return path.as_posix().rpartition("/src/")[2]


def doubling(handle: Handle) -> Handle:
    async def middleware(message: Message) -> object:
        return await handle(message)

    return middleware


async def traced(instruments: Sequence[Instrument] = ()) -> Trace:
    """Publish one message before the trace begins, so that waiting and waking are not in it."""
    trace = Trace()
    handled = anyio.Event()
    broker = MemoryBroker(middlewares=[doubling], instruments=instruments)

    @broker.subscriber("orders", group="workers")
    async def handle_order(order: Order) -> None:
        handled.set()

    async with broker:
        await broker.start()
        await broker.stop()
        await broker.connect()
        await broker.publish(Order(id=1), "orders")
        sys.setprofile(trace)
        try:
            await broker.start()
            await handled.wait()
        finally:
            sys.setprofile(None)
    return trace


@pytest.fixture
async def trace() -> Trace:
    return await traced()


async def test_a_message_takes_at_most_eight_hops_in_their_order(trace: Trace) -> None:
    at = [trace.files.index(file) for _, file in HOPS[:-1]]
    print("\n".join(["", *trace.functions]))  # noqa: T201 - pytest -s shows the path to read

    assert at == sorted(at)
    assert trace.functions[-1].endswith("handle_order")


async def test_a_message_passes_at_most_twenty_functions_in_ten_files(trace: Trace) -> None:
    # The path begins when `receive` has returned.
    ours = [function for function in trace.functions[1:] if not function.startswith("tests/")]
    files = [file for file in trace.files[1:] if not file.startswith("tests/")]

    assert len(ours) <= 20, ours
    assert len(files) <= 10, files


async def test_an_instrument_with_no_use_for_messages_is_not_in_their_path(trace: Trace) -> None:
    class Idle(Instrument):
        """Leaves everything as it is."""

    instrumented = await traced([Idle()])

    assert instrumented.functions == trace.functions


def test_the_worker_is_short_enough_to_be_read_first() -> None:
    worker = PACKAGES / "callboard" / "src" / "callboard" / "handle" / "_worker.py"

    assert len(worker.read_text().splitlines()) <= 80
