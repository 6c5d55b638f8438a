"""Frames of AMQP that we read and write ourselves, beside those of the client.

The client starts a task and makes a dozen objects for each delivery, which costs ten times what
our reader costs. So it gets a stream of bytes from which the frames of deliveries, confirms and
returns have been taken out; the handshake, heartbeats, and whatever asks and waits stay with it.
"""

from __future__ import annotations

from asyncio import Future, StreamReader, get_running_loop
from collections.abc import Callable, Iterable, Mapping
from struct import Struct
from time import monotonic
from typing import Final, SupportsIndex

from callboard_brokers.rabbit._table import short

DELIVER, RETURN, CONFIRM, REFUSE, CANCEL, CLOSE, END, BLOCKED, UNBLOCKED = (
    bytes((0, group, 0, method))
    for group, method in (
        (60, 60),
        (60, 50),
        (60, 80),
        (60, 120),
        (60, 30),
        (20, 40),
        (10, 50),
        (10, 60),
        (10, 61),
    )
)
"""Methods that are listened to: of a consumer, of a publisher, of a channel, of a connection."""

_METHOD, _HEADER, _BODY = 1, 2, 3
_HEAD, _TAG, _CONTENT = Struct(">BHI"), Struct(">BHI4sQBB"), Struct(">BHIIQ")
_HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
_SILENCE: Final = 1.0
"""After so many seconds the client is told that there was something."""


class Sink:
    """What is done with the frames of a channel.

    A method is given its arguments, and says whether it is done with; if not, the client gets it
    too. A method with a content is given that: its properties, and its body.
    """

    def __init__(
        self,
        methods: Mapping[bytes, Callable[[bytes], bool]],
        contents: Mapping[bytes, Callable[[bytes, bytes, bytes], None]],
    ) -> None:
        self._methods = methods
        self._contents = contents
        self._call: Callable[[bytes, bytes, bytes], None] | None = None
        self._arguments = self._properties = b""
        self._parts: list[bytes] = []
        self._missing = 0

    def take(self, kind: int, octets: bytes) -> bool:
        """Take the payload of a frame; return whether it is done with."""
        if kind == _METHOD:
            return self._method(octets[:4], octets[4:])
        if kind == _HEADER:
            self._missing = int.from_bytes(octets[4:12], "big")
            self._properties, self._parts = octets[12:], []
        elif kind == _BODY:
            self._missing -= len(octets)
            self._parts.append(octets)
        else:
            return False
        if self._missing <= 0 and self._call is not None:
            parts = self._parts
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            self._call(self._arguments, self._properties, body)
        return True

    def _method(self, name: bytes, arguments: bytes) -> bool:
        content = self._contents.get(name)
        if content is not None:
            self._call, self._arguments = content, arguments
            return True
        method = self._methods.get(name)
        return method is not None and method(arguments)


class Frames(StreamReader):
    """The stream that the client reads, without what *sinks*, by their channels, are done with.

    Attributes:
        gone: Done when the connection is, with the reason as far as one is known.
        code: What the server has said when it closed the connection; 0: it has not.
        blocked: Why the server reads nothing that is published; None: it does.
        heed: Told when that changes.
    """

    def __init__(self) -> None:
        super().__init__()
        whole = {END: self._closing, BLOCKED: self._block, UNBLOCKED: self._unblock}
        self.sinks: dict[int, Sink] = {0: Sink(whole, {})}
        self.gone: Future[str] = get_running_loop().create_future()
        self.code, self.reason = 0, "the connection was closed"
        self.blocked: str | None = None
        self.heed: Callable[[], None] = lambda: None
        self._rest = b""
        self._fed = monotonic()

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """Take what has come."""
        octets = self._rest + bytes(data) if self._rest else bytes(data)
        if octets.startswith(b"AMQP"):  # of another version: no frames
            super().feed_data(octets)
            return
        at, end, passed = 0, len(octets), list[bytes]()
        while end - at >= 8:
            kind, channel, size = _HEAD.unpack_from(octets, at)
            after = at + size + 8
            if after > end:
                break
            sink = self.sinks.get(channel)
            if sink is None or not sink.take(kind, octets[at + 7 : after - 1]):
                passed.append(octets[at:after])
            at = after
        self._rest = octets[at:]
        self._pass_on(passed)

    def feed_eof(self) -> None:
        """Take notice of the end."""
        super().feed_eof()
        self._end(self.reason)

    def set_exception(self, exc: Exception) -> None:
        """Take notice of a failure."""
        super().set_exception(exc)
        self._end(f"{self.reason}: {exc!r}")

    def _pass_on(self, frames: list[bytes]) -> None:
        now = monotonic()
        if not frames and now - self._fed > _SILENCE:
            frames.append(_HEARTBEAT)  # to the client a server that only delivers would be dead
        if frames:
            self._fed = now
            super().feed_data(b"".join(frames))

    # These are for the client, too.

    def _closing(self, arguments: bytes) -> bool:
        self.code, self.reason = reason_of(arguments)
        return False

    def _block(self, arguments: bytes) -> bool:
        self.blocked = arguments[1:].decode(errors="replace")
        self.heed()
        return False

    def _unblock(self, _: bytes) -> bool:
        self.blocked = None
        self.heed()
        return False

    def _end(self, reason: str) -> None:
        if not self.gone.done():
            self.gone.set_result(reason)


def ack(channel: int, tag: int, *, multiple: bool = False) -> bytes:
    """Say that *tag*, or all up to it, are handled. At least that one must be unsettled."""
    return _TAG.pack(_METHOD, channel, 13, CONFIRM, tag, multiple, 0xCE)


def reject(channel: int, tag: int, *, requeue: bool) -> bytes:
    """Say that *tag* has failed; it comes again, or goes to the dead letters."""
    return _TAG.pack(_METHOD, channel, 13, b"\x00\x3c\x00\x5a", tag, requeue, 0xCE)


def give_back(channel: int, tag: int) -> bytes:
    """Say that *tag* was not handled, which from 4.3 on does not count as a delivery."""
    return _TAG.pack(_METHOD, channel, 13, REFUSE, tag, 2, 0xCE)


def consume_little(channel: int, queue: str, tag: str, *, credit: bool) -> bytes:
    """Begin a consumer, and wait for nothing; without *credit* it gets nothing, up to 3.13."""
    # The server takes a number of 64 bits here and no other, and the client writes short ones.
    table = (
        b""
        if credit
        else b"\x08x-creditF\x00\x00\x00\x18\x06creditl" + bytes(8) + b"\x05draint\x00"
    )
    where = b"\x00\x3c\x00\x14\x00\x00" + short(queue) + short(tag) + b"\x08"
    return _frame(_METHOD, channel, where + len(table).to_bytes(4, "big") + table)


def publishing(channel: int, exchange: str, key: str, *, mandatory: bool) -> bytes:
    """Begin a message for *exchange* by *key*; its content follows."""
    where = short(exchange) + short(key) + bytes((mandatory,))
    return _frame(_METHOD, channel, b"\x00\x3c\x00\x28\x00\x00" + where)


def content(channel: int, properties: bytes, body: bytes, frame_max: int) -> bytes:
    """Write what a message holds, in frames of at most *frame_max* bytes."""
    size, room = len(body), frame_max - 8
    head = _CONTENT.pack(_HEADER, channel, 12 + len(properties), 60 << 16, size)
    if 0 < size <= room:
        return b"%b%b\xce%b%b\xce" % (head, properties, _HEAD.pack(_BODY, channel, size), body)
    parts = (_frame(_BODY, channel, body[at : at + room]) for at in range(0, size, room))
    return b"%b%b\xce%b" % (head, properties, b"".join(parts))


def reason_of(arguments: bytes) -> tuple[int, str]:
    """Return the code and the text by which a channel or a connection is closed."""
    text = arguments[3 : 3 + arguments[2]]
    return int.from_bytes(arguments[:2], "big"), text.decode(errors="replace")


def texts(octets: bytes, at: int) -> tuple[str, str]:
    """Return the two short texts at *at*: an exchange, and a routing key."""
    middle = at + 1 + octets[at]
    end = middle + 1 + octets[middle]
    first, second = octets[at + 1 : middle], octets[middle + 1 : end]
    return first.decode(errors="replace"), second.decode(errors="replace")


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return _HEAD.pack(kind, channel, len(payload)) + payload + b"\xce"
