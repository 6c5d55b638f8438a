"""Dead letters mean the same on every broker: looked through, sent back, dropped."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from anyio import CancelScope, Event, fail_after, open_process, run_process

from callboard import MemoryBroker, Message
from callboard.dead import DeadLetters, Only, Replayed
from callboard.kafka import KafkaBroker
from callboard.nats import JStream, NatsBroker
from callboard.rabbit import QueueType, RabbitBroker, RabbitQueue

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

Made = tuple[Any, dict[str, Any], dict[str, Any], set[str]]
"""A broker, how to read a name there, how to publish to it, and what its letters say of where."""
PLACE: Final = {"x-original-timestamp"}


def memory(name: str) -> Made:
    return MemoryBroker(dead_letter="{address}.dead"), {"address": name, "group": "g"}, {}, set()


def kafka(name: str) -> Made:
    broker = KafkaBroker(os.environ["CALLBOARD_KAFKA"], dead_letter="{address}.dead")
    source = {"topics": [name], "group_id": name, "auto_offset_reset": "earliest"}
    return broker, source, {}, PLACE | {"x-original-partition", "x-original-offset"}


def rabbit(kind: QueueType) -> Callable[[str], Made]:
    def made(name: str) -> Made:
        broker = RabbitBroker(os.environ["CALLBOARD_RABBIT"], dead_letter="{address}.dead")
        place = {"x-original-exchange", "x-original-routing-key"}
        return broker, {"queue": RabbitQueue(name, kind)}, {}, place

    return made


def jetstream(name: str) -> Made:
    broker = NatsBroker(os.environ["CALLBOARD_NATS"], dead_letter="{address}.dead")
    stream = JStream(name.replace(".", "-"), subjects=[f"{name}.>", name])
    source = {"subject": name, "stream": stream, "durable": "work"}
    place = PLACE | {"x-original-stream", "x-original-sequence"}
    return broker, source, {"stream": stream.name}, place


KINDS = [
    pytest.param(memory, id="memory"),
    pytest.param(kafka, id="kafka", marks=pytest.mark.broker("kafka")),
    pytest.param(rabbit(QueueType.CLASSIC), id="rabbit", marks=pytest.mark.broker("rabbit")),
    pytest.param(rabbit(QueueType.QUORUM), id="quorum", marks=pytest.mark.broker("rabbit")),
    pytest.param(jetstream, id="jetstream", marks=pytest.mark.broker("nats")),
]


class Service:
    """Fails upon everything, until it is mended."""

    def __init__(self, made: Made, name: str) -> None:
        self.broker, source, self._there, self.place = made
        self.name = name
        self.letters = DeadLetters(self.broker, f"{name}.dead")
        self.handled: list[Message] = []
        self.is_mended = False
        self._wanted, self._over = 0, Event()
        self.broker.subscriber(**source)(self.handle)

    async def handle(self, number: int, message: Message) -> None:
        if not self.is_mended:
            raise KeyError(number) if number % 2 else ValueError(f"{number}\nis even")
        self.handled.append(message)
        if len(self.handled) == self._wanted:
            self._over.set()

    async def bury(self, count: int) -> None:
        """Have *count* letters; the service is stopped and started again, mended."""
        await self.broker.start()
        for number in range(count):
            headers = {"tenant": "acme", "raw": "ü"}
            key = {"key": b"k"} if isinstance(self.broker, KafkaBroker | MemoryBroker) else {}
            await self.broker.publish(number, self.name, headers=headers, **key, **self._there)
        with fail_after(45):
            while len(await self.left()) < count:
                pass

    async def left(self, only: Only | None = None) -> list[int]:
        async with self.letters.open(only or Only()) as opened:
            return [int(each.message.body) async for each in opened]

    async def handles(self, count: int) -> list[int]:
        """Return what is handled when it is *count* in all."""
        self._wanted, self._over = count, Event()
        with fail_after(45):
            if len(self.handled) < count:
                await self._over.wait()
        return [int(each.body) for each in self.handled]


@pytest.fixture
def service(request: pytest.FixtureRequest, topic: str) -> Service:
    make: Callable[[str], Made] = request.param
    return Service(make(topic), topic)


@pytest.mark.parametrize("service", KINDS, indirect=True)
async def test_letters_are_looked_through_sent_back_and_dropped(service: Service) -> None:
    async with service.broker:
        await service.bury(6)
        async with service.letters.open(Only(exception="ValueError")) as opened:
            letter = await anext(opened)
        first, second = await service.letters.groups()

        assert {first.count, second.count} == {3}
        assert letter.fingerprint == f"ValueError@{__name__}:Service.handle"
        assert letter.origin == service.name
        assert letter.reason.startswith("0")
        assert letter.why.keys() >= service.place
        assert letter.message.headers["raw"] == "ü"

        service.is_mended = True
        done = await service.letters.replay(Only(fingerprint=letter.fingerprint))
        assert done == Replayed(count=3)
        assert await service.handles(3) == [0, 2, 4]
        assert await service.left() == [1, 3, 5]

        assert await service.letters.drop(Only(exception="KeyError"), limit=2) == 2
        assert await service.left() == [5]

    again = service.handled[0]
    assert again.headers["tenant"] == "acme"
    assert again.headers["x-replays"] == "1"
    assert not {name for name in again.headers if name.startswith("x-exc")}
    assert again.key in {b"k", None}


@pytest.mark.parametrize("service", KINDS, indirect=True)
async def test_what_is_cut_off_in_the_midst_goes_on_another_time(service: Service) -> None:
    async with service.broker:
        await service.bury(20)
        service.is_mended = True
        with CancelScope() as scope:

            def stop(done: Replayed) -> None:
                if done.count == 7:
                    scope.cancel()

            await service.letters.replay(progress=stop)
        done = await service.letters.replay()

        assert done.count == 13
        assert await service.handles(20) == [*range(20)]
        assert await service.left() == []


SHOP: Final = """
import os
from callboard import App
from callboard.kafka import KafkaBroker

broker = KafkaBroker(os.environ["CALLBOARD_KAFKA"], dead_letter="{address}.dead")
app = App(broker)

@broker.subscriber(os.environ["SHOP_TOPIC"], group_id="shop")
async def handle(number: int) -> None: ...
"""


@pytest.mark.broker("kafka")
async def test_a_signal_ends_the_command_between_two_letters(topic: str, tmp_path: Path) -> None:
    service = Service(kafka(topic), topic)
    (tmp_path / "shop.py").write_text(SHOP)
    words = [sys.executable, "-m", "callboard", "dead", "replay", "shop:app"]
    options = {"cwd": tmp_path, "env": {**os.environ, "SHOP_TOPIC": topic}}
    async with service.broker:
        await service.bury(30)
        service.is_mended = True
        async with await open_process([*words, "--rate", "5"], **options) as command:  # type: ignore[arg-type] # as they are
            await service.handles(3)
            command.send_signal(signal.SIGINT)
            with fail_after(45):
                status = await command.wait()
        some = len(await service.left())
        done = await run_process(words, **options)  # type: ignore[arg-type] # likewise

        assert (status, 0 < some < 28) == (130, True)
        assert done.stdout.decode() == f"{some} sent back\n"
        assert await service.handles(30) == [*range(30)]
        assert await service.left() == []
