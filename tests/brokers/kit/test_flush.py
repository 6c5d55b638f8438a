"""What is written is sent soon, together, and until it is through."""

from __future__ import annotations

import anyio
import pytest
from anyio import CancelScope, Event, create_task_group, current_time, sleep, sleep_forever
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard_actors.testing import idle, virtual_backend
from callboard_brokers import ConnectionLost
from callboard_brokers.kit import Flush, background

pytestmark = pytest.mark.anyio


class Broker:
    """Takes what is written, or fails so many times before."""

    def __init__(self, failures: int = 0) -> None:
        self.written: list[int] = []
        self.taken: list[list[int]] = []
        self.errors: list[Exception] = []
        self.failures = failures

    async def send(self) -> None:
        await sleep(0.01)
        if self.failures:
            self.failures -= 1
            raise ConnectionLost("away")
        batch, self.written = self.written, []
        self.taken.append(batch)

    def failed(self, error: Exception) -> None:
        self.errors.append(error)


async def test_what_is_written_in_one_tick_is_sent_together() -> None:
    broker = Broker()
    flush = Flush(broker.send, broker.failed)
    async with background() as tasks:
        tasks.start_soon(flush.run)
        await idle()
        for number in range(3):
            broker.written.append(number)
            flush.soon()
        await sleep(1)

    assert broker.taken == [[0, 1, 2]]


async def test_an_interval_is_waited_for() -> None:
    broker = Broker()
    flush = Flush(broker.send, broker.failed, every=10.0)
    async with background() as tasks:
        tasks.start_soon(flush.run)
        flush.soon()
        await sleep(5)
        assert broker.taken == []
        await sleep(6)

    assert len(broker.taken) == 1


async def test_a_failure_is_told_once_and_tried_again_until_it_is_through() -> None:
    broker = Broker(failures=5)
    flush = Flush(broker.send, broker.failed)
    broker.written.append(1)
    flush.soon()
    async with background() as tasks:
        tasks.start_soon(flush.run)
        await sleep(60)

    assert broker.taken == [[1]]
    assert [str(error) for error in broker.errors] == ["away"]


async def test_a_broker_that_does_not_answer_is_asked_again() -> None:
    attempts: list[float] = []

    async def hang_once() -> None:
        attempts.append(current_time())
        if len(attempts) == 1:
            await sleep_forever()

    failed: list[Exception] = []
    flush = Flush(hang_once, failed.append, patience=3.0)
    flush.soon()
    async with background() as tasks:
        tasks.start_soon(flush.run)
        await sleep(10)

    assert len(attempts) == 2
    assert attempts[1] - attempts[0] >= 3.0
    assert isinstance(failed[0], TimeoutError)


async def test_leaving_sends_what_is_left_though_it_is_cancelled() -> None:
    broker = Broker(failures=2)
    flush = Flush(broker.send, broker.failed)
    broker.written += [1, 2]
    flush.soon()
    async with create_task_group() as tasks:
        tasks.cancel_scope.cancel()
        assert await flush.leave(5.0)

    assert broker.taken == [[1, 2]]


async def test_leaving_is_bounded() -> None:
    broker, before = Broker(failures=10**9), current_time()
    flush = Flush(broker.send, broker.failed)
    flush.soon()

    assert not await flush.leave(5.0)
    assert current_time() - before <= 5.1


async def test_leaving_is_bounded_by_the_deadline_of_whoever_leaves() -> None:
    broker, before = Broker(failures=10**9), current_time()
    flush = Flush(broker.send, broker.failed)
    flush.soon()
    with CancelScope(deadline=before + 2):
        assert not await flush.leave(5.0)

    assert current_time() - before <= 2.1


async def test_leaving_waits_for_what_is_on_its_way() -> None:
    answer, sent = Event(), list[str]()

    async def send() -> None:
        await answer.wait()
        sent.append("through")

    flush = Flush(send, lambda _error: None)
    flush.soon()
    async with background() as tasks:
        tasks.start_soon(flush.run)
        await idle()
        async with create_task_group() as leaving:
            leaving.start_soon(flush.leave, 5.0)
            await idle()
            assert sent == []
            answer.set()

    assert sent == ["through"]


async def test_with_nothing_to_send_leaving_sends_nothing() -> None:
    broker = Broker()

    assert await Flush(broker.send, broker.failed).leave(1.0)
    assert broker.taken == []


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=20))
def test_everything_is_sent_once_and_in_order(script: list[tuple[int, int]]) -> None:
    async def play() -> None:
        broker, number = Broker(), 0
        flush = Flush(broker.send, broker.failed)
        async with background() as tasks:
            tasks.start_soon(flush.run)
            for count, failures in script:
                broker.failures = failures
                for _ in range(count):
                    broker.written.append(number)
                    flush.soon()
                    number += 1
                await sleep(0.02 * count)
        assert await flush.leave(60.0)
        assert [each for batch in broker.taken for each in batch] == [*range(number)]

    backend, options = virtual_backend("trio")
    anyio.run(play, backend=backend, backend_options=options)
