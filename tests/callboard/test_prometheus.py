"""What Prometheus is shown: each test scrapes a registry of its own."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from prometheus_client import CollectorRegistry, generate_latest

from callboard import (
    AckMessage,
    AckPolicy,
    App,
    DeclarationError,
    MemoryBroker,
    Message,
    NackMessage,
    RejectMessage,
    SkipMessage,
    TestBroker,
)
from callboard.prometheus import Prometheus
from callboard.prometheus._tally import MOST, Histogram
from callboard_brokers import BrokerError

from .faulty import FaultyBroker

pytestmark = pytest.mark.anyio


class Page:
    """A registry, and what its page says."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"callboard_{name}", labels)

    @property
    def names(self) -> set[str]:
        return {sample.name for metric in self.registry.collect() for sample in metric.samples}


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def broker(page: Page) -> MemoryBroker:
    return MemoryBroker(instruments=[Prometheus(registry=page.registry, app_name="shop")])


ORDERS = {"app_name": "shop", "broker": "memory", "handler": "orders"}


async def deliver(broker: MemoryBroker, *bodies: object) -> None:
    async with broker:
        await broker.start()
        for body in bodies:
            await broker.publish(body, "orders")
        await wait_all_tasks_blocked()


async def test_what_is_received_and_published_is_counted(broker: MemoryBroker, page: Page) -> None:
    in_process: list[float | None] = []

    @broker.subscriber("orders")
    @broker.publisher("invoices")
    async def handle(order: str) -> str:
        in_process.append(page("received_messages_in_process", **ORDERS))
        await anyio.sleep(0.3)
        return order

    await deliver(broker, "a" * 64, "b" * 65)

    assert page("received_messages_total", **ORDERS) == 2
    assert in_process == [1, 1]
    assert page("received_messages_in_process", **ORDERS) == 0
    assert page("received_messages_size_bytes_bucket", **ORDERS, le="64.0") == 1
    assert page("received_messages_size_bytes_bucket", **ORDERS, le="256.0") == 2
    assert page("received_messages_size_bytes_sum", **ORDERS) == 129
    assert page("received_processed_messages_total", **ORDERS, status="acked") == 2
    assert page("received_processed_messages_duration_seconds_count", **ORDERS) == 2
    invoices = {"app_name": "shop", "broker": "memory", "destination": "invoices"}
    assert page("published_messages_total", **invoices, status="success") == 2
    assert page("published_messages_duration_seconds_count", **invoices) == 2


@pytest.mark.parametrize(
    ("error", "status", "exceptions"),
    [
        (LookupError("no stock"), "error", 1),
        (AckMessage(), "acked", None),
        (NackMessage(3600), "nacked", None),
        (RejectMessage("stale"), "rejected", None),
        (SkipMessage(), "skipped", None),
    ],
)
async def test_a_failure_has_its_status_and_is_no_exception_if_it_was_a_decision(
    broker: MemoryBroker, page: Page, error: Exception, status: str, exceptions: int | None
) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        raise error

    await deliver(broker, 1)

    assert page("received_processed_messages_total", **ORDERS, status=status) == 1
    found = page(
        "received_processed_messages_exceptions_total",
        **ORDERS,
        exception_type=type(error).__name__,
    )
    assert found == exceptions


async def test_what_was_settled_by_hand_counts_as_that(broker: MemoryBroker, page: Page) -> None:
    @broker.subscriber("orders", ack_policy=AckPolicy.MANUAL)
    async def handle(order: int, message: Message) -> None:
        await message.reject()

    await deliver(broker, 1)

    assert page("received_processed_messages_total", **ORDERS, status="rejected") == 1


async def test_a_batch_counts_each_of_its_messages(broker: MemoryBroker, page: Page) -> None:
    @broker.subscriber("orders", batch=True)
    async def handle(orders: list[int]) -> None: ...

    await deliver(broker, 10, 200, 3000)

    assert page("received_messages_total", **ORDERS) == 3
    assert page("received_processed_messages_total", **ORDERS, status="acked") == 3
    assert page("received_messages_size_bytes_sum", **ORDERS) == 9


async def test_what_cannot_be_published_is_counted(page: Page) -> None:
    broker = FaultyBroker(instruments=[Prometheus(registry=page.registry)])

    async with broker:
        await broker.start()
        broker.faulty.faults["orders"] = 1
        with pytest.raises(BrokerError):
            await broker.publish(1, "orders")

    orders = {"app_name": "callboard", "broker": "memory", "destination": "orders"}
    assert page("published_messages_total", **orders, status="error") == 1
    assert page("published_messages_total", **orders, status="success") is None


async def test_answers_have_one_label_together(broker: MemoryBroker, page: Page) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> int:
        return order

    async with broker:
        await broker.start()
        for number in range(3):
            await broker.request(number, "orders")

    answers = {"app_name": "shop", "broker": "memory", "destination": "(answer)"}
    assert page("published_messages_total", **answers, status="success") == 3


async def test_labels_of_ones_own_are_texts_or_asked_of_the_record(page: Page) -> None:
    def first(raw: object) -> str:
        return "none" if raw is None else "some"

    labels: dict[str, Any] = {"team": "sales", "first": first}
    broker = MemoryBroker(
        instruments=[Prometheus(registry=page.registry, app_name="shop", custom_labels=labels)]
    )

    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    await deliver(broker, 1)

    sample = page.registry.get_sample_value(
        "callboard_published_messages_total",
        {"app_name": "shop", "broker": "memory", "destination": "orders", "team": "sales"}
        | {"first": "none", "status": "success"},
    )
    assert sample == 1
    assert 'team="sales"' in generate_latest(page.registry).decode()


async def test_values_of_labels_are_bounded_and_that_is_said_once(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    broker = MemoryBroker(instruments=[Prometheus(registry=page.registry)])
    with caplog.at_level(logging.WARNING, "callboard.prometheus"):
        async with broker:
            await broker.start()
            for number in range(MOST + 5):
                await broker.publish(number, f"orders.{number}")

    other = {"app_name": "callboard", "broker": "memory", "destination": "(other)"}
    assert page("published_messages_total", **other, status="success") == 5
    assert caplog.text.count("others are counted as (other)") == 1


async def test_two_on_one_registry_share_their_metrics(page: Page) -> None:
    brokers = [
        MemoryBroker(instruments=[Prometheus(registry=page.registry, app_name=name)])
        for name in ("shop", "office")
    ]
    for broker in brokers:
        async with broker:
            await broker.start()
            await broker.publish(1, "orders")

    for name in ("shop", "office"):
        labels = {"app_name": name, "broker": "memory", "destination": "orders"}
        assert page("published_messages_total", **labels, status="success") == 1


def test_labels_that_do_not_fit_are_refused(page: Page) -> None:
    Prometheus(registry=page.registry)
    with pytest.raises(DeclarationError, match=r"have \(\) already"):
        Prometheus(registry=page.registry, custom_labels={"team": "sales"})
    with pytest.raises(DeclarationError, match="'handler' is a label already"):
        Prometheus(registry=CollectorRegistry(), custom_labels={"handler": "x"})


async def test_the_tree_of_an_application_is_shown(page: Page) -> None:
    metrics = Prometheus(registry=page.registry)
    broker = MemoryBroker(instruments=[metrics])
    app = App(broker)
    metrics.watch(app)
    entered, go_on = anyio.Event(), anyio.Event()

    @broker.subscriber("orders", dead_letter="orders.dead")
    async def handle(order: int) -> None:
        entered.set()
        await go_on.wait()
        raise LookupError(order)

    assert "callboard_up" not in page.names  # nothing runs yet, and a scrape is no error
    async with app:
        for number in range(3):
            await broker.publish(number, "orders")
        await entered.wait()
        await wait_all_tasks_blocked()
        path = "app/memory/subscriptions/handle(orders)"
        assert page("up", path=path) == 1
        assert page("mailbox_messages", path=path) == 2
        assert page("mailbox_bytes", path=path) == 2
        assert page("in_flight_messages", path=path) == 1
        assert page("restarts_total", path=path) == 0
        scraped = await anyio.to_thread.run_sync(generate_latest, page.registry)
        assert f'callboard_mailbox_messages{{path="{path}"}} 2.0' in scraped.decode()
        go_on.set()
        await wait_all_tasks_blocked()
        assert page("events_total", broker="memory", event="message.exception") == 3


def test_a_scrape_in_a_thread_of_its_own_shows_what_there_is_though_nothing_runs(
    page: Page,
) -> None:
    metrics = Prometheus(registry=page.registry)
    metrics.watch(App(MemoryBroker(instruments=[metrics])))
    with ThreadPoolExecutor(1) as threads:  # as that of `start_http_server`: no loop is near
        scraped = threads.submit(generate_latest, page.registry).result()

    assert b"callboard_received_messages_total" in scraped


async def test_under_test_the_instruments_are_there(broker: MemoryBroker, page: Page) -> None:
    @broker.subscriber("orders")
    async def handle(order: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "orders")

    assert page("received_messages_total", **ORDERS) == 1


async def test_a_label_that_raises_fails_no_message(page: Page) -> None:
    def raises(_raw: object) -> str:
        raise LookupError

    broker = MemoryBroker(
        instruments=[Prometheus(registry=page.registry, custom_labels={"team": raises})]
    )
    handled: list[int] = []

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        handled.append(order)

    await deliver(broker, 1)

    assert handled == [1]
    assert 'team="(failed)"' in generate_latest(page.registry).decode()


async def test_what_is_rejected_by_hand_counts_as_rejected_wherever_its_letter_goes(
    page: Page,
) -> None:
    broker = MemoryBroker(instruments=[Prometheus(registry=page.registry)])

    @broker.subscriber("orders", dead_letter="dead")
    async def handle(order: int, message: Message) -> None:
        await message.reject()

    await deliver(broker, 1)

    shown = generate_latest(page.registry).decode()
    assert 'status="rejected"' in shown
    assert 'handler="orders",status="acked"' not in shown


async def test_what_is_cancelled_is_in_process_no_more(broker: MemoryBroker, page: Page) -> None:
    entered = anyio.Event()

    @broker.subscriber("orders")
    async def handle(order: int) -> None:
        entered.set()
        await anyio.sleep_forever()

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await entered.wait()
        assert page("received_messages_in_process", **ORDERS) == 1

    assert page("received_messages_total", **ORDERS) == 1
    assert page("received_messages_in_process", **ORDERS) == 0
    assert page("received_processed_messages_total", **ORDERS, status="acked") is None


def test_values_are_counted_once_though_two_threads_sort_them_in() -> None:
    histogram = Histogram([10.0, 100.0])
    with ThreadPoolExecutor(2) as threads:
        for number in range(20_000):
            histogram.fresh.append(float(number % 200))
            if number % 500 == 0:
                threads.submit(histogram.settle)

    buckets, total = histogram.read()

    assert buckets == [("10.0", 1_100), ("100.0", 10_100), ("+Inf", 20_000)]
    assert total == sum(range(200)) * 100
    assert not histogram.fresh
