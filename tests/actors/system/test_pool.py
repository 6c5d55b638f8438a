from __future__ import annotations

from collections import Counter

import anyio
import pytest

from callboard_actors import (
    ActorContext,
    ActorSystem,
    SpecError,
    Supervision,
    UnknownActor,
    consistent_hash,
    smallest_mailbox,
)
from callboard_actors.testing import crash, idle

pytestmark = pytest.mark.anyio


class Worker:
    """Answers with its name, after a while if it is told so."""

    def __init__(self, context: ActorContext[float | str]) -> None:
        self.name = context.ref.name

    async def receive(self, message: float | str) -> str:
        if isinstance(message, float):
            await anyio.sleep(message)
        return self.name


def itself(message: float | str) -> float | str:
    return message


async def test_workers_take_turns() -> None:
    async with ActorSystem() as system:
        pool = await system.pool(Worker, "pool", 3)

        asked = [await pool.ask("") for _ in range(6)]
        assert asked == ["worker-1", "worker-2", "worker-3"] * 2


async def test_workers_have_paths() -> None:
    async with ActorSystem() as system:
        await system.pool(Worker, "orders", 2)

        assert await system.get("orders/worker-2").ask("") == "worker-2"


async def test_the_worker_with_the_least_to_do_is_chosen() -> None:
    async with ActorSystem() as system:
        pool = await system.pool(Worker, "pool", 3, route=smallest_mailbox())
        first, second, third = pool.workers
        first.tell(10.0)
        third.tell(10.0)
        await idle()  # these two are at work, their mailboxes are empty

        assert {await pool.ask("") for _ in range(5)} == {second.name}


async def test_workers_with_equally_much_to_do_take_turns() -> None:
    async with ActorSystem() as system:
        pool = await system.pool(Worker, "pool", 3, route=smallest_mailbox())
        for _ in range(6):
            pool.tell(10.0)

        assert [worker.pending for worker in pool.workers] == [2, 2, 2]


async def test_equal_keys_go_to_the_same_worker() -> None:
    async with ActorSystem() as system:
        pool = await system.pool(Worker, "pool", 4, route=consistent_hash(itself))

        for key in "abcdefgh":
            assert len({pool.choose(key) for _ in range(3)}) == 1


async def test_keys_are_spread_evenly() -> None:
    async with ActorSystem() as system:
        pool = await system.pool(Worker, "pool", 4, route=consistent_hash(itself))

        counts = Counter(pool.choose(str(n)).name for n in range(1000))
        assert len(counts) == 4
        assert max(counts.values()) < 1.5 * min(counts.values())


async def test_only_the_keys_of_a_worker_that_ended_move() -> None:
    async with ActorSystem() as system:
        pool = await system.pool(Worker, "pool", 4, route=consistent_hash(itself))
        before = {key: pool.choose(key) for key in map(str, range(100))}
        gone = pool.workers[1]
        gone.stop()
        await gone.ended()

        after = {key: pool.choose(key) for key in before}
        assert {key for key in before if before[key] is not after[key]} == {
            key for key in before if before[key] is gone
        }


async def test_a_broadcast_reaches_every_worker() -> None:
    heard: list[str] = []

    class Listener(Worker):
        async def receive(self, message: float | str) -> str:
            heard.append(f"{self.name} {message}")
            return self.name

    async with ActorSystem() as system:
        pool = await system.pool(Listener, "pool", 2)
        pool.broadcast("hello")

    assert sorted(heard) == ["worker-1 hello", "worker-2 hello"]


async def test_a_pool_whose_supervisor_gave_up_has_its_workers_and_messages_again() -> None:
    async with ActorSystem(supervision=Supervision(intensity=1)) as system:
        pool = await system.pool(Worker, "pool", 1)
        for _ in range(2):
            crash(pool.workers[0])
            await idle()
            pool.tell("kept")

        assert await pool.ask("") == "worker-1"
        assert system.tree().children[0].restarts == 1
        assert system.dead_letters.count == 0


async def test_a_stopped_pool_handles_what_it_has_and_ends() -> None:
    async with ActorSystem() as system:
        pool = await system.pool(Worker, "pool", 2)
        pool.broadcast(1.0)
        pool.stop()
        for worker in pool.workers:
            await worker.ended()

        assert system.tree().children == ()
        pool.tell("late")
        assert system.dead_letters.count == 1


async def test_a_pool_that_cannot_start_leaves_nobody_behind() -> None:
    class Picky(Worker):
        async def on_start(self) -> None:
            if self.name == "worker-2":
                raise OSError("no database")

    async with ActorSystem() as system:
        with pytest.raises(OSError, match="no database"):
            await system.pool(Picky, "pool", 2)
        with pytest.raises(UnknownActor):
            system.get("pool/worker-1")


async def test_the_messages_of_a_cancelled_pool_are_dead_letters() -> None:
    system = ActorSystem()
    with anyio.move_on_after(1):
        async with system:
            pool = await system.pool(Worker, "pool", 2)
            pool.broadcast(1000.0)
            await anyio.sleep_forever()

    assert system.dead_letters.count == 2


async def test_a_pool_has_a_worker() -> None:
    async with ActorSystem() as system:
        with pytest.raises(SpecError, match="size=0"):
            await system.pool(Worker, "pool", 0)
