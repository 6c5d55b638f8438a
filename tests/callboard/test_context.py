"""Values by name: where they are looked up, and what happens when they are not there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import pytest
from anyio import wait_all_tasks_blocked

from callboard import (
    App,
    Context,
    ContextRepo,
    DeclarationError,
    Handle,
    Header,
    Logger,
    MemoryBroker,
    Message,
    Path,
    TestBroker,
)
from callboard.annotations import ContextRepo as Repo
from callboard.exceptions import ContextError
from callboard_di import MissingValue

pytestmark = pytest.mark.anyio

Take = Callable[..., Awaitable[list[object]]]


async def take(
    broker: MemoryBroker, handler: Callable[..., object], *args: Any, **kwargs: Any
) -> None:
    """Subscribe *handler*, and publish once."""
    broker.subscriber("logs.{level}")(handler)
    async with TestBroker(broker):
        await broker.publish(*args, **kwargs)


async def test_a_header_is_found_by_the_parameters_name_or_its_own(broker: MemoryBroker) -> None:
    taken: list[object] = []

    async def handle(
        trace: str = Header(), number: int = Header("x-n"), plain: Any = Header("x-n", cast=False)
    ) -> None:
        taken.extend([trace, number, plain])

    await take(broker, handle, None, "logs.info", headers={"trace": "t", "x-n": "5"})

    assert taken == ["t", 5, "5"]


async def test_a_headers_name_may_have_dots(broker: MemoryBroker) -> None:
    taken: list[object] = []

    async def handle(tenant: Annotated[str, Header("acme.tenant.id")]) -> None:
        taken.append(tenant)

    await take(broker, handle, None, "logs.info", headers={"acme.tenant.id": "7"})

    assert taken == ["7"]


async def test_a_header_that_is_absent_has_its_default(broker: MemoryBroker) -> None:
    taken: list[object] = []

    async def handle(trace: str | None = Header(default=None), n: int = Header(default=0)) -> None:
        taken.extend([trace, n])

    await take(broker, handle, None, "logs.info")

    assert taken == [None, 0]


async def test_false_values_in_headers_and_context_are_values(broker: MemoryBroker) -> None:
    taken: list[object] = []
    broker.context.set_global("zero", 0)
    broker.context.set_global("nothing", None)

    async def handle(
        empty: str = Header(default="d"),
        zero: int = Context(default=9),
        nothing: object = Context(default="d"),
    ) -> None:
        taken.extend([empty, zero, nothing])

    await take(broker, handle, None, "logs.info", headers={"empty": ""})

    assert taken == ["", 0, None]


async def test_a_path_parameter_is_what_the_template_matched(broker: MemoryBroker) -> None:
    taken: list[object] = []

    async def handle(level: int = Path(), again: Any = Path("level", cast=False)) -> None:
        taken.extend([level, again])

    await take(broker, handle, None, "logs.30")

    assert taken == [30, "30"]


async def test_the_parts_of_the_message_are_in_the_context(broker: MemoryBroker) -> None:
    taken: list[object] = []

    async def handle(
        message: Any = Context(),
        body: bytes = Context("message.body"),
        trace: str = Context("message.headers.trace"),
        correlation_id: str = Context("message.correlation_id"),
    ) -> None:
        assert isinstance(message, Message)
        taken.extend([message.address, body, trace, correlation_id])

    await take(broker, handle, 5, "logs.x", headers={"trace": "t"}, correlation_id="c")

    assert taken == ["logs.x", b"5", "t", "c"]


async def test_broker_logger_and_context_are_in_the_context() -> None:
    broker = MemoryBroker(logger=logging.getLogger("shop"))
    taken: list[object] = []

    async def handle(
        logger: Logger, repo: Repo, repo_by_type: ContextRepo, broker: Any = Context()
    ) -> None:
        taken.extend([logger, repo, repo_by_type, broker])

    await take(broker, handle, None, "logs.x")

    assert taken == [logging.getLogger("shop"), broker.context, broker.context, broker]


async def test_a_dotted_name_leads_through_attributes_and_items(broker: MemoryBroker) -> None:
    taken: list[object] = []
    broker.context.set_global("settings", {"db": logging.getLogger("db")})

    async def handle(name: str = Context("settings.db.name")) -> None:
        taken.append(name)

    await take(broker, handle, None, "logs.x")

    assert taken == ["db"]


async def test_the_nearest_scope_wins() -> None:
    def local(handle: Handle) -> Handle:
        async def middleware(message: Message) -> object:
            with broker.context.scope("a", "message"):
                return await handle(message)

        return middleware

    broker = MemoryBroker(middlewares=[local])
    app = App(broker)
    taken: list[object] = []
    for name in ("a", "b", "c"):
        app.context.set_global(name, "app")
    for name in ("a", "b"):
        broker.context.set_global(name, "broker")

    async def handle(a: str = Context(), b: str = Context(), c: str = Context()) -> None:
        taken.extend([a, b, c])

    await take(broker, handle, None, "logs.x")

    assert taken == ["message", "broker", "app"]


async def test_a_value_in_the_scope_of_a_message_is_not_seen_by_the_next() -> None:
    def tenant(handle: Handle) -> Handle:
        async def middleware(message: Message) -> object:
            if not message.body:
                return await handle(message)
            with broker.context.scope("tenant", message.body):
                return await handle(message)

        return middleware

    broker = MemoryBroker(middlewares=[tenant])
    taken: list[object] = []

    @broker.subscriber("ticks")
    async def handle(repo: Repo) -> None:
        taken.append(repo.get("tenant"))

    async with TestBroker(broker):
        await broker.publish(b"acme", "ticks")
        await broker.publish(b"", "ticks")

    assert taken == [b"acme", None]


async def test_a_changed_global_value_is_seen_by_the_next_message(broker: MemoryBroker) -> None:
    taken: list[object] = []
    broker.context.set_global("rate", 1)

    @broker.subscriber("ticks")
    async def handle(rate: int = Context()) -> None:
        taken.append(rate)

    async with TestBroker(broker):
        await broker.publish(None, "ticks")
        broker.context.set_global("rate", 2)
        await broker.publish(None, "ticks")

    assert taken == [1, 2]


@pytest.mark.parametrize("name", ["seen", "stats.seen"])
async def test_initial_is_made_once_and_shared(broker: MemoryBroker, name: str) -> None:
    made: list[object] = []

    @broker.subscriber("ticks")
    async def handle(seen: list[object] = Context(name, initial=list)) -> None:
        seen.append(1)
        made.append(seen)

    async with TestBroker(broker):
        await broker.publish(None, "ticks")
        await broker.publish(None, "ticks")

    assert made[0] is made[1]
    assert made[0] == [1, 1]


async def test_a_name_may_get_its_value_after_the_start(broker: MemoryBroker) -> None:
    taken: list[object] = []

    @broker.subscriber("orders")
    async def on_order(order: int, database: object = Context()) -> None:
        taken.append(database)

    async with TestBroker(broker):
        with pytest.raises(
            MissingValue, match=r"'database' of 'on_order' .* no 'database' is there"
        ):
            await broker.publish(1, "orders")
        broker.context.set_global("database", "db")
        await broker.publish(2, "orders")

    assert taken == ["db"]


async def test_what_an_actor_asks_for_has_to_be_there_at_the_start(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    class Store:
        def __init__(self, database: object = Context()) -> None: ...

        async def receive(self, order: int) -> None: ...

    with pytest.raises(DeclarationError) as refused:
        await broker.start()

    assert str(refused.value).startswith("parameter 'database' of 'Store' (test_context.py:")
    assert "asks the context for 'database', but no value is called 'database' here" in str(
        refused.value
    )
    assert "known are ['broker', 'context', 'logger'], and what set_global() adds" in str(
        refused.value
    )


async def test_the_header_of_a_parameter_may_have_dashes(broker: MemoryBroker) -> None:
    taken: list[object] = []

    async def handle(x_trace: str = Header(), x_n: int = Header(default=5)) -> None:
        taken.extend([x_trace, x_n])

    await take(broker, handle, None, "logs.info", headers={"x-trace": "t"})

    assert taken == ["t", 5]


async def test_the_subscriber_and_its_words_for_the_log_are_in_the_context(
    broker: MemoryBroker,
) -> None:
    taken: list[object] = []

    async def handle(
        handler_: Any = Context(), address: str = Context("log_context.address")
    ) -> None:
        taken.extend([handler_, address])

    await take(broker, handle, None, "logs.info")

    assert taken == [broker.subscribers[0], "logs.info"]


async def test_a_name_that_the_application_sets_before_the_start_is_known(
    broker: MemoryBroker,
) -> None:
    app = App(broker)
    taken: list[object] = []

    @broker.subscriber("orders")
    async def on_order(database: object = Context(), app_itself: object = Context("app")) -> None:
        taken.extend([database, app_itself])

    @app.on_startup
    def connect() -> None:
        app.context.set_global("database", "db")

    await app.start()
    await broker.publish(None, "orders")
    await wait_all_tasks_blocked()
    await app.stop()

    assert taken == ["db", app]


def test_a_part_that_no_message_has_is_refused_at_the_declaration(broker: MemoryBroker) -> None:
    with pytest.raises(
        DeclarationError, match="a message has no 'topic'; it has address, attempt, binding, body"
    ):

        @broker.subscriber("orders")
        async def on_order(topic: str = Context("message.topic")) -> None: ...


def test_a_field_that_the_address_does_not_have_is_refused_at_the_declaration(
    broker: MemoryBroker,
) -> None:
    with pytest.raises(
        DeclarationError,
        match=r"'lvl' of 'on_log' .* but the address 'logs.{level}' has no {lvl} in it",
    ):

        @broker.subscriber("logs.{level}")
        async def on_log(lvl: str = Path()) -> None: ...


async def test_a_field_with_a_default_may_be_absent(broker: MemoryBroker) -> None:
    taken: list[str] = []

    async def handle(lvl: str = Path(default="none")) -> None:
        taken.append(lvl)

    await take(broker, handle, None, "logs.30")

    assert taken == ["none"]


async def test_a_message_without_the_header_is_rejected_with_the_reason(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    @broker.subscriber("orders")
    async def on_order(order: int, tenant: str = Header()) -> None:
        pytest.fail("has no tenant")

    async with broker:
        await broker.start()
        await broker.publish(1, "orders", message_id="m1")
        await wait_all_tasks_blocked()

    assert len(broker.dead_letters("orders")) == 1
    [record] = caplog.records
    assert record.getMessage().startswith(
        "on_order(orders) failed on message m1 of 'orders'; it is rejected: MissingValue:"
        " parameter 'tenant' of 'on_order' (test_context.py:"
    )
    assert record.getMessage().endswith(
        "got no value: no 'message.headers.tenant' is there; give it a default"
    )


async def test_a_header_of_invalid_utf_8_is_rejected_with_the_reason(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.subscriber("orders")(_with_tenant)
    async with broker:
        await broker.start()
        await broker.publish(1, "orders", headers={"tenant": b"\xff\xfe"})
        await wait_all_tasks_blocked()

    assert len(broker.dead_letters("orders")) == 1
    assert "parameter 'tenant' of '_with_tenant'" in caplog.text
    assert "ValidationError" in caplog.text


async def _with_tenant(order: int, tenant: str = Header()) -> None:
    pytest.fail(f"{order} has no valid {tenant}")


def test_a_repository_answers_like_a_mapping_and_like_a_record() -> None:
    context = ContextRepo({"a": 0})

    assert context["a"] == context.a == 0
    assert "a" in context
    assert "b" not in context
    assert context.b is None
    assert context.get("b", 5) == 5
    with pytest.raises(KeyError):
        context["b"]


def test_what_was_set_can_be_taken_back() -> None:
    context = ContextRepo()
    context.set_global("a", 1)
    token = context.set_local("a", 2)

    assert context.get("a") == 2
    context.reset_local("a", token)
    assert context.get("a") == 1
    context.reset_global("a")
    context.reset_global("a")
    assert "a" not in context


def test_a_wider_repository_is_asked_last() -> None:
    narrow, wide = ContextRepo({"a": 1}), ContextRepo({"a": 2, "b": 3})
    narrow.widen(wide)
    narrow.widen(narrow)

    assert (narrow["a"], narrow["b"]) == (1, 3)
    assert narrow.names() == ["a", "b", "context"]
    narrow.clear()
    assert narrow["a"] == 2


def test_several_values_may_be_set_for_a_block() -> None:
    context = ContextRepo({"a": 0})
    with context.scopes([("a", 1), ("b", 2)]):
        assert (context["a"], context.get_local("b"), context.get_local("c", 5)) == (1, 2, 5)

    assert context.context == {"a": 0, "context": context}


def test_values_that_are_set_one_in_another_end_one_by_one() -> None:
    context = ContextRepo()
    first = context.set_local("a", 1)
    context.set_local("b", 2)

    context.reset_local("a", first)

    assert (context.get("a"), context.get("b")) == (None, 2)


def test_a_dotted_path_is_resolved() -> None:
    context = ContextRepo({"settings": {"name": "x"}})

    assert context.resolve("settings.name") == "x"
    with pytest.raises(ContextError, match="no value of the name 'nothing'"):
        context.resolve("nothing.here")
    with pytest.raises(KeyError):
        context.resolve("settings.nothing")


def test_what_is_cleared_still_has_itself() -> None:
    context = ContextRepo({"a": 1})
    context.clear()

    assert context.context == {"context": context}
