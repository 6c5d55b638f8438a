"""Middlewares that are objects: their hooks, their order, and what they may change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import msgspec
import pytest
from anyio import sleep_forever, wait_all_tasks_blocked
from pydantic import BaseModel, ValidationError

from callboard import (
    AckMessage,
    AckPolicy,
    BaseMiddleware,
    BatchPublishCommand,
    Context,
    ContextRepo,
    DeclarationError,
    ExceptionMiddleware,
    Handle,
    Header,
    MemoryBroker,
    Message,
    PublishCommand,
    PublishType,
    Response,
    SkipMessage,
    SourceType,
    TestBroker,
)
from callboard.kafka import KafkaBroker, KafkaPublishCommand
from callboard.memory import MemoryRouter

pytestmark = pytest.mark.anyio

Call = Callable[[Any], Awaitable[Any]]


def noting(name: str, notes: list[str]) -> Callable[..., BaseMiddleware]:
    """Return what makes objects that note when each of their hooks is called."""

    class Noting(BaseMiddleware):
        async def on_receive(self) -> None:
            notes.append(f"{name} receives")

        async def consume_scope(self, call_next: Call, msg: Any) -> Any:
            notes.append(f"{name} consumes")
            return await call_next(msg)

        async def publish_scope(self, call_next: Call, cmd: Any) -> Any:
            notes.append(f"{name} publishes")
            return await call_next(cmd)

        async def after_processed(
            self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None
        ) -> bool | None:
            notes.append(f"{name} is through with {exc_type and exc_type.__name__}")
            return None

    return Noting


async def test_the_hooks_are_called_from_the_broker_inwards_and_back() -> None:
    notes: list[str] = []
    broker = MemoryBroker(middlewares=[noting("broker", notes)])
    router = MemoryRouter(middlewares=[noting("router", notes)])

    @router.subscriber("in", middlewares=[noting("subscriber", notes)])
    @router.publisher("out")
    async def handle(number: int, message: Message) -> int:
        notes.append(f"handles, {message.processed}")
        return number

    broker.include_router(router)
    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert notes == [
        "broker publishes",
        *("broker receives", "router receives", "subscriber receives"),
        *("broker consumes", "router consumes", "subscriber consumes"),
        "handles, False",
        *("broker publishes", "router publishes", "subscriber publishes"),
        *(f"{name} is through with None" for name in ("subscriber", "router", "broker")),
    ]


async def test_a_message_is_settled_when_all_are_through_with_it() -> None:
    class Look(BaseMiddleware):
        async def consume_scope(self, call_next: Call, msg: Any) -> Any:
            self.message = msg
            return await call_next(msg)

        async def after_processed(
            self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None
        ) -> bool | None:
            seen.append(self.message.processed)
            return None

    seen: list[bool] = []
    broker = MemoryBroker(middlewares=[Look])

    @broker.subscriber("in")
    async def handle(number: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert seen == [False]


async def test_functions_and_objects_stand_in_one_row() -> None:
    notes: list[str] = []

    def function(handle: Handle) -> Handle:
        async def around(message: Message) -> object:
            notes.append("function")
            return await handle(message)

        return around

    broker = MemoryBroker(middlewares=[noting("a", notes), function, noting("b", notes)])

    @broker.subscriber("in")
    async def handle(number: int) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert [note for note in notes if "consumes" in note or note == "function"] == [
        "a consumes",
        "function",
        "b consumes",
    ]


async def test_middlewares_may_be_added_after_the_declarations(broker: MemoryBroker) -> None:
    notes: list[str] = []
    router = MemoryRouter()

    @router.subscriber("in")
    async def handle(number: int) -> None: ...

    broker.include_router(router)
    broker.add_middleware(noting("inner", notes))
    broker.insert_middleware(noting("outer", notes))
    router.add_middleware(noting("router", notes))
    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert [note for note in notes if "consumes" in note] == [
        "outer consumes",
        "inner consumes",
        "router consumes",
    ]


async def test_the_object_of_a_message_sees_what_is_published_for_it() -> None:
    class Tenant(BaseMiddleware):
        tenant = "nobody"

        async def consume_scope(self, call_next: Call, msg: Any) -> Any:
            self.tenant = msg.headers["tenant"]
            return await call_next(msg)

        async def publish_scope(self, call_next: Call, cmd: PublishCommand) -> Any:
            cmd.add_headers({"tenant": self.tenant}, override=False)
            return await call_next(cmd)

    seen: list[object] = []
    broker = MemoryBroker(middlewares=[Tenant])

    @broker.subscriber("in")
    @broker.publisher("out")
    async def handle(number: int) -> int:
        await broker.publish(number, "by-hand")
        return number

    @broker.subscriber("out")
    @broker.subscriber("by-hand")
    @broker.subscriber("outside")
    async def end(message: Message) -> None:
        seen.append((message.address, message.headers["tenant"]))

    async with TestBroker(broker):
        await broker.publish(1, "in", headers={"tenant": "acme"})
        await broker.publish(1, "outside")

    assert sorted(seen, key=str) == [("by-hand", "acme"), ("out", "acme"), ("outside", "nobody")]


async def test_what_leaves_may_be_changed_before_it_is_encoded() -> None:
    class Wrap(BaseMiddleware):
        async def publish_scope(self, call_next: Call, cmd: Any) -> Any:
            kinds.append(cmd.publish_type)
            if cmd.destination == "out":
                cmd.body = {"wrapped": cmd.body}
                cmd.destination = "elsewhere"
                cmd.key = b"k"
            return await call_next(cmd)

    kinds: list[PublishType] = []
    broker = MemoryBroker(middlewares=[Wrap])

    @broker.subscriber("in")
    @broker.publisher("out")
    async def handle(number: int) -> int:
        return number

    @broker.subscriber("elsewhere")
    async def end(body: dict[str, int], message: Message) -> None:
        assert (body, message.key) == ({"wrapped": 1}, b"k")

    async with TestBroker(broker):
        await broker.publish(1, "in")
        end.mock.assert_called_once_with({"wrapped": 1})

    assert kinds == [PublishType.PUBLISH, PublishType.PUBLISH]


async def test_a_middleware_may_hold_back_what_would_leave() -> None:
    class Mute(BaseMiddleware):
        async def publish_scope(self, call_next: Call, cmd: Any) -> Any:
            return None if cmd.destination == "out" else await call_next(cmd)

    broker = MemoryBroker(middlewares=[Mute])
    out = broker.publisher("out")

    @broker.subscriber("in")
    @out
    async def handle(number: int) -> int:
        return number

    async with TestBroker(broker):
        await broker.publish(1, "in")
        await out.publish(2)
        out.mock.assert_not_called()
        handle.mock.assert_called_once_with(1)


async def test_a_request_and_its_answer_pass_each_hook_both_ways() -> None:
    class Double(BaseMiddleware):
        async def consume_scope(self, call_next: Call, msg: Any) -> Any:
            sources.append(msg.source_type)
            msg.body += msg.body
            return await call_next(msg)

        async def publish_scope(self, call_next: Call, cmd: Any) -> Any:
            kinds.append(cmd.publish_type)
            return await call_next(cmd)

    sources: list[SourceType] = []
    kinds: list[PublishType] = []
    broker = MemoryBroker(middlewares=[Double])

    @broker.subscriber("in")
    async def handle(text: str) -> str:
        return text

    async with TestBroker(broker):
        answer = await broker.request("x", "in")

        assert await answer.decode() == "xxxx"
    assert sources == [SourceType.CONSUME, SourceType.RESPONSE]
    assert kinds == [PublishType.REQUEST, PublishType.REPLY]


async def test_several_that_are_published_at_once_are_one_command() -> None:
    class Reverse(BaseMiddleware):
        async def publish_scope(self, call_next: Call, cmd: Any) -> Any:
            assert isinstance(cmd, BatchPublishCommand)
            cmd.batch_bodies = [*reversed(cmd.batch_bodies)]
            return await call_next(cmd)

    seen: list[int] = []
    broker = KafkaBroker(middlewares=[Reverse])

    @broker.subscriber("in")
    async def handle(number: int) -> None:
        seen.append(number)

    async with TestBroker(broker):
        await broker.publish_batch(1, 2, 3, topic="in")

    assert seen == [3, 2, 1]


async def test_a_command_is_of_the_kind_of_its_broker() -> None:
    class Look(BaseMiddleware):
        async def publish_scope(self, call_next: Call, cmd: Any) -> Any:
            assert isinstance(cmd, KafkaPublishCommand)
            assert (cmd.key, cmd.partition, cmd.destination) == (b"k", None, "in")
            seen.append(cmd)
            return await call_next(cmd)

    seen: list[PublishCommand] = []
    broker = KafkaBroker(middlewares=[Look])
    async with TestBroker(broker):
        await broker.publish(1, "in", key=b"k")

    assert repr(seen[0]) == "<KafkaPublishCommand to 'in' of 1>"


async def test_a_result_that_a_middleware_replaces_is_of_no_type(broker: MemoryBroker) -> None:
    def replacing(handle: Handle) -> Handle:
        async def around(message: Message) -> object:
            result = await handle(message)
            return {"was": result} if result == 1 else result

        return around

    broker.add_middleware(replacing)

    @broker.subscriber("in")
    @broker.publisher("out")
    async def handle(number: int) -> int:
        return number

    out = broker.publishers[0]
    async with TestBroker(broker):
        await broker.publish(1, "in")
        await broker.publish(2, "in")

        assert [call.args[0] for call in out.mock.call_args_list] == [{"was": 1}, 2]


async def test_a_failure_that_is_suppressed_is_none() -> None:
    class Suppress(BaseMiddleware):
        async def after_processed(
            self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None
        ) -> bool | None:
            return exc_type is ZeroDivisionError

    broker = MemoryBroker(middlewares=[Suppress])
    out = broker.publisher("out")

    @broker.subscriber("in")
    @out
    async def handle(number: int) -> float:
        return 1 / number

    async with TestBroker(broker) as tested:
        await broker.publish(0, "in")
        out.mock.assert_not_called()

        assert tested.dead_letters("in") == []


async def test_a_hook_that_fails_is_a_failure_of_the_message() -> None:
    class Fail(BaseMiddleware):
        async def after_processed(
            self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None
        ) -> bool | None:
            raise LookupError("no hook")

    broker = MemoryBroker(middlewares=[Fail])

    @broker.subscriber("in")
    async def handle(number: int) -> None: ...

    async with TestBroker(broker) as tested:
        with pytest.raises(LookupError, match="no hook"):
            await broker.publish(0, "in")

        assert len(tested.dead_letters("in")) == 1


async def test_an_object_is_told_of_a_cancellation(broker: MemoryBroker) -> None:
    notes: list[str] = []
    broker.add_middleware(noting("it", notes))

    @broker.subscriber("in")
    async def handle(number: int, message: Message) -> None:
        await sleep_forever()

    async with broker:
        await broker.start()
        await broker.publish(1, "in")
        await wait_all_tasks_blocked()

    assert notes[-1].startswith("it is through with Cancel")


@pytest.mark.parametrize("thing", [5, "audit", None])
async def test_what_is_no_middleware_is_refused(thing: Any) -> None:
    with pytest.raises(DeclarationError, match=f"{thing!r} is no middleware: give a class"):
        MemoryBroker(middlewares=[thing])


async def test_a_coroutine_function_is_no_middleware(broker: MemoryBroker) -> None:
    async def old(call_next: Any, msg: Any) -> None: ...

    with pytest.raises(DeclarationError, match=r"old.* is no middleware"):
        broker.add_middleware(old)  # type: ignore[arg-type] # on purpose


async def test_a_function_that_returns_nothing_to_call_is_refused_at_the_start() -> None:
    def forgetful(handle: Handle) -> Any: ...

    broker = MemoryBroker(middlewares=[forgetful])

    @broker.subscriber("in")
    async def handle(number: int) -> None: ...

    with pytest.raises(DeclarationError, match=r"forgetful.* has returned None, not what handles"):
        await broker.start()


async def test_a_middleware_may_be_a_partial() -> None:
    class Prefix(BaseMiddleware):
        def __init__(self, msg: Any, /, *, context: ContextRepo, prefix: str) -> None:
            super().__init__(msg, context=context)
            self.prefix = prefix

        async def consume_scope(self, call_next: Call, msg: Any) -> Any:
            with self.context.scope("prefix", self.prefix):
                return await call_next(msg)

    seen: list[str] = []
    broker = MemoryBroker(middlewares=[partial(Prefix, prefix="p")])

    @broker.subscriber("in")
    async def handle(number: int, prefix: str = Context()) -> None:
        seen.append(prefix)

    async with TestBroker(broker):
        await broker.publish(1, "in")

    assert seen == ["p"]


async def test_the_most_specific_function_is_called_for_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []

    def never(error: ArithmeticError) -> None:
        pytest.fail("another is nearer")

    errors = ExceptionMiddleware({ArithmeticError: never})

    @errors.add_handler(ZeroDivisionError)
    async def divided(
        error: ZeroDivisionError, message: Message, broker: object = Context()
    ) -> None:
        seen.append(f"zero on {message.address}")

    broker = MemoryBroker(middlewares=[errors])

    @broker.subscriber("in")
    async def handle(number: int) -> float:
        return 1 / number

    async with TestBroker(broker) as tested:
        await broker.publish(0, "in")

        assert seen == ["zero on in"]
        assert len(tested.dead_letters("in")) == 1
    assert "which a middleware has seen to; it is rejected: ZeroDivisionError" in caplog.text


async def test_the_result_for_a_failure_is_published_and_the_policy_settles(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = ExceptionMiddleware()

    @errors.add_handler(Exception)
    async def never(error: Exception) -> None:
        pytest.fail("the other one takes it")

    @errors.add_handler(ZeroDivisionError, publish=True)
    async def divided(error: ZeroDivisionError) -> dict[str, str]:
        return {"error": str(error)}

    broker = MemoryBroker(middlewares=[errors])
    out = broker.publisher("out")

    @broker.subscriber("in", ack_policy=AckPolicy.REJECT_ON_ERROR)
    @out
    async def handle(number: int) -> float:
        return 1 / number

    async with TestBroker(broker) as tested:
        answer = await broker.request(0, "in")

        assert await answer.decode() == {"error": "division by zero"}
        out.mock.assert_called_once_with({"error": "division by zero"})
        assert len(tested.dead_letters("in")) == 1
    assert "it is rejected: ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("publish", [False, True])
async def test_what_a_handler_decides_is_no_failure(publish: bool) -> None:
    errors = ExceptionMiddleware()

    @errors.add_handler(Exception, publish=publish)
    async def never(error: Exception) -> None:
        pytest.fail("it is on purpose")

    broker = MemoryBroker(middlewares=[errors])

    @broker.subscriber("in")
    async def handle(number: int) -> None:
        raise AckMessage if number else SkipMessage

    async with TestBroker(broker) as tested:
        await broker.publish(1, "in")
        await broker.publish(0, "in")

        assert tested.dead_letters("in") == []


async def test_a_function_that_fails_publishes_nothing_and_its_failure_counts() -> None:
    errors = ExceptionMiddleware()

    @errors.add_handler(ZeroDivisionError, publish=True)
    async def divided(error: ZeroDivisionError) -> None:
        raise LookupError("no text") from error

    broker = MemoryBroker(middlewares=[errors])
    out = broker.publisher("out")

    @broker.subscriber("in")
    @out
    async def handle(number: int) -> Response:
        return Response(1 / number)

    async with TestBroker(broker):
        with pytest.raises(LookupError, match="no text"):
            await broker.publish(0, "in")
        out.mock.assert_not_called()


async def test_a_body_that_is_not_valid_is_a_failure_to_see_to() -> None:
    seen: list[Exception] = []
    errors = ExceptionMiddleware({Exception: seen.append})
    broker = MemoryBroker(middlewares=[errors])

    @broker.subscriber("in")
    async def handle(number: int) -> None:
        pytest.fail("it is none")

    async with TestBroker(broker):
        await broker.publish("x", "in")

    assert isinstance(seen[0], ValidationError)


async def test_a_middleware_catches_the_errors_of_the_library_that_validates() -> None:
    caught: list[str] = []

    class Catching(BaseMiddleware):
        async def consume_scope(self, call_next: Call, msg: Any) -> Any:
            try:
                return await call_next(msg)
            except ValidationError as error:
                caught.append(error.errors()[0]["type"])
            except msgspec.ValidationError as error:
                caught.append(str(error))

    class Event(msgspec.Struct):
        id: int

    broker = MemoryBroker(middlewares=[Catching])

    @broker.subscriber("numbers")
    async def number(number: int) -> None: ...

    @broker.subscriber("pairs")
    async def pair(a: int, b: int) -> None: ...

    @broker.subscriber("headers")
    async def header(kind: Annotated[int, Header()]) -> None: ...

    @broker.subscriber("events")
    async def event(event: Event) -> None: ...

    async with TestBroker(broker):
        await broker.publish("x", "numbers")
        await broker.publish({"a": 1}, "pairs")
        await broker.publish(None, "headers", headers={"kind": "x"})
        await broker.publish({"id": "x"}, "events")

    assert caught == ["int_parsing", "missing_argument", "int_parsing", caught[-1]]
    assert caught[-1].startswith("Expected `int`, got `str`")


async def test_a_validation_error_has_a_function_of_its_own_whose_result_is_published() -> None:
    errors = ExceptionMiddleware()
    broker = MemoryBroker(middlewares=[errors])
    out = broker.publisher("out")

    @errors.add_handler(ValidationError, publish=True)
    async def refuse(error: ValidationError) -> int:
        return error.error_count()

    @broker.subscriber("in")
    @out
    async def handle(number: int) -> int:
        return number

    async with TestBroker(broker):
        await broker.publish("x", "in")
        await out.assert_called_once_with(1)


async def test_a_result_in_the_place_of_a_handler_is_of_the_one_whose_filter_fits() -> None:
    class Cache(BaseMiddleware):
        async def consume_scope(self, call_next: Call, msg: Any) -> Any:
            return "kept" if "kept" in msg.headers else await call_next(msg)

    broker = MemoryBroker(middlewares=[Cache])
    subscriber = broker.subscriber("in")
    odd, even = broker.publisher("odd"), broker.publisher("even")

    @odd
    @subscriber(filter=lambda message: message.body == b"1")
    async def one(number: int) -> str:
        return "made"

    @even
    @subscriber
    async def other(number: int) -> str:
        return "made"

    async with TestBroker(broker):
        await broker.publish(1, "in")
        await broker.publish(2, "in", headers={"kept": "yes"})

        await odd.assert_called_once_with("made")
        await even.assert_called_once_with("kept")


async def test_what_leaves_by_another_broker_passes_the_middlewares_of_that_one() -> None:
    context, notes = ContextRepo(), list[str]()
    one = MemoryBroker(context=context, middlewares=[noting("one", notes)])
    two = MemoryBroker(context=context, middlewares=[noting("two", notes)])

    @one.subscriber("in")
    async def handle(number: int) -> None:
        notes.clear()
        await two.publish(number, "elsewhere")
        notes.append("handled")

    async with TestBroker(one, two):
        await one.publish(1, "in")

    assert {note.split()[0] for note in notes[: notes.index("handled")]} == {"two"}


async def test_a_failure_to_take_an_answer_is_seen_at_the_end_of_it() -> None:
    seen: list[object] = []

    class Picky(BaseMiddleware):
        async def consume_scope(self, call_next: Call, msg: Any) -> Any:
            if msg.source_type is SourceType.RESPONSE:
                raise LookupError
            return await call_next(msg)

        async def after_processed(
            self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None
        ) -> None:
            seen.append(exc_type)

    broker = MemoryBroker(middlewares=[Picky])

    @broker.subscriber("in")
    async def handle(number: int) -> int:
        return number

    async with TestBroker(broker):
        with pytest.raises(LookupError):
            await broker.request(1, "in")

    assert seen == [None, LookupError]


async def test_bodies_of_a_batch_need_not_be_comparable() -> None:
    class Column(BaseModel):
        values: list[int]

        def __eq__(self, other: object) -> bool:
            raise ValueError("the truth of a column is ambiguous")

        __hash__ = None  # type: ignore[assignment] # as of what is compared value by value

    broker = MemoryBroker(middlewares=[noting("m", [])])
    out = broker.publisher("out", batch=True)

    async with TestBroker(broker):
        await out.publish(Column(values=[1]), Column(values=[2]))

        assert out.mock.call_args.args == ([{"values": [1]}, {"values": [2]}],)
