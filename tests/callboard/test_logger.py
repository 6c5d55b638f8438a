"""What `logger=` of brokers and applications may be, and where lines go then."""

from __future__ import annotations

import logging

import pytest

from callboard import App, DeclarationError, MemoryBroker, TestBroker
from callboard.annotations import Logger
from callboard.types import LoggerProto

pytestmark = pytest.mark.anyio


class Lines:
    """A logger that is none of the standard library's."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str]] = []

    def log(
        self, level: int, msg: object, /, *, exc_info: object = None, extra: object = None
    ) -> None:
        self.said.append((level, str(msg)))


class Choosy(Lines):
    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - as the standard library has it
        return level >= logging.ERROR


async def fail_on_one(logger: LoggerProto | None, seen: list[object]) -> None:
    """Let a handler of a broker with that *logger* ask for it and fail."""
    broker = MemoryBroker(logger=logger, log_level=logging.INFO)

    @broker.subscriber("orders")
    async def handle(order: str, logger: Logger) -> None:
        seen.append(logger)
        raise ValueError(f"no {order}, 100% {{sure}}")

    async with TestBroker(broker):
        with pytest.raises(ValueError, match="no shoe"):
            await broker.publish("shoe", "orders")


async def test_any_object_that_logs_is_told_of_messages_and_of_failures() -> None:
    lines, seen = Lines(), list[object]()

    await fail_on_one(lines, seen)

    assert seen == [lines]
    assert any(level == logging.INFO and "received" in line for level, line in lines.said)
    (failed,) = (line for level, line in lines.said if level == logging.ERROR)
    assert "no shoe, 100% {sure}" in failed
    assert "Traceback" in failed


async def test_a_logger_that_can_say_what_it_writes_gets_no_more() -> None:
    lines = Choosy()

    await fail_on_one(lines, [])

    assert [level for level, _ in lines.said] == [logging.ERROR]


async def test_without_a_logger_nothing_is_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[object] = []

    await fail_on_one(None, seen)

    assert isinstance(seen[0], logging.Logger)
    assert not [each for each in caplog.records if each.name.startswith("callboard")]


async def test_hooks_get_the_logger_of_the_application() -> None:
    lines, seen = Lines(), list[object]()
    app = App(MemoryBroker(logger=None), logger=lines)

    @app.on_startup
    async def remember(logger: Logger) -> None:
        seen.append(logger)

    async with app:
        assert seen == [lines]


@pytest.mark.parametrize("wrong", ["shop", logging.Logger, 7])
def test_what_is_no_logger_is_refused_at_the_declaration(wrong: LoggerProto) -> None:
    with pytest.raises(DeclarationError, match="of a broker is no logger"):
        MemoryBroker(logger=wrong)
    with pytest.raises(DeclarationError, match="of an application is no logger"):
        App(logger=wrong)
