"""Classes as subscribers: state that lives between messages, and dies with a crash."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
from anyio import Event, current_time, sleep, wait_all_tasks_blocked

from callboard import (
    ActorCrash,
    App,
    Backoff,
    Context,
    DeclarationError,
    Depends,
    ExitReason,
    GaveUp,
    Header,
    MemoryBroker,
    Message,
    NotRunning,
    Supervision,
    TestBroker,
)
from callboard.memory import MemoryMessage

pytestmark = pytest.mark.anyio


async def test_an_actor_keeps_its_state_between_messages(broker: MemoryBroker) -> None:
    totals: list[int] = []

    @broker.subscriber("numbers")
    class Sum:
        def __init__(self) -> None:
            self.total = 0

        async def receive(self, number: int, weight: int = Header(default=1)) -> None:
            self.total += number * weight
            totals.append(self.total)

    async with TestBroker(broker):
        await broker.publish(1, "numbers")
        await broker.publish(2, "numbers", headers={"weight": "10"})

    assert totals == [1, 21]


async def test_what_an_actor_needs_is_injected_into_its_constructor(broker: MemoryBroker) -> None:
    log: list[str] = []
    broker.context.set_global("rate", 2)

    async def connection() -> AsyncIterator[str]:
        log.append("connected")
        yield "connection"
        log.append("disconnected")

    @broker.subscriber("numbers")
    class Store:
        def __init__(
            self, connection: str = Depends(connection), rate: int = Context(), limit: int = 5
        ) -> None:
            self.connection = connection
            self.factor = rate * limit

        async def receive(self, number: int) -> None:
            log.append(f"{self.connection} {number * self.factor}")

        async def on_stop(self, reason: ExitReason) -> None:
            log.append("on_stop")

    async with TestBroker(broker):
        await broker.publish(3, "numbers")

    assert log == ["connected", "connection 30", "on_stop", "disconnected"]


async def test_the_hooks_run_before_the_first_message_and_after_the_last(
    broker: MemoryBroker,
) -> None:
    log: list[str] = []

    @broker.subscriber("numbers")
    class Store:
        async def on_start(self) -> None:
            await sleep(1)
            log.append("on_start")

        async def receive(self, number: int) -> None:
            log.append(f"receive {number}")

        async def on_stop(self, reason: ExitReason) -> None:
            log.append(f"on_stop: {reason.kind}")

    async with broker:
        await broker.start()
        assert log == ["on_start"]
        await broker.publish(1, "numbers")
        await broker.publish(2, "numbers")

    assert log == ["on_start", "receive 1", "receive 2", "on_stop: shutdown"]


def unstoppable(broker: MemoryBroker) -> None:
    @broker.subscriber("numbers")
    class Store:
        async def receive(self, number: int) -> None: ...

        async def on_stop(self, reason: ExitReason) -> None:
            raise LookupError("the shelf is gone")


async def test_a_hook_that_fails_at_the_stop_fails_the_application(broker: MemoryBroker) -> None:
    unstoppable(broker)
    app = App(broker)
    await app.start()
    with pytest.raises(LookupError, match="the shelf is gone"):
        await app.stop()

    assert not app.running


async def test_a_hook_that_fails_at_the_end_of_a_test_fails_the_test(broker: MemoryBroker) -> None:
    unstoppable(broker)
    test = TestBroker(broker)
    await test.__aenter__()
    with pytest.raises(LookupError, match="the shelf is gone"):
        await test.__aexit__(None, None, None)


class Fragile:
    """Crashes on 13; remembers what happened to all of its kind."""

    log: list[str]
    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.number = type(self).made
        self.seen: list[int] = []

    async def receive(self, number: int) -> None:
        self.seen.append(number)
        self.log.append(f"{self.number}: {self.seen}")
        if number == 13:
            raise ActorCrash("unlucky")
        if number < 0:
            raise ValueError("negative")

    async def on_stop(self, reason: ExitReason) -> None:
        self.log.append(f"{self.number} stopped: {reason.kind}")


def fragile() -> type[Fragile]:
    return type("Fragile", (Fragile,), {"log": []})


async def send(broker: MemoryBroker, *numbers: int, **options: Any) -> None:
    for number in numbers:
        await broker.publish(number, "numbers", **options)
    await sleep(100)


async def test_a_crash_costs_the_state_and_the_message_gets_one_more_try(
    broker: MemoryBroker,
) -> None:
    actor = broker.subscriber("numbers", dead_letter="dead")(fragile())
    letters: list[MemoryMessage] = []

    @broker.subscriber("dead")
    async def collect(message: MemoryMessage) -> None:
        letters.append(message)

    async with broker:
        await broker.start()
        await send(broker, 1, 13, 2)

    assert actor.log == [
        "1: [1]",
        "1: [1, 13]",
        "1 stopped: failed",
        "2: [13]",
        "2 stopped: failed",
        "3: [2]",
        "3 stopped: shutdown",
    ]
    [letter] = letters
    assert letter.body == b"13"
    assert letter.headers["x-exception-type"] == "Quarantined"
    assert letter.headers["x-exception-message"] == (
        "it has taken its actor down twice: ActorCrash: unlucky"
    )


async def test_a_message_that_crashes_only_once_is_handled(broker: MemoryBroker) -> None:
    tries: list[int] = []

    @broker.subscriber("numbers", group="g")
    class Once:
        async def receive(self, number: int) -> None:
            tries.append(number)
            if len(tries) == 1:
                raise ActorCrash

    async with broker:
        await broker.start()
        await send(broker, 1, 2)

    assert tries == [1, 1, 2]
    assert not broker.dead_letters()
    assert broker.unread("numbers") == 0


async def test_an_ordinary_failure_is_no_crash(broker: MemoryBroker) -> None:
    actor = broker.subscriber("numbers")(fragile())

    async with broker:
        await broker.start()
        await send(broker, 1, -1, 2)

    assert actor.log == ["1: [1]", "1: [1, -1]", "1: [1, -1, 2]", "1 stopped: shutdown"]
    assert len(broker.dead_letters()) == 1


async def test_a_function_may_crash_its_worker_too(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    @broker.subscriber("numbers")
    async def handle(number: int) -> None:
        calls.append(number)
        if number == 13:
            raise ActorCrash("unlucky")

    async with broker:
        await broker.start()
        await send(broker, 13, 1)

    assert calls == [13, 13, 1]
    assert [letter.message.body for letter in broker.dead_letters()] == [b"13"]
    assert "handle(numbers) crashed twice on message" in caplog.text


async def test_the_first_restart_is_at_once_and_the_next_ones_wait(broker: MemoryBroker) -> None:
    times: list[float] = []
    backoff = Backoff(min=1, max=10, jitter="none")

    @broker.subscriber("numbers", supervision=Supervision(intensity=9, backoff=backoff))
    class Crashing:
        async def receive(self, number: int) -> None:
            times.append(current_time() - began)
            raise ActorCrash

    async with broker:
        await broker.start()
        began = current_time()
        await send(broker, 1, 2)

    # Each of the two messages is tried twice.
    assert times == pytest.approx([0, 0, 1, 3])


async def test_each_shard_has_its_own_state_and_a_key_always_the_same_shard(
    broker: MemoryBroker,
) -> None:
    seen: dict[str, int] = {}
    actors: list[Any] = []

    @broker.subscriber("numbers", max_workers=3)
    class Shard:
        def __init__(self) -> None:
            actors.append(self)
            self.counts: dict[str, int] = {}

        async def receive(self, number: int, message: Message) -> None:
            key = str(message.key)
            self.counts[key] = self.counts.get(key, 0) + 1
            seen[key] = seen.get(key, 0) + 1
            assert self.counts[key] == seen[key], "another shard had some of them"

    async with broker:
        await broker.start()
        for n in range(40):
            await broker.publish(n, "numbers", key=f"k{n % 8}")
        await wait_all_tasks_blocked()

    assert len(actors) == 3
    assert seen == {str(f"k{n}".encode()): 5 for n in range(8)}
    assert len([actor for actor in actors if actor.counts]) > 1
    assert not broker.dead_letters()


async def test_messages_without_a_key_are_dealt_to_the_shards_in_turn(
    broker: MemoryBroker,
) -> None:
    counts: dict[int, int] = {}

    @broker.subscriber("numbers", max_workers=3)
    class Shard:
        async def receive(self, number: int) -> None:
            counts[id(self)] = counts.get(id(self), 0) + 1

    async with broker:
        await broker.start()
        await send(broker, *range(9))

    assert [*counts.values()] == [3, 3, 3]


async def test_a_crash_in_one_shard_leaves_the_others_alone(broker: MemoryBroker) -> None:
    actor = fragile()
    broker.subscriber("numbers", max_workers=2, ordered_by=lambda message: message.body == b"13")(
        actor
    )

    async with broker:
        await broker.start()
        await send(broker, 1, 13, 2)

    assert any(line.endswith(": [1, 2]") for line in actor.log)
    assert len([line for line in actor.log if line.endswith("stopped: failed")]) == 2
    assert actor.made == 4


@pytest.mark.parametrize("where", ["subscriber", "broker"])
async def test_too_many_crashes_end_the_broker(where: str) -> None:
    never = Supervision(intensity=0, period=60)
    options: dict[str, Any] = {"supervision": never}
    broker = MemoryBroker(**(options if where == "broker" else {}))
    stopped: list[str] = []

    @broker.subscriber("numbers", group="g", **(options if where == "subscriber" else {}))
    class Crashing:
        async def receive(self, number: int) -> None:
            raise ActorCrash("again")

        async def on_stop(self, reason: ExitReason) -> None:
            stopped.append(reason.kind)

    await broker.start()
    await send(broker, *range(100))

    assert not broker.running
    assert {*stopped} == {"failed"}
    with pytest.raises(NotRunning):
        await broker.publish(1, "numbers")
    with pytest.raises(GaveUp, match=r"supervisor 'memory' gave up on 'subscriptions'") as gave_up:
        await broker.stop()
    root: BaseException = gave_up.value
    while root.__cause__ is not None:
        root = root.__cause__
    assert isinstance(root, ActorCrash)
    # What was not handled is with the broker again, and nothing was lost.
    assert broker.unread("numbers") + len(broker.dead_letters("numbers")) == 100


async def test_workers_that_give_up_drain_and_are_replaced(broker: MemoryBroker) -> None:
    tries: list[int] = []
    handled: list[int] = []
    crashed: list[str] = []
    broker.events.subscribe(
        lambda event: crashed.append(event.path) if event.name == "actor.crashed" else None
    )

    @broker.subscriber("numbers", max_workers=2, supervision=Supervision(intensity=0))
    async def handle(number: int) -> None:
        tries.append(number)
        if tries.count(13) == tries.count(number) == 1:
            raise ActorCrash
        await sleep(5)
        handled.append(number)

    async with broker:
        await broker.start()
        await broker.publish(1, "numbers")
        await broker.publish(13, "numbers")
        await sleep(1)
        await send(broker, 2, 3)

    assert sorted(handled) == [1, 2, 3, 13]
    assert len(crashed) == 2
    assert {path.rpartition("/")[2].partition("-")[0] for path in crashed} == {"worker", "workers"}


async def test_a_broker_that_has_given_up_can_start_again() -> None:
    broker = MemoryBroker(supervision=Supervision(intensity=0))
    healthy: list[int] = []

    @broker.subscriber("numbers", group="g")
    async def handle(number: int) -> None:
        if not healthy:
            raise ActorCrash
        healthy.append(number)

    await broker.start()
    await send(broker, *range(40))
    with pytest.raises(NotRunning):
        await broker.publish(40, "numbers")
    healthy.append(-1)
    await broker.start()
    await wait_all_tasks_blocked()

    assert broker.running
    assert broker.unread("numbers") == 0
    assert healthy[-1] == 39
    await broker.stop()


@pytest.mark.parametrize("connected", [True, False])
async def test_an_actor_whose_constructor_raises_fails_the_start(connected: bool) -> None:
    broker = MemoryBroker()
    log: list[str] = []

    @broker.subscriber("numbers")
    class Fine:
        async def receive(self, number: int) -> None: ...

        async def on_stop(self, reason: ExitReason) -> None:
            log.append(f"stopped: {reason.kind}")

    @broker.subscriber("numbers")
    class Failing:
        def __init__(self) -> None:
            raise OSError("no database")

        async def receive(self, number: int) -> None: ...

    if connected:
        await broker.connect()
    for _ in range(2):  # and again, when it is tried again
        with pytest.raises(OSError, match="no database"):
            await broker.start()

    assert log == ["stopped: shutdown", "stopped: shutdown"]
    assert broker.running is connected
    await broker.stop()


async def test_an_on_start_that_raises_fails_the_start(broker: MemoryBroker) -> None:
    @broker.subscriber("numbers")
    class Failing:
        async def on_start(self) -> None:
            raise OSError("no database")

        async def receive(self, number: int) -> None: ...

    with pytest.raises(OSError, match="no database"):
        await broker.start()

    assert not broker.running


async def test_an_actor_that_fails_to_restart_is_tried_again(broker: MemoryBroker) -> None:
    starts: list[float] = []
    handled: list[int] = []

    @broker.subscriber("numbers")
    class Recovering:
        async def on_start(self) -> None:
            starts.append(current_time())
            if len(starts) in (2, 3):
                raise OSError("not yet")

        async def receive(self, number: int) -> None:
            if len(starts) == 1:
                raise ActorCrash
            handled.append(number)

    async with broker:
        await broker.start()
        await send(broker, 1, 2)

    assert len(starts) == 4
    assert handled == [1, 2]


async def test_a_hook_that_fails_at_the_end_keeps_nothing_from_ending(
    broker: MemoryBroker,
) -> None:
    log: list[str] = []

    def connection() -> Iterator[None]:
        try:
            yield
        finally:
            log.append("disconnected")

    @broker.subscriber("numbers", group="g")
    class Failing:
        def __init__(self, connection: None = Depends(connection)) -> None: ...

        async def receive(self, number: int) -> None:
            log.append("handled")

        async def on_stop(self, reason: ExitReason) -> None:
            raise OSError("the disk is full")

    await broker.start()
    await broker.publish(1, "numbers")
    with pytest.raises(OSError, match="the disk is full"):
        await broker.stop()

    assert log == ["handled", "disconnected"]
    assert broker.unread("numbers") == 0


async def test_while_an_actor_is_restarted_its_messages_wait(broker: MemoryBroker) -> None:
    crashed, handled = Event(), list[int]()
    slow = Supervision(backoff=Backoff(min=10, max=10, jitter="none"))

    @broker.subscriber("numbers", supervision=slow, mailbox=5)
    class Slow:
        async def receive(self, number: int) -> None:
            if number == 13:
                crashed.set()
                raise ActorCrash
            handled.append(number)

    async with broker:
        await broker.start()
        await broker.publish(13, "numbers")
        for n in range(9):
            await broker.publish(n, "numbers")
        await sleep(5)
        assert handled == []
        await sleep(10)

    assert handled == [*range(9)]


def test_a_class_without_receive_is_no_actor(broker: MemoryBroker) -> None:
    class Nothing: ...

    with pytest.raises(
        DeclarationError,
        match=r"the actor class 'Nothing' needs `async def receive\(self, message\)`",
    ):
        broker.subscriber("numbers")(Nothing)


def test_a_class_whose_receive_is_not_async_is_no_actor(broker: MemoryBroker) -> None:
    with pytest.raises(DeclarationError, match=r"needs `async def receive\(self, message\)`"):

        @broker.subscriber("numbers")
        class Plain:
            def receive(self, number: int) -> None: ...


def test_an_actors_receive_needs_a_parameter(broker: MemoryBroker) -> None:
    with pytest.raises(
        DeclarationError,
        match=r"`receive` of the actor class 'Deaf' \(test_actor_classes.py:\d+\) needs a parameter",
    ):

        @broker.subscriber("numbers")
        class Deaf:
            async def receive(self) -> None: ...


def test_an_actors_constructor_is_checked_at_the_declaration(broker: MemoryBroker) -> None:
    with pytest.raises(
        DeclarationError, match=r"parameter 'database' of 'Store' .* no value: there is no body"
    ):

        @broker.subscriber("numbers")
        class Store:
            def __init__(self, database: object) -> None: ...

            async def receive(self, number: int) -> None: ...


async def test_what_an_actors_constructor_asks_for_is_checked_at_the_start(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("numbers")
    class Store:
        def __init__(self, database: object = Context()) -> None: ...

        async def receive(self, number: int) -> None: ...

    with pytest.raises(DeclarationError, match=r"'database' of 'Store' .* asks the context for"):
        await broker.start()


def test_an_actor_shares_its_subscriber_with_nobody(broker: MemoryBroker) -> None:
    subscriber = broker.subscriber("numbers")

    @subscriber
    class Store:
        async def receive(self, number: int) -> None: ...

    with pytest.raises(
        DeclarationError, match=r"an actor class shares it with nobody: give 'handle' .* its own"
    ):

        @subscriber
        async def handle(number: int) -> None: ...


@pytest.mark.parametrize(("name", "shape"), [("on_start", "self"), ("on_stop", "self, reason")])
def test_a_hook_that_cannot_be_called_is_refused(
    broker: MemoryBroker, name: str, shape: str
) -> None:
    class Store:
        async def receive(self, number: int) -> None: ...

    def not_async(self: object, reason: object = None) -> None: ...

    async def without_self() -> None: ...

    for hook in (not_async, without_self):
        setattr(Store, name, hook)
        with pytest.raises(DeclarationError) as refused:
            broker.subscriber("numbers")(Store)

        assert str(refused.value).endswith(f"has to be `async def {name}({shape})`")


async def test_an_actor_makes_its_own_defaults(broker: MemoryBroker) -> None:
    totals: list[list[int]] = []

    @broker.subscriber("numbers")
    class Seen(msgspec.Struct):
        numbers: list[int] = msgspec.field(default_factory=list)

        async def receive(self, number: int) -> None:
            self.numbers.append(number)
            totals.append([*self.numbers])

    async with TestBroker(broker):
        await broker.publish(1, "numbers")
        await broker.publish(2, "numbers")

    assert totals == [[1], [1, 2]]
