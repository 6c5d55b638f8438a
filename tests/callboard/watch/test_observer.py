"""What the observer makes of a tree: in virtual time, so that its figures are exact."""

from __future__ import annotations

import logging
from dataclasses import replace

import anyio
import pytest

from callboard import App, DeclarationError, Event, MemoryBroker
from callboard.watch._observer import Observer, walk
from callboard.watch._watchdog import Culprit
from callboard_actors import Node

pytestmark = pytest.mark.anyio

SUBSCRIPTION = "app/memory/subscriptions/pack(orders)"
WORKER = f"{SUBSCRIPTION}/workers/worker-0"


class Stage:
    """The tree of an application with one worker, as a test sets it."""

    def __init__(self) -> None:
        self.taken = 0
        self.hand: dict[str, object] = {}
        self.restarts = 0

    def tree(self) -> Node:
        worker = Node("worker-0", "actor", "running", self.restarts, details=self.hand)
        node = above("workers", worker)
        node = replace(above("pack(orders)", node), details={"queued": 0, "taken": self.taken})
        return above("app", above("memory", above("subscriptions", node)))

    def take(self, token: int, id: str | None = None) -> None:  # noqa: A002 - as in the details
        self.hand = {"address": "orders", "id": id, "token": token}


def above(id: str, node: Node) -> Node:  # noqa: A002 - the field's name
    return Node(id, "supervisor", "running", children=(node,))


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def observer(stage: Stage, events: list[Event]) -> Observer:
    return Observer(
        stage.tree, {"app/memory": events.append}, logger=logging.getLogger("app"), slow=1.0
    )


async def test_a_rate_is_by_the_time_that_has_really_passed(
    stage: Stage, observer: Observer
) -> None:
    observer.look()
    for seconds in (0.3, 1.7, 0.5):
        await anyio.sleep(seconds)
        stage.taken += round(seconds * 100)
        observer.look()

    assert observer.samples[SUBSCRIPTION].rate == pytest.approx(100)


async def test_a_rate_forgets_what_was_before_its_window(stage: Stage, observer: Observer) -> None:
    observer.look()
    stage.taken = 1000
    for _ in range(6):
        await anyio.sleep(1)
        observer.look()

    assert observer.samples[SUBSCRIPTION].rate == 0


async def test_a_count_that_begins_anew_makes_no_negative_rate(
    stage: Stage, observer: Observer
) -> None:
    for taken in (500, 510, 0, 20):
        stage.taken = taken
        observer.look()
        await anyio.sleep(1)

    assert observer.samples[SUBSCRIPTION].rate == 20


async def test_a_workload_is_the_part_of_the_window_without_waiting(
    stage: Stage, observer: Observer
) -> None:
    for number in range(10):
        stage.hand = {"idle": number * 0.75}
        observer.look()
        await anyio.sleep(1)

    assert observer.samples[WORKER].workload == pytest.approx(25)


async def test_a_worker_that_is_down_does_no_work(stage: Stage, observer: Observer) -> None:
    for hand in ({"idle": 0.0}, {"idle": 0.0}, {}, {"idle": 0.0}, {"idle": 1.0}):
        stage.hand = dict[str, object](hand)
        observer.look()
        await anyio.sleep(1)

    assert observer.samples[WORKER].workload == pytest.approx(25)


async def test_a_message_is_in_hand_anew_when_its_worker_was_restarted(
    stage: Stage, observer: Observer
) -> None:
    stage.take(7, "poison")
    observer.look()
    await anyio.sleep(0.5)
    stage.restarts += 1
    observer.look()

    assert observer.samples[WORKER].elapsed == 0


async def test_a_slow_message_is_reported_once_with_the_path_in_the_tree(
    stage: Stage, observer: Observer, events: list[Event]
) -> None:
    stage.take(7, "m1")
    for _ in range(6):
        observer.look()
        await anyio.sleep(0.5)

    assert [(event.name, event.path) for event in events] == [("handler.slow", WORKER)]
    assert events[0].attributes == {"threshold": 1.0, "message": "orders#m1"}


async def test_a_lag_names_who_kept_the_loop(observer: Observer, events: list[Event]) -> None:
    observer.lag(0.4, Culprit(WORKER, "shop.py:2 in pack"))

    (event,) = events
    assert (event.name, event.path) == ("loop.lag", WORKER)
    assert event.attributes == {"seconds": 0.4, "where": "shop.py:2 in pack"}


async def test_a_lag_that_is_no_actor_s_is_the_application_s(
    observer: Observer, events: list[Event]
) -> None:
    observer.lag(0.4, Culprit("", "shop.py:1 in hook"))

    assert [event.path for event in events] == ["app"]


@pytest.mark.parametrize("slow", [0, -1, float("nan")])
async def test_a_threshold_that_is_no_time_is_refused(slow: float) -> None:
    with pytest.raises(DeclarationError, match="must be seconds, more than 0"):
        App(slow=slow)


async def test_what_is_slow_is_up_to_the_application(broker: MemoryBroker) -> None:
    events: list[Event] = []
    broker.events.subscribe(events.append)
    app = App(broker, slow=3.0)

    @broker.subscriber("orders")
    async def pack(order: int) -> None:
        await anyio.sleep(5)

    await observed(app, broker, seconds=6)

    (event,) = [event for event in events if event.name == "handler.slow"]
    assert event.path == WORKER
    assert event.attributes["threshold"] == 3.0
    assert event.at == pytest.approx(3.0, abs=1.0)


async def test_every_path_of_an_event_of_the_tree_is_a_path_in_the_tree(
    broker: MemoryBroker,
) -> None:
    events: list[Event] = []
    twin = MemoryBroker()
    app = App(broker, twin, slow=1.0)

    @twin.subscriber("orders")
    async def pack(order: int) -> None:
        await anyio.sleep(5)

    twin.events.subscribe(events.append)
    paths = await observed(app, twin, seconds=3)

    told = {e.path for e in events if e.name.partition(".")[0] in {"actor", "handler", "loop"}}
    assert told <= paths
    assert "app/memory-2/subscriptions/pack(orders)/workers/worker-0" in told


async def observed(app: App, broker: MemoryBroker, seconds: float) -> set[str]:
    """Publish a message, let *app* observe itself for a while; return the paths in its tree."""
    await app.start()
    await broker.publish(1, "orders")
    await anyio.sleep(seconds)
    paths = {"app", *(path for path, _ in walk(app.tree(), "app"))}
    await app.stop()
    return paths


async def test_a_tree_shows_what_waits_and_what_is_in_hand(broker: MemoryBroker) -> None:
    app, go = App(broker), anyio.Event()

    @broker.subscriber("orders", max_workers=2, ordered_by="none")
    async def pack(order: int) -> None:
        await go.wait()

    await app.start()
    for number in range(5):
        await broker.publish(number, "orders", message_id=f"m{number}")
    await anyio.sleep(2)
    nodes = dict(walk(app.tree(), "app"))
    go.set()
    await app.stop()

    details = nodes[SUBSCRIPTION].details
    assert (details["queued"], details["in_flight"], details["taken"]) == (3, 2, 5)
    assert details["bytes"] == 3
    assert details["oldest_age"] == pytest.approx(2)
    hands = [nodes[f"{SUBSCRIPTION}/workers/worker-{n}"].details for n in range(2)]
    assert {(hand["address"], hand["id"]) for hand in hands} == {("orders", "m0"), ("orders", "m1")}


async def test_the_figures_of_a_live_application_fit_what_it_does(
    broker: MemoryBroker,
) -> None:
    app = App(broker)

    @broker.subscriber("orders")
    async def pack(order: int) -> None:
        await anyio.sleep(0.75)

    await app.start()
    for number in range(20):
        await broker.publish(number, "orders")
        await anyio.sleep(1)
    samples = app.view().samples
    await app.stop()

    assert samples[SUBSCRIPTION].rate == pytest.approx(1, abs=0.1)
    assert samples[WORKER].workload == pytest.approx(75, abs=3)


async def test_every_message_has_a_token_of_its_own(broker: MemoryBroker) -> None:
    app, tokens = App(broker), list[object]()

    @broker.subscriber("orders")
    async def pack(order: int) -> None:
        # Each delivery may lie where the one before was: only its `id` would be the same.
        tokens.append(dict(walk(app.tree(), "app"))[WORKER].details["token"])

    await app.start()
    for number in range(100):
        await broker.publish(number, "orders")
    await anyio.sleep(1)
    await app.stop()

    assert len(set(tokens)) == 100
