"""What is said of a running application, all of it from one view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Thread

import anyio
import pytest
from anyio import wait_all_tasks_blocked as idle

from callboard import ActorCrash, App, Backoff, MemoryBroker, NotRunning, Supervision
from callboard.watch._view import View, alive, last_standing, unready
from callboard_actors import Node

from ..faulty import FaultyBroker

pytestmark = pytest.mark.anyio

ORDERS = "app/memory/subscriptions/pack(orders)"


def node(id: str, *children: Node, **known: object) -> Node:  # noqa: A002 - the field's name
    kind = "supervisor" if children else "actor"
    return replace(Node(id, kind, "running", children=children, uptime=100.0), **known)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - a test's own words


def view_of(
    worker: Node | None = None, connection: Node | None = None, **subscription: object
) -> View:
    """Look at an application with one subscription, 1000 seconds after its start."""
    pack = node(
        "pack(orders)", node("workers", worker or node("worker-0")), node("pump"), **subscription
    )
    parts = (connection or node("connection"), node("subscriptions", pack))
    return View(tree=node("app", node("memory", *parts), node("observer")), now=1000.0)


def test_what_runs_is_ready_and_alive() -> None:
    view = view_of()

    assert unready(view) == []
    assert alive(view)


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (
            view_of(state="restarting", last_error="Traceback\nx.GaveUp: too often\n"),
            f"{ORDERS} is down: GaveUp: too often",
        ),
        (view_of(state="starting"), f"{ORDERS} is starting"),
        (
            view_of(node("worker-0", streak=3, uptime=0.0, last_error="a.b.LookupError: no")),
            f"{ORDERS}/workers/worker-0 crashes again and again: LookupError: no",
        ),
        (
            view_of(node("worker-0", state="unkillable")),
            f"{ORDERS}/workers/worker-0 lives on although it was cancelled",
        ),
        (
            view_of(connection=node("connection", state="restarting")),
            "app/memory/connection is restarting",
        ),
        (
            view_of(
                connection=node(
                    "connection",
                    details={"lost_at": 960.0, "address": "kafka:9092", "error": "gone\x1b[2J"},
                )
            ),
            r"app/memory has not reached kafka:9092 for 40 s: gone\x1b[2J",
        ),
    ],
)
def test_whatever_keeps_it_from_being_ready_is_said(view: View, reason: str) -> None:
    assert unready(view) == [reason]


@pytest.mark.parametrize(
    "view",
    [
        view_of(node("worker-0", streak=2, uptime=0.0, last_error="LookupError: once")),
        view_of(node("worker-0", streak=7, uptime=61.0)),
        view_of(connection=node("connection", details={"lost_at": 995.0, "address": "a"})),
        view_of(state="stopped", last_exit="normal"),
    ],
)
def test_what_passes_by_itself_or_is_on_purpose_does_not_count(view: View) -> None:
    assert unready(view) == []


def test_what_lives_on_although_it_was_cancelled_is_past_help() -> None:
    assert not alive(view_of(node("worker-0", state="unkillable")))


def test_the_last_subscription_is_the_last_of_all_brokers() -> None:
    one = node("one", node("subscriptions", node("a()"), node("b()", state="restarting")))
    other = node("other", node("subscriptions", node("c()")))

    assert last_standing([(one, "a()")])
    assert not last_standing([(one, "b()")])
    assert not last_standing([(one, "a()"), (other, None)])


async def test_an_application_whose_subscriber_crashes_again_and_again_is_not_ready(
    broker: MemoryBroker,
) -> None:
    @broker.subscriber("good")
    async def good(order: str) -> None: ...

    @broker.subscriber("bad", supervision=Supervision(backoff=Backoff(min=1, max=1)))
    class Bad:
        cured, lives = False, 0

        async def on_start(self) -> None:
            Bad.lives += 1
            if Bad.lives > 1 and not Bad.cured:
                raise ActorCrash("no database")

        async def receive(self, order: str) -> None:
            if not Bad.cured:
                raise ActorCrash("no database")

    app = App(broker)
    await app.start()
    ready = [app.ready]
    await broker.publish("order", "bad")
    for _ in range(300):
        await anyio.sleep(0.5)
        ready.append(app.ready)
    reasons = app.unready
    Bad.cured = True
    await anyio.sleep(800)
    ready.append(app.ready)
    await app.stop()

    assert ready[0]
    assert not any(ready[20:-1])
    assert any("Bad(bad)" in reason for reason in reasons)
    assert ready[-1]


async def test_an_application_is_ready_from_the_end_of_its_start_to_the_stop(
    broker: MemoryBroker,
) -> None:
    app, told = App(broker), list[list[str]]()

    @app.on_startup
    async def first() -> None:
        told.append(app.unready)

    @app.after_startup
    async def second() -> None:
        told.append(app.unready)

    @app.on_shutdown
    async def third() -> None:
        told.append(app.unready)

    await app.start()
    told.append(app.unready)
    await app.stop()
    told.append(app.unready)

    starting, stopping = ["app is starting"], ["app is stopping"]
    assert told == [starting, starting, [], stopping, ["memory is not running"]]


async def test_a_broker_that_has_no_connection_yet_is_not_ready() -> None:
    broker = FaultyBroker()
    broker.faulty.faults["connect"] = 1
    app = App(broker)

    with pytest.raises(Exception, match="nobody answers"):
        await app.start()
    assert not app.ready


def asked_in_a_thread(question: Callable[[], object]) -> tuple[Thread, list[object]]:
    answers: list[object] = []
    thread = Thread(target=lambda: answers.append(question()))
    thread.start()
    return thread, answers


async def test_readiness_may_be_asked_from_any_thread(broker: MemoryBroker) -> None:
    app = App(broker)
    await app.start()
    thread, answers = asked_in_a_thread(lambda: (app.ready, broker.ready, app.view().tree.id))
    await anyio.to_thread.run_sync(thread.join)
    answers.append(await anyio.to_thread.run_sync(lambda: app.ready))
    await app.stop()

    assert answers == [(True, True, "app"), True]


def test_readiness_may_be_asked_when_the_event_loop_has_ended(broker: MemoryBroker) -> None:
    async def leave() -> None:
        await broker.start()

    anyio.run(leave)

    assert broker.unready == ["memory is not running"]


async def test_a_view_of_what_does_not_run_is_refused(broker: MemoryBroker) -> None:
    with pytest.raises(NotRunning):
        broker.slot.live.view()
    with pytest.raises(NotRunning):
        App(broker).view()
    assert App().unready == ["the application has no broker"]
    await idle()
