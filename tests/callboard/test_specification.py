"""The AsyncAPI document of what was declared."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import yaml
from pydantic import BaseModel, Field, computed_field

from callboard import App, Broker, Header, MemoryBroker, Message, Response
from callboard.extending import BrokerKind, BrokerOptions
from callboard.kafka import KafkaBroker, TopicPartition
from callboard.memory import MemoryRouter, MemoryTarget
from callboard.specification import AsyncAPI
from callboard_brokers.memory import Memory, Templates

Json = dict[str, Any]
Official = Callable[[Json], Json]


class Item(BaseModel):
    price: float = Field(gt=0)


class Order(BaseModel):
    """An order of a customer."""

    id: int
    items: list[Item] = []


class Invoice(BaseModel):
    total: float


def shop() -> App:
    """Make a small application with one of everything."""
    broker = MemoryBroker()
    publisher = broker.publisher("invoices", description="What customers owe.")

    @publisher
    @broker.subscriber("orders.{region}", title="Orders")
    async def on_order(order: Order, message: Message, tenant: str = Header()) -> Invoice:
        """Write the invoice."""
        return Invoice(total=sum(item.price for item in order.items))

    @broker.subscriber("payments")
    async def on_payment(invoice: int, amount: float = 0) -> None: ...

    @broker.subscriber("questions")
    async def on_question(order_id: int) -> Order: ...  # type: ignore[empty-body] # never called

    @broker.subscriber("invoices")
    class Ledger:
        """Keep the books."""

        async def receive(self, invoice: Invoice) -> None: ...

    filtered = broker.subscriber("mixed")

    @filtered(filter=lambda message: bool(message.headers))
    async def with_headers(order: Order) -> None: ...

    @filtered
    async def without(text: str) -> None: ...

    @broker.subscriber("hidden", include_in_schema=False)
    async def on_hidden(order: Order) -> None: ...

    broker.publisher("audit", schema=list[Order])
    broker.publisher("secret", include_in_schema=False)
    return App(broker, title="Shop", version="1.2", description="Sells things.")


def document(app: App) -> Json:
    return AsyncAPI.of(app).to_specification().to_jsonable()


def payload(written: Json, channel: str) -> Json:
    """Follow the references from a channel to the schema of its first message."""
    [message, *_] = written["channels"][channel]["messages"].values()
    found = resolve(written, message)
    return resolve(written, found["payload"])


def resolve(written: Json, reference: Json) -> Json:
    if (ref := reference.get("$ref")) is None:
        return reference
    found: Any = written
    for step in ref.removeprefix("#/").split("/"):
        found = found[unquote(step).replace("~1", "/").replace("~0", "~")]
    return resolve(written, found)


def test_the_document_of_an_application_is_valid(official: Official) -> None:
    written = official(document(shop()))

    assert written["asyncapi"] == "3.0.0"
    assert written["info"] == {"title": "Shop", "version": "1.2", "description": "Sells things."}


def test_channels_stand_in_the_order_of_their_declaration() -> None:
    written = document(shop())

    assert [channel["address"] for channel in written["channels"].values()] == [
        "orders.{region}",
        "payments",
        "questions",
        "invoices",
        "mixed",
        "invoices",
        "audit",
        None,  # wherever whoever asks wants the answer
    ]
    assert json.dumps(written) == json.dumps(document(shop()))


def test_a_body_is_described_by_its_schema() -> None:
    written = document(shop())

    order = payload(written, "Orders")
    assert order["title"] == "Order"
    assert set(order["properties"]) == {"id", "items"}
    assert order["required"] == ["id"]


def test_a_body_of_several_parameters_is_an_object() -> None:
    payment = payload(document(shop()), "payments:OnPayment")

    assert set(payment["properties"]) == {"invoice", "amount"}
    assert payment["required"] == ["invoice"]


def test_what_is_published_is_described_by_what_is_returned_or_by_its_schema() -> None:
    written = document(shop())

    assert payload(written, "invoices:Publisher")["title"] == "Invoice"
    assert payload(written, "audit:Publisher")["type"] == "array"


def test_an_actor_class_is_described_by_its_receive() -> None:
    written = document(shop())

    assert payload(written, "invoices:Ledger")["title"] == "Invoice"
    assert written["channels"]["invoices:Ledger"]["description"] == "Keep the books."


def test_handlers_that_share_a_subscriber_have_one_message_of_one_of_their_bodies() -> None:
    written = document(shop())

    body = payload(written, "mixed:[WithHeaders,Without]")
    assert [resolve(written, each)["title"] for each in body["oneOf"]] == [
        "Order",
        "Without:Message:Payload",
    ]


def test_titles_and_docstrings_are_shown() -> None:
    channel = document(shop())["channels"]["Orders"]

    assert (channel["title"], channel["description"]) == ("Orders", "Write the invoice.")
    assert [*channel["parameters"]] == ["region"]


def test_headers_that_a_handler_asks_for_are_described() -> None:
    message = document(shop())["components"]["messages"]["Orders:SubscribeMessage"]

    written = resolve(document(shop()), message["headers"])
    assert (written["type"], [*written["properties"]]) == ("object", ["tenant"])
    assert written["required"] == ["tenant"]
    assert message["correlationId"] == {"location": "$message.header#/correlation_id"}


def test_a_body_that_nobody_reads_is_empty_and_a_subscriber_without_a_handler_is_described() -> (
    None
):
    broker = MemoryBroker()
    broker.subscriber("by_hand")

    @broker.subscriber("ticks")
    async def on_tick() -> None: ...

    written = AsyncAPI(broker).to_specification().to_jsonable()

    assert payload(written, "ticks:OnTick") == {"title": "EmptyPayload", "type": "null"}
    assert payload(written, "by_hand:Subscriber")["title"] == "Subscriber:Message:Payload"


def test_what_is_hidden_is_not_shown() -> None:
    text = AsyncAPI.of(shop()).to_specification().to_json()

    assert "hidden" not in text
    assert "secret" not in text


def test_a_handler_that_returns_something_and_publishes_it_nowhere_has_a_reply() -> None:
    operations = document(shop())["operations"]

    assert {name for name, operation in operations.items() if "reply" in operation} == {
        name for name in operations if name.startswith("questions:")
    }


class Basket(BaseModel):
    items: list[Item] = []

    @computed_field
    def size(self) -> int:
        return len(self.items)


def test_what_is_received_is_described_as_it_is_read_and_what_is_sent_as_it_is_written() -> None:
    broker = MemoryBroker()

    @broker.publisher("out")
    @broker.subscriber("in")
    async def pass_on(basket: Basket) -> Basket:
        return basket

    @broker.subscriber("questions")
    async def answer(basket: Basket) -> Basket:
        return basket

    written = AsyncAPI(broker).to_specification().to_jsonable()

    received, sent = payload(written, "in:PassOn"), payload(written, "out:Publisher")
    assert (set(received["properties"]), received.get("required")) == ({"items"}, None)
    assert (set(sent["properties"]), sent["required"]) == ({"items", "size"}, ["size"])
    assert payload(written, "questions:Answer:Reply") == sent


def test_all_handlers_of_a_publisher_are_described(official: Official) -> None:
    broker = MemoryBroker()
    publisher = broker.publisher("out")

    @publisher
    @broker.subscriber("a")
    async def first(order: Order) -> Order:
        return order

    @publisher
    @broker.subscriber("b")
    async def second(order: Order) -> Invoice:
        return Invoice(total=0)

    @publisher
    @broker.subscriber("c")
    async def third(order: Order) -> Order:
        return order

    written = official(AsyncAPI(broker).to_specification().to_jsonable())

    body = payload(written, "out:Publisher")
    assert [resolve(written, each)["title"] for each in body["oneOf"]] == ["Order", "Invoice"]


def test_a_publisher_of_batches_is_described_by_one_element(official: Official) -> None:
    broker = KafkaBroker()

    @broker.publisher("out", batch=True)
    @broker.subscriber("in", batch=True)
    async def pass_on(orders: list[Order]) -> list[Order]:
        return orders

    written = official(AsyncAPI(broker).to_specification().to_jsonable())

    assert payload(written, "in:PassOn")["title"] == payload(written, "out:Publisher")["title"]


def test_text_is_described_as_text() -> None:
    broker = MemoryBroker()
    broker.publisher("out", schema=str)

    written = AsyncAPI(broker).to_specification().to_jsonable()

    [message] = written["components"]["messages"].values()
    assert message["contentType"] == "text/plain"


def test_a_batch_has_no_reply() -> None:
    broker = MemoryBroker()

    @broker.subscriber("in", batch=True)
    async def count(orders: list[Order]) -> int:
        return len(orders)

    [operation] = AsyncAPI(broker).to_specification().to_jsonable()["operations"].values()

    assert "reply" not in operation


def test_each_handler_of_a_subscriber_that_answers_is_described(official: Official) -> None:
    broker = MemoryBroker()
    filtered = broker.subscriber("questions")

    @filtered(filter=lambda message: bool(message.headers))
    async def first(order: Order) -> Invoice:
        return Invoice(total=0)

    @filtered
    async def second(order: Order) -> Order:
        return order

    written = official(AsyncAPI(broker).to_specification().to_jsonable())

    body = payload(written, "questions:[First,Second]:Reply")
    assert [resolve(written, each)["title"] for each in body["oneOf"]] == ["Invoice", "Order"]


def test_several_topics_are_a_channel_each(official: Official) -> None:
    broker = KafkaBroker()

    @broker.subscriber("orders", "returns", group_id="g")
    async def handle(order: Order) -> None: ...

    @broker.subscriber(partitions=[TopicPartition("books", 0), TopicPartition("books", 1)])
    async def keep(order: Order) -> None: ...

    written = official(AsyncAPI(broker).to_specification().to_jsonable())

    assert [each["address"] for each in written["channels"].values()] == [
        "orders",
        "returns",
        "books",
    ]
    assert [*written["operations"]] == [
        "orders:HandleSubscribe",
        "returns:HandleSubscribe",
        "books:KeepSubscribe",
    ]


def test_what_has_no_schema_is_described_without_one(official: Official) -> None:
    broker = MemoryBroker()

    @broker.publisher("out")
    @broker.subscriber("in")
    async def handle(anything: Any) -> Response:
        return Response(anything)

    official(AsyncAPI(broker).to_specification().to_jsonable())


def test_a_broker_in_this_process_has_no_server() -> None:
    assert document(shop())["servers"] == {}


class Remote(Broker[MemoryTarget], MemoryRouter):
    """A broker somewhere else, as far as the document knows."""

    def __init__(self, url: str) -> None:
        kind = BrokerKind(
            name="remote",
            answer=MemoryTarget,
            dead_letter=lambda address, _: MemoryTarget(address),
            routing=Templates,
            url=url,
        )
        super().__init__(Memory, BrokerOptions(), kind)


def test_a_document_names_the_server_and_no_secret(official: Official) -> None:
    broker = Remote("nats://ann:s3cret@broker.example:4222/?token=s3cret")

    @broker.subscriber("orders")
    async def on_order(order: Order) -> None: ...

    specification = AsyncAPI(broker).to_specification()

    assert official(specification.to_jsonable())["servers"] == {
        "development": {"host": "broker.example:4222", "protocol": "nats"}
    }
    assert "s3cret" not in specification.to_json()


def test_several_brokers_stand_in_one_document(official: Official) -> None:
    first, second = Remote("nats://one"), Remote("nats://two")
    for broker in (first, second):

        @broker.subscriber("orders")
        async def on_order(order: Order) -> None: ...

    written = official(AsyncAPI(first, second).to_specification().to_jsonable())

    assert [server["host"] for server in written["servers"].values()] == ["one", "two"]
    assert [len(each["servers"]) for each in written["channels"].values()] == [1, 1]


def test_a_document_is_written_as_json_and_yaml() -> None:
    specification = AsyncAPI.of(shop()).to_specification()

    assert json.loads(specification.to_json()) == specification.to_jsonable()
    assert yaml.safe_load(specification.to_yaml()) == specification.to_jsonable()
