"""One message never stops a subscription, whatever came with it or out of its handler."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from anyio import sleep, wait_all_tasks_blocked

from callboard import ActorCrash, MemoryBroker
from callboard.memory import MemoryMessage
from callboard_brokers import Memory, Message, Metadata
from callboard_brokers.memory import MemoryRecord, Templates

pytestmark = pytest.mark.anyio


class Unreadable(MemoryRecord):
    """A record whose headers can't be read."""

    def message(self) -> Message:
        return Message(self.body, address=self.address, raw_message=self, load=_fail)


class Unreadably(Templates):
    def record(
        self, published: Message, address: str, key: bytes | None, path: Mapping[str, str]
    ) -> MemoryRecord:
        kind = Unreadable if (address, published.body) == ("in", b"0") else MemoryRecord
        return kind(published, address, key, path)


def _fail(_: object) -> Metadata:
    return Metadata(message_id=b"\xff".decode())


@pytest.fixture
def hostile() -> MemoryBroker:
    broker = MemoryBroker(dead_letter="dead")
    broker.slot.adapter = Memory(routing=Unreadably())
    return broker


def crashes(broker: MemoryBroker) -> list[str]:
    """Return the list to which the crashes of *broker* are added."""
    told: list[str] = []
    broker.events.subscribe(
        lambda event: told.append(event.path) if event.name == "actor.crashed" else None
    )
    return told


async def test_a_message_whose_headers_cannot_be_read_is_handled_and_the_reason_is_said(
    hostile: MemoryBroker,
) -> None:
    crashed = crashes(hostile)
    heard: list[tuple[int, object]] = []

    @hostile.subscriber("in", group="g")
    async def handle(number: int, message: MemoryMessage) -> None:
        heard.append((number, message.headers.get("callboard-unreadable")))

    async with hostile:
        await hostile.start()
        await hostile.publish(b"0", "in")
        await hostile.publish(b"1", "in")
        await wait_all_tasks_blocked()

    [(zero, reason), one] = heard
    assert (zero, one, crashed) == (0, (1, None), [])
    assert "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff" in str(reason)


async def test_it_is_quarantined_and_told_of_before_the_next_one(hostile: MemoryBroker) -> None:
    letters: list[MemoryMessage] = []
    heard: list[int] = []

    @hostile.subscriber("in", group="g")
    class Clerk:
        async def receive(self, number: int) -> None:
            if number == 0:
                raise ActorCrash("corrupt")
            heard.append(number)

    @hostile.subscriber("dead")
    async def collect(message: MemoryMessage) -> None:
        letters.append(message)

    async with hostile:
        await hostile.start()
        await hostile.publish(b"0", "in")
        await hostile.publish(b"1", "in")
        await sleep(10)

    assert heard == [1]
    assert [letter.headers["x-exception-type"] for letter in letters] == ["Quarantined"]


class Untellable(Exception):
    """An error that fails when it is asked what it says."""

    def __str__(self) -> str:
        raise LookupError("no words")


async def test_an_error_without_words_is_told_of_dead_lettered_and_survived(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = MemoryBroker(dead_letter="dead")
    crashed, letters, heard = crashes(broker), list[MemoryMessage](), list[int]()

    def order(message: MemoryMessage) -> int:
        raise Untellable

    @broker.subscriber("in", group="g", max_workers=2, ordered_by=order)
    async def handle(number: int) -> None:
        heard.append(number)
        if number == 0:
            raise Untellable

    @broker.subscriber("dead")
    async def collect(message: MemoryMessage) -> None:
        letters.append(message)

    async with broker:
        await broker.start()
        await broker.publish(b"0", "in")
        await broker.publish(b"1", "in")
        await wait_all_tasks_blocked()

    assert (sorted(heard), crashed) == ([0, 1], [])
    assert [letter.headers["x-exception-message"] for letter in letters] == [
        "(its text can't be read)"
    ]
    assert "ordered_by= of handle(in) fails" in caplog.text
