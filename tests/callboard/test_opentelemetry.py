"""What is traced: each test has an exporter of its own, which keeps the spans."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any

import pytest
from anyio import sleep, to_thread, wait_all_tasks_blocked
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags

from callboard import (
    DeclarationError,
    MemoryBroker,
    Message,
    NackMessage,
    Retry,
    TestBroker,
)
from callboard.kafka import KafkaBroker
from callboard.kafka.opentelemetry import KafkaTelemetryMiddleware
from callboard.memory import MemoryRouter
from callboard.nats import NatsBroker
from callboard.opentelemetry import SCHEMA_URL, Baggage, CurrentBaggage, CurrentSpan, Tracing
from callboard.rabbit import RabbitBroker, RabbitExchange, RabbitQueue
from callboard_brokers import BrokerError

from .faulty import FaultyBroker

pytestmark = pytest.mark.anyio


class Traces:
    """Spans that have ended, by their names."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def instrument(self, **options: Any) -> Tracing:
        return Tracing(tracer_provider=self.provider, **options)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def __getitem__(self, name: str) -> ReadableSpan:
        [span] = self.all(name)
        return span

    def all(self, name: str) -> Sequence[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    @property
    def tree(self) -> Mapping[str, str | None]:
        """The name of each span's parent, by its own."""
        names = {span.context.span_id: span.name for span in self.spans if span.context}
        return {
            span.name: None if span.parent is None else names[span.parent.span_id]
            for span in self.spans
        }


def ids(*contexts: SpanContext | None) -> list[int]:
    """Return the spans that these are of; one that came over the wire is remote, and else equal."""
    return [each.span_id for each in contexts if each is not None]


def said(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


@pytest.fixture
def traces() -> Traces:
    return Traces()


@pytest.fixture
def broker(traces: Traces) -> MemoryBroker:
    return MemoryBroker(instruments=[traces.instrument()])


async def deliver(broker: MemoryBroker, *bodies: object, **options: Any) -> None:
    async with broker:
        await broker.start()
        for body in bodies:
            await broker.publish(body, "orders", **options)
        await wait_all_tasks_blocked()


async def test_a_message_and_all_that_follows_from_it_is_one_trace(
    broker: MemoryBroker, traces: Traces
) -> None:
    @broker.subscriber("orders")
    @broker.publisher("invoices")
    async def price(order: int) -> int:
        await broker.publish(order, "copies")
        return order

    @broker.subscriber("invoices")
    def send(invoice: int) -> None: ...

    await deliver(broker, 1)

    assert traces.tree == {
        "publish orders": None,
        "process orders": "publish orders",
        "publish copies": "process orders",
        "publish invoices": "process orders",
        "process invoices": "publish invoices",
    }
    assert len({span.context.trace_id for span in traces.spans if span.context}) == 1


async def test_spans_say_what_the_conventions_ask_for(broker: MemoryBroker, traces: Traces) -> None:
    @broker.subscriber("orders")
    async def price(order: int) -> None: ...

    await deliver(broker, 1, message_id="m-1", correlation_id="c-1")

    published, processed = traces["publish orders"], traces["process orders"]
    alike = {
        "messaging.system": "memory",
        "messaging.destination.name": "orders",
        "messaging.message.id": "m-1",
        "messaging.message.conversation_id": "c-1",
    }
    assert published.kind is SpanKind.PRODUCER
    assert said(published) == alike | {
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
    }
    assert processed.kind is SpanKind.CONSUMER
    assert said(processed) == alike | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "callboard.subscriber": "price(orders)",
    }
    assert ids(*[link.context for link in processed.links]) == ids(published.context)
    scope = processed.instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.schema_url) == ("callboard", SCHEMA_URL)


async def test_with_links_only_each_message_is_handled_in_a_trace_of_its_own(
    traces: Traces,
) -> None:
    broker = MemoryBroker(instruments=[traces.instrument(links_only=True)])

    @broker.subscriber("orders")
    async def price(order: int) -> None: ...

    await deliver(broker, 1)

    published, processed = traces["publish orders"], traces["process orders"]
    assert processed.parent is None
    assert ids(*[link.context for link in processed.links]) == ids(published.context)


async def test_a_batch_is_linked_to_each_of_its_messages(
    broker: MemoryBroker, traces: Traces
) -> None:
    @broker.subscriber("orders", batch=True)
    async def price(orders: list[int]) -> None: ...

    await deliver(broker, 1, 2, 3)

    processed = traces["process orders"]
    assert processed.parent is None
    assert said(processed)["messaging.batch.message_count"] == 3
    links = {link.context.span_id: link for link in processed.links}
    assert [*links] == ids(*[span.context for span in traces.all("publish orders")])
    assert all("messaging.message.id" in (link.attributes or {}) for link in links.values())


async def test_a_batch_that_is_published_has_a_span_for_each_message(traces: Traces) -> None:
    broker = KafkaBroker(instruments=[traces.instrument()])

    @broker.subscriber("orders")
    async def price(order: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish_batch(1, 2, topic="orders")

    published, created = traces["publish orders"], traces.all("create orders")
    assert published.kind is SpanKind.CLIENT
    assert said(published)["messaging.batch.message_count"] == 2
    assert [link.context for link in published.links] == [span.context for span in created]
    parents = [span.parent for span in traces.all("process orders")]
    assert ids(*parents) == ids(*[span.context for span in created])


async def test_messages_of_a_batch_carry_its_span_if_they_are_to_have_none(
    traces: Traces,
) -> None:
    broker = KafkaBroker(instruments=[traces.instrument(create_spans=False)])

    @broker.subscriber("orders")
    async def price(order: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish_batch(1, 2, topic="orders")

    published = traces["publish orders"]
    assert published.kind is SpanKind.PRODUCER
    parents = [span.parent for span in traces.all("process orders")]
    assert ids(*parents) == ids(published.context) * 2


async def test_a_retry_is_a_span_of_the_same_trace_with_its_number(
    broker: MemoryBroker, traces: Traces
) -> None:
    @broker.subscriber("orders", retry=Retry(attempts=2))
    async def price(order: int, message: Message) -> None:
        if message.attempt == 1:
            raise LookupError("no stock")

    async with broker:
        await broker.start()
        await broker.publish(1, "orders")
        await sleep(1)

    first, second = traces.all("process orders")
    assert ids(first.parent, second.parent) == ids(traces["publish orders"].context) * 2
    assert first.status.status_code is StatusCode.ERROR
    assert said(first)["error.type"] == "LookupError"
    assert [event.name for event in first.events] == ["exception"]
    assert "callboard.attempt" not in said(first)
    assert said(second)["callboard.attempt"] == 2
    assert second.status.status_code is StatusCode.UNSET


async def test_a_dead_letter_follows_from_the_failure_and_keeps_where_it_came_from(
    traces: Traces,
) -> None:
    broker = MemoryBroker(instruments=[traces.instrument()], dead_letter="dead")
    letters: list[Mapping[str, object]] = []

    @broker.subscriber("orders")
    async def price(order: int) -> None:
        raise LookupError("no stock")

    @broker.subscriber("dead")
    async def bury(order: int, message: Message) -> None:
        letters.append(message.headers)

    await deliver(broker, 1)

    assert traces.tree["publish dead"] == "process orders"
    assert traces.tree["process dead"] == "publish dead"
    origin = traces["publish orders"].context
    assert origin is not None
    assert f"{origin.span_id:016x}" in str(letters[0]["x-original-traceparent"])


async def test_a_decision_is_no_error(broker: MemoryBroker, traces: Traces) -> None:
    @broker.subscriber("orders")
    async def price(order: int) -> None:
        raise NackMessage(3600)

    await deliver(broker, 1)

    processed = traces["process orders"]
    assert processed.status.status_code is StatusCode.UNSET
    assert said(processed)["callboard.decision"] == "NackMessage"
    assert "error.type" not in said(processed)


async def test_what_cannot_be_published_is_an_error_of_its_span(traces: Traces) -> None:
    broker = FaultyBroker(instruments=[traces.instrument()])
    async with broker:
        await broker.start()
        broker.faulty.faults["orders"] = 1
        with pytest.raises(BrokerError):
            await broker.publish(1, "orders")

    published = traces["publish orders"]
    assert published.status.status_code is StatusCode.ERROR
    assert said(published)["error.type"].endswith(".PublishFailed")


async def test_a_span_ends_when_its_message_has_arrived(traces: Traces) -> None:
    broker = FaultyBroker(instruments=[traces.instrument()])
    broker.faulty.late = {"orders": 5.0}
    async with broker:
        await broker.start()
        await broker.publish(1, "orders")

    published = traces["publish orders"]
    assert published.end_time is not None
    assert published.status.status_code is StatusCode.UNSET


async def test_a_context_that_the_user_gives_is_left_as_it_is(
    broker: MemoryBroker, traces: Traces
) -> None:
    given = f"00-{7:032x}-{8:016x}-01"

    @broker.subscriber("orders")
    async def price(order: int) -> None: ...

    await deliver(broker, 1, headers={"traceparent": given})

    published, processed = traces["publish orders"], traces["process orders"]
    assert published.kind is SpanKind.CLIENT
    assert [link.context.span_id for link in published.links] == [8]
    assert processed.parent is not None
    assert (processed.parent.trace_id, processed.parent.span_id) == (7, 8)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00-",
        "nonsense\n\x00",
        f"00-{0:032x}-{0:016x}-01",
        f"ff-{7:032x}-{8:016x}-01",
        f"00-{7:032x}-{8:016x}-zz",
        "00-" + "0x" * 16 + f"-{8:016x}-01",
        b"\xff\xfe",
        17,
        None,
    ],
)
async def test_a_malformed_context_is_none(
    broker: MemoryBroker, traces: Traces, given: Any
) -> None:
    @broker.subscriber("orders")
    async def price(order: int) -> None: ...

    await deliver(broker, 1, headers={"traceparent": given, "baggage": given, "tracestate": given})

    processed = traces["process orders"]
    assert (processed.parent, processed.links) == (None, ())


async def test_a_message_from_a_template_is_called_by_it(
    broker: MemoryBroker, traces: Traces
) -> None:
    @broker.subscriber("orders.{shop}")
    async def price(order: int) -> None: ...

    async with broker:
        await broker.start()
        await broker.publish(1, "orders.17")
        await wait_all_tasks_blocked()

    processed = said(traces["process orders.{shop}"])
    assert processed["messaging.destination.template"] == "orders.{shop}"
    assert processed["messaging.destination.name"] == "orders.17"


async def test_an_answer_has_a_span_without_a_place(broker: MemoryBroker, traces: Traces) -> None:
    @broker.subscriber("orders")
    async def price(order: int) -> int:
        return order * 2

    async with broker:
        await broker.start()
        answer = await broker.request(1, "orders")

    assert await answer.decode() == 2
    assert traces.tree == {
        "publish orders": None,
        "process orders": "publish orders",
        "publish": "process orders",
    }


async def test_handlers_get_the_span_of_their_message(broker: MemoryBroker, traces: Traces) -> None:
    @broker.subscriber("orders")
    def price(order: int, span: CurrentSpan) -> None:
        span.set_attribute("shop.order", order)
        with trace.get_tracer("mine", tracer_provider=traces.provider).start_as_current_span("own"):
            pass

    await deliver(broker, 7)

    assert said(traces["process orders"])["shop.order"] == 7
    assert traces.tree["own"] == "process orders"


async def test_baggage_reaches_handlers_and_their_changes_what_they_publish(
    broker: MemoryBroker,
) -> None:
    seen: list[Mapping[str, object]] = []

    @broker.subscriber("orders")
    @broker.publisher("invoices")
    def price(order: int, held: CurrentBaggage) -> int:
        seen.append(held.get_all())
        held.set("shop", "3")
        held.remove("user")
        return order

    @broker.subscriber("invoices")
    async def send(invoice: int, held: CurrentBaggage) -> None:
        seen.append(held.get_all())
        seen.append(baggage.get_all())

    await deliver(broker, 1, headers=Baggage({"user": "alice é"}).to_headers())

    assert seen == [{"user": "alice é"}, {"shop": "3"}, {"shop": "3"}]


async def test_baggage_of_the_running_context_travels(broker: MemoryBroker) -> None:
    seen: list[Mapping[str, object]] = []

    @broker.subscriber("orders")
    async def price(order: int) -> None:
        seen.append(baggage.get_all())

    token = context.attach(baggage.set_baggage("user", "alice"))
    await deliver(broker, 1)
    context.detach(token)

    assert seen == [{"user": "alice"}]


async def test_baggage_of_a_batch_is_there_for_all_and_for_each(broker: MemoryBroker) -> None:
    seen: list[object] = []

    @broker.subscriber("orders", batch=True)
    async def price(orders: list[int], held: CurrentBaggage) -> None:
        seen.extend((held.get_all(), held.get_all_batch(), held.get("user")))
        held.clear()
        seen.append(held.get_all())

    async with broker:
        await broker.start()
        for user in ("alice", "bob"):
            headers = Baggage({"user": user, user: "1"}).to_headers({"shop": "3"})
            await broker.publish(1, "orders", headers=headers)
        await wait_all_tasks_blocked()

    alice, bob = {"user": "alice", "alice": "1"}, {"user": "bob", "bob": "1"}
    assert seen == [alice | bob, [alice, bob], "bob", {}]


async def test_nothing_of_a_message_outlives_it(broker: MemoryBroker, traces: Traces) -> None:
    before = context.get_current()
    kept: list[weakref.ref[object]] = []

    @broker.subscriber("orders")
    async def price(order: int, span: CurrentSpan, held: CurrentBaggage) -> None:
        kept.append(weakref.ref(held))
        kept.append(weakref.ref(context.get_current()))
        assert baggage.get_all() == {}
        held.set("order", str(order))

    async with broker:
        await broker.start()
        for order in range(3):
            await broker.publish(order, "orders")
            await wait_all_tasks_blocked()
        gc.collect()
        assert [each() for each in kept] == [None] * 6

    assert context.get_current() is before
    assert all(span.parent for span in traces.all("process orders"))


async def test_what_is_not_sampled_is_carried_on_as_such() -> None:
    traces, headers = Traces(sampler=ALWAYS_OFF), list[object]()
    broker = MemoryBroker(instruments=[traces.instrument()])

    @broker.subscriber("orders")
    async def price(order: int, message: Message) -> None:
        headers.append(message.headers["traceparent"])

    await deliver(broker, 1)

    assert int(str(headers[0])[-2:], 16) & TraceFlags.SAMPLED == 0
    assert not traces.spans


async def test_without_an_sdk_contexts_are_carried_on() -> None:
    broker, given = MemoryBroker(instruments=[Tracing()]), f"00-{7:032x}-{8:016x}-01"
    seen: list[object] = []

    @broker.subscriber("orders")
    @broker.publisher("invoices")
    async def price(order: int) -> int:
        return order

    @broker.subscriber("invoices")
    async def send(invoice: int, message: Message) -> None:
        seen.append(message.headers["traceparent"])

    await deliver(broker, 1, headers={"traceparent": given})

    assert seen == [given]


async def test_settlements_have_spans_if_they_are_to(traces: Traces) -> None:
    broker = MemoryBroker(instruments=[traces.instrument(settle_spans=True)])

    @broker.subscriber("orders")
    async def price(order: int) -> None: ...

    await deliver(broker, 1)

    settled = traces["ack orders"]
    assert settled.kind is SpanKind.CLIENT
    assert traces.tree["ack orders"] == "process orders"
    assert said(settled)["messaging.operation.type"] == "settle"


class Hanging(SpanExporter):
    """Exports nothing before it is let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = Event(), Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.let_go.wait(30)
        return SpanExportResult.FAILURE


async def test_nobody_waits_for_an_exporter() -> None:
    exporter, provider, handled = Hanging(), TracerProvider(), list[int]()
    processor = BatchSpanProcessor(exporter, max_queue_size=8, max_export_batch_size=1)
    provider.add_span_processor(processor)
    broker = MemoryBroker(instruments=[Tracing(tracer_provider=provider)])

    @broker.subscriber("orders")
    async def price(order: int) -> None:
        handled.append(order)

    await deliver(broker, *range(50))

    assert handled == [*range(50)]
    assert await to_thread.run_sync(exporter.asked.wait, 30)
    exporter.let_go.set()
    await to_thread.run_sync(provider.shutdown)


class Broken(SpanProcessor):
    """Fails at each end of a span."""

    def on_end(self, span: ReadableSpan) -> None:
        raise OSError("no disk")


async def test_what_fails_in_tracing_is_said_once_and_no_failure_of_a_message(
    traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    traces.provider.add_span_processor(Broken())
    broker, handled = MemoryBroker(instruments=[traces.instrument()]), list[int]()

    @broker.subscriber("orders")
    async def price(order: int) -> None:
        handled.append(order)

    with caplog.at_level(logging.ERROR, "callboard.opentelemetry"):
        await deliver(broker, 1, 2)

    assert handled == [1, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "tracing has failed, and messages go without: no disk"
    ]


async def test_durations_are_measured_and_messages_counted() -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    broker = MemoryBroker(
        instruments=[Tracing(meter_provider=meters, include_messages_counters=True)]
    )

    @broker.subscriber("orders")
    async def price(order: int) -> None:
        if order == 2:
            raise LookupError("no stock")

    await deliver(broker, 1, 2)

    found = points(reader)
    place = {"messaging.system": "memory", "messaging.destination.name": "orders"}
    process = {**place, "messaging.operation.name": "process"}
    publish = {**place, "messaging.operation.name": "publish"}
    assert found["messaging.process.duration"] == [
        (process, 1),
        ({**process, "error.type": "LookupError"}, 1),
    ]
    assert found["messaging.client.operation.duration"] == [(publish, 2)]
    assert found["messaging.client.consumed.messages"] == [(process, 2)]
    assert found["messaging.client.sent.messages"] == [(publish, 2)]


def points(reader: InMemoryMetricReader) -> Mapping[str, Sequence[tuple[object, int]]]:
    """Return of each metric its attributes, and how much was counted by them."""
    data = reader.get_metrics_data()
    assert data is not None
    [resource] = data.resource_metrics
    [scope] = resource.scope_metrics
    assert scope.schema_url == SCHEMA_URL
    return {
        metric.name: [
            (dict(point.attributes or {}), getattr(point, "count", getattr(point, "value", 0)))
            for point in metric.data.data_points
        ]
        for metric in scope.metrics
    }


async def test_records_of_kafka_say_where_they_stand(traces: Traces) -> None:
    broker = KafkaBroker(
        "kafka.test:9092", middlewares=[KafkaTelemetryMiddleware(tracer_provider=traces.provider)]
    )

    @broker.subscriber("orders", group_id="prices")
    async def price(order: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "orders", key="k-1")

    processed = said(traces["process orders"])
    assert processed["messaging.system"] == "kafka"
    assert processed["messaging.consumer.group.name"] == "prices"
    assert processed["server.address"] == "kafka.test"
    assert processed["server.port"] == 9092
    assert said(traces["publish orders"])["messaging.kafka.message.key"] == "k-1"


async def test_queues_of_rabbitmq_are_called_by_exchange_key_and_queue(traces: Traces) -> None:
    broker = RabbitBroker("amqp://guest:secret@rabbit.test/", instruments=[traces.instrument()])
    exchange = RabbitExchange("shop", type="topic")

    @broker.subscriber(RabbitQueue("prices", routing_key="orders.new"), exchange)
    async def price(order: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, exchange=exchange, routing_key="orders.new")

    assert "publish shop:orders.new" in traces.tree
    processed = said(traces["process shop:orders.new:prices"])
    assert processed["messaging.system"] == "rabbitmq"
    assert processed["messaging.rabbitmq.destination.routing_key"] == "orders.new"
    assert "secret" not in str([span.to_json() for span in traces.spans])


async def test_subjects_of_nats_are_called_by_their_template(traces: Traces) -> None:
    broker = NatsBroker("nats://nats.test:4222", instruments=[traces.instrument()])

    @broker.subscriber("orders.*", queue="prices")
    async def price(order: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "orders.17")

    processed = said(traces["process orders.*"])
    assert processed["messaging.destination.name"] == "orders.17"
    assert processed["messaging.consumer.group.name"] == "prices"


def test_an_instrument_is_for_a_broker_and_no_router() -> None:
    with pytest.raises(
        DeclarationError, match="is an instrument, which looks at all that a broker"
    ):
        MemoryRouter(middlewares=[Tracing()])


async def test_an_instrument_may_be_added_as_a_middleware(
    broker: MemoryBroker, traces: Traces
) -> None:
    plain = MemoryBroker()
    plain.add_middleware(traces.instrument())

    @plain.subscriber("orders")
    async def price(order: int) -> None: ...

    await deliver(plain, 1)

    assert "process orders" in traces.tree
