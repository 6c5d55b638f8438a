"""A link that is lost is opened again; that is told once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise

import pytest
from anyio import create_task_group, current_time, fail_after, sleep

from callboard_actors.testing import idle
from callboard_brokers import BrokerError, ConnectionClosed, ConnectionLost
from callboard_brokers.events import ServerFound, ServerLost
from callboard_brokers.kit import Backoff, Journal, Reach, background

from .conftest import Told

pytestmark = pytest.mark.anyio


class Server:
    """Answers each attempt as it is told to: with a number, or an error; the last one for ever."""

    def __init__(self, *answers: int | BrokerError) -> None:
        self._answers: Iterator[int | BrokerError] = iter(answers)
        self._answer: int | BrokerError = 0
        self.attempts: list[float] = []
        self.left = 0

    def connect(self) -> AbstractAsyncContextManager[int]:
        return self._connect()

    async def ask(self) -> int:
        self.attempts.append(current_time())
        self._answer = next(self._answers, self._answer)
        if isinstance(self._answer, BrokerError):
            raise self._answer
        return self._answer

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[int]:
        answer = await self.ask()
        try:
            yield answer
        finally:
            self.left += 1


AWAY = ConnectionLost("nobody answers")
REFUSED = BrokerError("wrong password")


@pytest.fixture
def reach(journal: Journal) -> Reach[int]:
    return Reach("here:1", journal)


async def test_a_link_at_the_first_attempt_is_not_worth_a_word(
    reach: Reach[int], told: Told
) -> None:
    async with background() as tasks:
        tasks.start_soon(reach.hold, Server(7).connect)

        assert await reach.up() == 7
        assert (reach.generation, reach.lost_at, told) == (1, None, [])


async def test_an_outage_is_told_once_and_so_is_its_end(reach: Reach[int], told: Told) -> None:
    server = Server(AWAY, AWAY, AWAY, AWAY, 7)
    async with background() as tasks:
        tasks.start_soon(reach.hold, server.connect)
        await reach.up()

    assert told == [
        ServerLost("here:1", "ConnectionLost: nobody answers"),
        ServerFound("here:1"),
    ]
    assert len(server.attempts) == 5


async def test_a_link_that_breaks_is_left_and_replaced(reach: Reach[int], told: Told) -> None:
    server = Server(7, 8)
    async with background() as tasks:
        tasks.start_soon(reach.hold, server.connect)
        await reach.up()
        await sleep(60)
        reach.lose(ConnectionLost("reset"))
        reach.lose(ConnectionLost("reset, says another task"))

        assert reach.lost_at == current_time()
        assert await reach.up() == 8
        assert (reach.generation, server.left) == (2, 1)
    assert told.types == [ServerLost, ServerFound]


async def test_what_is_said_of_an_earlier_link_does_not_break_this_one(
    reach: Reach[int], told: Told
) -> None:
    async with background() as tasks:
        tasks.start_soon(reach.hold, Server(7, 8).connect)
        await reach.up()
        reach.lose(AWAY, generation=1)
        await reach.up()
        reach.lose(AWAY, generation=1)

        assert reach.lost_at is None
    assert told.types == [ServerLost, ServerFound]


async def test_who_waits_for_a_link_learns_that_it_is_refused(reach: Reach[int]) -> None:
    with pytest.raises(BrokerError, match="wrong password"):
        await reach.hold(Server(AWAY, REFUSED).connect)
    for _ in range(2):
        with pytest.raises(BrokerError, match="wrong password"):
            await reach.up()


async def test_the_end_of_the_link_is_no_loss(reach: Reach[int], told: Told) -> None:
    @asynccontextmanager
    async def connect() -> AsyncGenerator[int]:
        try:
            yield 7
        finally:
            reach.lose(ConnectionLost("closed"))  # a client that tells of its own end

    async with background() as tasks:
        tasks.start_soon(reach.hold, connect)
        await reach.up()

    assert told == []
    with pytest.raises(ConnectionClosed, match="here:1"):
        await reach.up()


async def test_however_long_a_server_was_away_it_is_asked_again_within_two_seconds(
    reach: Reach[int],
) -> None:
    server = Server(*[AWAY] * 50, 7)
    async with background() as tasks:
        tasks.start_soon(reach.hold, server.connect)
        await reach.up()

    assert max(later - earlier for earlier, later in pairwise(server.attempts)) <= 2.0


async def test_a_server_that_hangs_up_at_once_is_asked_ever_more_rarely(journal: Journal) -> None:
    reach, server = Reach[int]("here:1", journal, Backoff(1.0, 64.0)), Server(7)
    async with background() as tasks:
        tasks.start_soon(reach.hold, server.connect)
        with fail_after(10_000):
            while len(server.attempts) < 100:
                await reach.up()
                reach.lose(ConnectionLost("hung up"))

    # A hundred waits of 0.5 s on the average would be 50 s.
    assert server.attempts[-1] - server.attempts[0] > 500


async def test_after_a_link_that_held_the_first_wait_is_short_again(journal: Journal) -> None:
    reach, server = Reach[int]("here:1", journal, Backoff(1.0, 64.0)), Server(*[AWAY] * 20, 7)
    async with background() as tasks:
        tasks.start_soon(reach.hold, server.connect)
        await reach.up()
        await sleep(65)
        before = current_time()
        reach.lose(AWAY)
        await reach.up()

        assert current_time() - before <= 1.0


async def test_an_attempt_is_made_patiently(reach: Reach[int], told: Told) -> None:
    assert await reach.patiently(Server(AWAY, AWAY, 7).ask) == 7
    assert told.types == [ServerLost, ServerFound]
    with pytest.raises(BrokerError, match="wrong password"):
        await reach.patiently(Server(REFUSED).ask)


async def test_a_wait_for_a_link_can_be_cancelled(reach: Reach[int]) -> None:
    async with create_task_group() as tasks:
        tasks.start_soon(reach.up)
        await idle()
        tasks.cancel_scope.cancel()
