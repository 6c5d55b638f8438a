"""Parsers, decoders and codecs of the user's own, and which of them holds."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from pydantic import BaseModel, ValidationError

from callboard import (
    App,
    Codec,
    Context,
    DeclarationError,
    Depends,
    Header,
    MemoryBroker,
    Message,
    PydanticSerializer,
    TestApp,
    TestBroker,
)
from callboard.memory import MemoryRouter
from callboard_brokers import Capacity
from callboard_brokers.memory import MemoryRecord

pytestmark = pytest.mark.anyio
Original = Callable[[Any], Awaitable[Any]]


class Order(BaseModel):
    id: int


async def test_a_decoder_makes_values_that_are_then_validated() -> None:
    def decode(message: Message) -> object:
        return json.loads(message.body[::-1])

    broker = MemoryBroker(decoder=decode)
    heard: list[object] = []

    @broker.subscriber("whole")
    async def whole(order: Order, message: Message) -> None:
        heard.extend([order, await message.decode()])

    @broker.subscriber("spread")
    async def spread(id: int, name: str = "none") -> None:  # noqa: A002 - a member of the body
        heard.extend([id, name])

    @broker.subscriber("falsy")
    async def falsy(number: int) -> None:
        heard.append(number)

    async with TestBroker(broker):
        await broker.publish(b'{"id": "7"}'[::-1], "whole")
        await broker.publish(b'{"id": "8"}'[::-1], "spread")
        await broker.publish(b"0", "falsy")
        with pytest.raises(ValidationError):
            await broker.publish(b"[]"[::-1], "whole")

    assert heard == [Order(id=7), {"id": "7"}, 8, "none", 0]


async def test_a_decoder_may_ask_what_would_be_made_without_it(broker: MemoryBroker) -> None:
    async def decode(message: Message, original: Original) -> object:
        return [await original(message), message.headers["more"]]

    @broker.subscriber("orders", decoder=decode)
    async def handle(parts: list[int]) -> None: ...

    async with TestBroker(broker):
        await broker.publish(1, "orders", headers={"more": "2"})

        handle.mock.assert_called_once_with([1, "2"])


async def test_the_nearest_decoder_holds_and_no_other_is_asked() -> None:
    def answering(answer: str) -> Callable[[Message], str]:
        return lambda _: answer

    broker = MemoryBroker(decoder=answering("broker"))
    router = MemoryRouter(decoder=answering("router"))
    heard: list[str] = []

    async def hear(text: str) -> None:
        heard.append(text)

    broker.subscriber("a")(hear)
    router.subscriber("b")(hear)
    router.subscriber("c", decoder=answering("subscriber"))(hear)
    broker.include_router(router)
    async with TestBroker(broker):
        for address in ("a", "b", "c"):
            await broker.publish(1, address)

    assert heard == ["broker", "router", "subscriber"]


async def test_a_parser_makes_the_message_and_answers_follow_it(broker: MemoryBroker) -> None:
    async def parse(record: MemoryRecord) -> Message:
        return Message(record.body.upper(), correlation_id="parsed", reply_to="answers")

    answers = broker.subscriber("answers")

    @broker.subscriber("orders", parser=parse)
    async def handle(text: str, id: str = Context("message.correlation_id")) -> str:  # noqa: A002 - as users write it
        return f"{text} {id}"

    async with TestBroker(broker):
        await broker.publish(b"abc", "orders")
        handle.mock.assert_called_once_with(b"ABC")

        answer = await answers.get_one()
        assert answer is not None
        assert await answer.decode(as_=str) == "ABC parsed"
        assert answer.correlation_id == "parsed"


async def test_a_parser_may_change_what_would_be_made_without_it() -> None:
    async def parse(record: MemoryRecord, original: Original) -> Message:
        message: Message = await original(record)
        message.body += b"!"
        return message

    broker = MemoryBroker(parser=parse)

    @broker.subscriber("orders")
    async def handle(body: bytes) -> None: ...

    async with TestBroker(broker):
        await broker.publish(b"abc", "orders")

        handle.mock.assert_called_once_with(b"abc!")


async def test_the_nearest_codec_reads_and_answers(broker: MemoryBroker) -> None:
    codec = Codec().with_content_type(
        "text/backwards", lambda value: str(value)[::-1].encode(), lambda body: body[::-1].decode()
    )

    @broker.subscriber("orders", codec=codec)
    async def handle(text: str) -> str:
        return text

    async with TestBroker(broker):
        answer = await broker.request(b"cba", "orders", content_type="text/backwards")

        assert await answer.decode() == "abc"


async def test_an_answer_is_decoded_as_a_type(broker: MemoryBroker) -> None:
    @broker.subscriber("orders")
    async def handle(number: int) -> dict[str, int]:
        return {"id": number}

    async with TestBroker(broker):
        answer = await broker.request(3, "orders")

    assert await answer.decode(as_=Order) == Order(id=3)
    assert await answer.decode() == {"id": 3}


async def test_each_message_of_a_batch_is_parsed_and_decoded_by_itself() -> None:
    async def parse(record: MemoryRecord, original: Original) -> Message:
        message: Message = await original(record)
        message.body = message.body.removeprefix(b"-")
        return message

    def decode(message: Message) -> object:
        return json.loads(message.body[::-1])

    broker = MemoryBroker(parser=parse, decoder=decode)

    done: list[Message] = []

    @broker.subscriber("orders", group="g", batch=True)
    @broker.publisher("done", batch=True)
    async def handle(numbers: list[int]) -> list[int]:
        return [number + 1 for number in numbers]

    @broker.subscriber("done", group="g")
    async def look(message: Message) -> None:
        done.append(message)

    async with broker:
        for each in broker.subscribers:
            async with broker.slot.connection.subscribe(each.source, Capacity(1)):
                pass  # now the group exists, and keeps what comes
        for body in (b"-21", b"-}", b"-43"):
            await broker.publish(body, "orders")
        await broker.start()
        await wait_all_tasks_blocked()

    assert [message.body for message in done] == [b"13", b"35"]
    assert [letter.message.body for letter in broker.dead_letters()] == [b"-}"]


class Shouting:
    """A codec that asks somebody."""

    async def encode(self, value: Any, serializer: Any) -> tuple[bytes, str | None]:
        await checkpoint()
        assert serializer is None
        return json.dumps(value).upper().encode(), "text/loud"

    async def decode(self, message: Message) -> Any:
        await checkpoint()
        return json.loads(message.body.lower())


class Whispering:
    async def encode(self, value: Any, serializer: Any) -> tuple[bytes, str | None]:
        del serializer
        return f"({value})".encode(), None

    async def decode(self, message: Message) -> Any:
        return message.body.decode().strip("()")


async def test_a_codec_of_ones_own_reads_and_writes_whatever_passes_a_broker() -> None:
    broker = MemoryBroker(codec=Shouting())
    seen: list[tuple[bytes, str | None]] = []

    @broker.subscriber("in")
    @broker.publisher("out")
    async def handle(order: Order) -> dict[str, str]:
        return {"order": f"number {order.id}"}

    @broker.subscriber("out")
    async def look(message: Message) -> None:
        seen.append((message.body, message.content_type))

    out = broker.publishers[0]
    async with TestBroker(broker):
        await broker.publish({"id": 3}, "in")
        answer = await broker.request({"id": 4}, "in")
        await out.publish({"id": 5})

        await handle.assert_any_call({"id": 3})
        await out.assert_any_call({"order": "number 3"})

    loud = "text/loud"
    assert seen[0] == (b'{"ORDER": "NUMBER 3"}', loud)
    assert seen[-1] == (b'{"ID": 5}', loud)
    assert answer.body == b'{"ORDER": "NUMBER 4"}'
    assert await answer.decode() == {"order": "number 4"}
    assert await answer.decode(as_=dict[str, str]) == {"order": "number 4"}


async def test_of_several_codecs_the_nearest_holds() -> None:
    broker = MemoryBroker(codec=Shouting())
    router = MemoryRouter(codec=Whispering())
    plain = router.publisher("plain", codec=Codec())
    whispered = router.publisher("whispered")
    shouted = broker.publisher("shouted")
    seen: dict[str, bytes] = {}

    @plain
    @whispered
    @shouted
    @router.subscriber("in")
    async def handle(number: int) -> str:
        return f"it is {number}"

    for address in ("plain", "whispered", "shouted"):

        @broker.subscriber(address)
        async def look(message: Message) -> None:
            seen[message.address] = message.body

    broker.include_router(router)
    async with TestBroker(broker):
        await broker.publish(7, "in")

    assert seen == {"plain": b"it is 7", "whispered": b"(it is 7)", "shouted": b'"IT IS 7"'}


async def test_a_codec_that_fails_is_a_failure_of_the_message_or_of_its_output() -> None:
    class Away(Shouting):
        async def encode(self, value: Any, serializer: Any) -> tuple[bytes, str | None]:
            raise ConnectionError("the registry is away")

    broker = MemoryBroker()

    @broker.subscriber("in", no_reply=True)
    @broker.publisher("out", codec=Away())
    async def handle(number: int) -> int:
        return number

    async with TestBroker(broker):
        with pytest.raises(ConnectionError, match="registry"):
            await broker.publish(1, "in")


@pytest.mark.parametrize(
    ("codec", "decoder", "said"),
    [
        (Shouting(), json.loads, "both decode"),
        (json, None, "must be a Codec, or have `async encode"),
    ],
)
def test_what_is_no_codec_or_one_beside_a_decoder_is_refused(
    codec: Any, decoder: Any, said: str
) -> None:
    for declare in (MemoryBroker, MemoryRouter, MemoryBroker().subscriber("in")):
        with pytest.raises(DeclarationError, match=said):
            declare(codec=codec, decoder=decoder)
    with pytest.raises(DeclarationError, match=said):
        MemoryBroker().subscriber("in", codec=codec, decoder=decoder)


async def test_a_handler_has_a_parser_a_decoder_and_dependencies_of_its_own(
    broker: MemoryBroker,
) -> None:
    seen: list[object] = []
    orders = broker.subscriber("orders", dependencies=[Depends(partial(seen.append, "all"))])

    async def parse(record: MemoryRecord, original: Original) -> Message:
        message: Message = await original(record)
        message.body = message.body.removeprefix(b"!")
        return message

    def shout(message: Message) -> bytes:
        return message.body.upper()

    def is_loud(message: Message) -> bool:
        record: MemoryRecord = message.raw_message
        return record.body.startswith(b"!")

    @orders(
        filter=is_loud,
        parser=parse,
        decoder=shout,
        dependencies=[Depends(partial(seen.append, "loud"))],
    )
    async def loud(text: bytes, message: Message) -> str:
        seen.extend([text, message.body, await message.decode()])
        await message.ack()
        return "heard"

    @orders
    async def other(text: bytes, message: Message) -> None:
        seen.extend([text, message.body])

    async with TestBroker(broker):
        assert await (await broker.request(b"!abc", "orders")).decode() == "heard"
        await broker.publish(b"abc", "orders")

    assert seen == ["all", "loud", b"ABC", b"abc", b"ABC", "all", b"abc", b"abc"]


async def test_answers_and_what_is_read_by_hand_pass_the_parser_and_the_decoder() -> None:
    async def parse(record: MemoryRecord, original: Original) -> Message:
        message: Message = await original(record)
        message.body += b"1"
        return message

    def decode(message: Message) -> int:
        return int(message.body) * 10

    broker = MemoryBroker(parser=parse, decoder=decode)
    by_hand = broker.subscriber("by hand")

    @broker.subscriber("in")
    async def handle(number: int) -> int:
        return number

    async with TestBroker(broker):
        answer = await broker.request(b"7", "in")
        await broker.publish(b"8", "by hand")
        read = await by_hand.get_one()

        assert read is not None
        assert (await answer.decode(), await read.decode()) == (71_010, 810)
        assert await answer.decode(as_=int) == 71_010


async def test_without_types_the_handler_gets_the_decoded_body_and_nothing_else() -> None:
    broker = MemoryBroker(apply_types=False)
    heard: list[object] = []

    @broker.subscriber("one")
    async def one(order: Order) -> Order:
        heard.append(order)
        return order

    @broker.subscriber("two")
    def two(id: int, name: Any = Depends(pytest.fail)) -> None:  # noqa: A002 - a member of the body
        heard.append((id, name))

    @broker.subscriber("batch", batch=True)
    async def batch(orders: list[Order]) -> None:
        heard.append(orders)

    async with TestBroker(broker):
        answer = await broker.request({"id": "7"}, "one")
        await broker.publish({"id": "8", "name": "ann"}, "two")
        await broker.publish({"id": "9"}, "batch")

    assert heard == [{"id": "7"}, ("8", "ann"), [{"id": "9"}]]
    assert await answer.decode() == {"id": "7"}


async def test_without_types_a_handler_has_to_take_the_body() -> None:
    broker = MemoryBroker(apply_types=False)

    @broker.subscriber("in")
    async def handle() -> None: ...

    with pytest.raises(DeclarationError, match=r"'handle' .* takes nothing, and with apply_types"):
        async with TestBroker(broker):
            pass


async def test_without_a_serializer_values_are_injected_as_they_are() -> None:
    broker = MemoryBroker(serializer=None)
    heard: list[object] = []

    def number(id: int) -> int:  # noqa: A002 - a member of the body
        return id

    @broker.subscriber("in")
    async def handle(
        id: int,  # noqa: A002 - a member of the body
        name: int,
        kind: Annotated[int, Header()],
        same: Annotated[str, Depends(number)],
        message: Message,
    ) -> Order:
        heard.extend([id, name, kind, same, type(message)])
        return {"id": "no number"}  # type: ignore[return-value] # what nobody validates

    async with TestBroker(broker):
        answer = await broker.request({"id": "7", "name": "a"}, "in", headers={"kind": "8"})

    assert heard == ["7", "a", "8", "7", Message]
    assert await answer.decode() == {"id": "no number"}


@pytest.mark.parametrize(("said", "heard"), [({}, "7"), ({"serializer": PydanticSerializer()}, 7)])
async def test_an_application_leaves_out_the_serializer_of_brokers_that_say_nothing(
    said: dict[str, Any], heard: object
) -> None:
    broker = MemoryBroker(**said)
    app = App(broker, serializer=None)
    seen: list[object] = []

    @broker.subscriber("in")
    async def handle(number: int) -> None:
        seen.append(number)

    async with TestBroker(broker), TestApp(app):
        await broker.publish("7", "in")

    assert seen == [heard]
