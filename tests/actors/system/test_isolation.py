"""Nothing of an item outlives it: context variables are for the next one what they were at first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread
from anyio import wait_all_tasks_blocked as idle

from callboard_actors import ActorContext, ActorCrash, ActorSystem, Decision, Mailbox, serve

pytestmark = pytest.mark.anyio

tenant: ContextVar[object] = ContextVar("tenant")


class Odd:
    """What is compared to it gets no bool, as with arrays."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    def __hash__(self) -> int:
        return 0


def closed(items: list[int]) -> Mailbox[int]:
    mailbox = Mailbox[int]()
    mailbox.put_many(items)
    mailbox.close()
    return mailbox


def marking(
    found: list[object], value: Callable[[int], object] = str
) -> Callable[[int], Awaitable[None]]:
    """Note what is set before an item, and set something else."""

    async def receive(item: int) -> None:
        found.append(tenant.get(None))
        tenant.set(value(item))

    return receive


async def test_a_variable_that_an_item_sets_is_not_set_for_the_next() -> None:
    found: list[object] = []

    await serve(marking(found), closed([1, 2, 3]).reader())

    assert found == [None, None, None]
    assert tenant.get(None) is None


async def test_an_item_finds_what_was_set_before_the_loop_began() -> None:
    found: list[object] = []

    token = tenant.set("all")
    await serve(marking(found), closed([1, 2]).reader())

    assert found == ["all", "all"]
    assert tenant.get() == "all"
    tenant.reset(token)


async def test_values_that_give_no_bool_when_compared_are_left_behind_as_well() -> None:
    found: list[object] = []

    token = tenant.set(first := Odd())
    await serve(marking(found, lambda _: Odd()), closed([1, 2]).reader())

    assert [each is first for each in found] == [True, True]
    tenant.reset(token)


async def test_what_an_item_has_set_lasts_until_its_end_through_every_wait() -> None:
    found: list[object] = []

    async def receive(item: int) -> None:
        token = tenant.set(item)
        await anyio.sleep(1)
        found.append(tenant.get())
        found.append(await to_thread.run_sync(tenant.get))
        with anyio.move_on_after(1):
            await anyio.sleep_forever()
        tenant.reset(token)
        found.append(tenant.get(None))

    await serve(receive, closed([1, 2]).reader())

    assert found == [1, 1, None, 2, 2, None]


async def test_a_task_that_an_item_starts_inherits_what_is_set_there() -> None:
    found: list[object] = []

    async def note() -> None:
        found.append(tenant.get())

    async def receive(item: int) -> None:
        tenant.set(item)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(note)

    await serve(receive, closed([1, 2]).reader())

    assert found == [1, 2]


async def test_a_worker_that_waits_holds_nothing_of_its_last_item() -> None:
    gone = anyio.Event()

    class Big:
        def __del__(self) -> None:
            gone.set()

    async def receive(item: int) -> None:
        tenant.set(Big())

    mailbox = Mailbox[int]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, receive, mailbox.reader())
        mailbox.put_nowait(1)
        await idle()

        assert gone.is_set()
        tasks.cancel_scope.cancel()


async def test_the_item_after_a_failure_that_was_survived_finds_nothing_of_it() -> None:
    found: list[object] = []
    failures: list[object] = []

    async def receive(item: int) -> None:
        found.append(tenant.get(None))
        tenant.set(item)
        raise LookupError

    async def failed(item: int, error: Exception) -> None:
        failures.append(tenant.get())

    await serve(
        receive, closed([1, 2]).reader(), decide=[(LookupError, Decision.RESUME)], failed=failed
    )

    assert found == [None, None]
    assert failures == [1, 2], "who sees to the failure finds what its item has set"


async def test_a_cancellation_reaches_the_item_that_waits() -> None:
    ended: list[object] = []

    async def receive(item: int) -> None:
        tenant.set(item)
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(tenant.get())

    mailbox = closed([1, 2])
    with anyio.move_on_after(1):
        await serve(receive, mailbox.reader())

    assert ended == [1]
    assert mailbox.drain() == [1, 2]


async def test_a_crash_is_raised_as_it_is() -> None:
    async def receive(item: int) -> None:
        await anyio.lowlevel.checkpoint()
        raise ActorCrash("corrupt")

    with pytest.raises(ActorCrash, match="corrupt"):
        await serve(receive, closed([1]).reader())


async def test_what_an_actor_sets_when_it_starts_holds_for_its_life() -> None:
    found: list[object] = []

    class Clerk:
        def __init__(self, context: ActorContext[int]) -> None:
            self.mark = marking(found)

        async def receive(self, message: int) -> None:
            await self.mark(message)

        async def on_start(self) -> None:
            tenant.set("clerk")

        async def on_stop(self, reason: object) -> None:
            found.append(tenant.get())

    async with ActorSystem() as system:
        clerk = await system.spawn(Clerk, "clerk")
        clerk.tell(1)
        clerk.tell(2)

    assert found == ["clerk", "clerk", "clerk"]
