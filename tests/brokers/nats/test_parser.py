from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_brokers.nats._parser import Parser

WIRE = (
    b"PING\r\n"
    b"MSG a.b 1 3\r\nx\r\n\r\n"
    b"MSG a.b 1 reply 0\r\n\r\n"
    b"HMSG a 1 18 20\r\nNATS/1.0\r\nx: y\r\n\r\nab\r\n"
    b"HMSG a 1 reply 18 18\r\nNATS/1.0\r\nx: y\r\n\r\n\r\n"
    b"MSG foreign 2 2\r\nhi\r\n"
    b"PONG\r\n"
)


class Heard:
    """What a parser gives away."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.foreign: list[tuple[int, bytes]] = []
        self.messages: list[tuple[bytes, bytes, bytes, bytes]] = []
        self.passed = 0
        self.parser = Parser(self.line, self.other)
        self.parser.sinks[b"1"] = self.message

    async def line(self, line: bytes) -> None:
        self.lines.append(line)

    async def other(
        self, number: int, subject: bytes, reply: bytes, body: bytes, header: bytes
    ) -> None:
        self.foreign.append((number, body))

    def message(self, subject: bytes, reply: bytes, header: bytes, body: bytes) -> None:
        self.messages.append((subject, reply, header, body))
        if not self.parser.touched:
            self.parser.touched.append(self.pass_on)

    def pass_on(self) -> None:
        self.passed += 1


async def _fed(*pieces: bytes) -> Heard:
    heard = Heard()
    for piece in pieces:
        await heard.parser.parse(piece)
    return heard


def _check(heard: Heard) -> None:
    header = b"NATS/1.0\r\nx: y\r\n\r\n"

    assert heard.lines == [b"PING", b"PONG"]
    assert heard.foreign == [(2, b"hi")]
    assert heard.messages == [
        (b"a.b", b"", b"", b"x\r\n"),
        (b"a.b", b"reply", b"", b""),
        (b"a", b"", header, b"ab"),
        (b"a", b"reply", header, b""),
    ]


@given(cuts=st.lists(st.integers(0, len(WIRE)), max_size=8).map(sorted))
def test_it_does_not_matter_how_what_comes_is_cut(cuts: list[int]) -> None:
    ends = [*cuts, len(WIRE)]
    pieces = [WIRE[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    feeding = _fed(*pieces)
    try:
        feeding.send(None)
    except StopIteration as done:
        _check(done.value)
    else:
        pytest.fail("it waited for something")


@pytest.mark.anyio
async def test_messages_that_come_at_once_are_passed_on_as_one() -> None:
    heard = await _fed(b"MSG a 1 1\r\nx\r\n" * 10)

    assert len(heard.messages) == 10
    assert heard.passed == 1


@pytest.mark.anyio
async def test_the_rest_of_a_message_is_forgotten_with_its_connection() -> None:
    heard = await _fed(b"MSG a 1 10\r\nxyz")
    heard.parser.reset()
    await heard.parser.parse(b"MSG a 1 1\r\nx\r\n")

    assert [body for *_, body in heard.messages] == [b"x"]


@pytest.mark.anyio
async def test_a_large_body_in_many_pieces_comes_whole() -> None:
    body = b"x" * 100_000
    wire = b"MSG a 1 %d\r\n%b\r\n" % (len(body), body)
    heard = await _fed(*(wire[at : at + 1000] for at in range(0, len(wire), 1000)))

    assert [message[3] for message in heard.messages] == [body]
