"""The client, and a way to a server of our own: commands go out together, once in a tick.

The client sends a command again whose answer was lost, takes a connection for each command, and loses
what a cancelled read had brought. Here nothing is sent twice, one connection carries everything, and
an answer is taken when it comes, whoever waits for it or not.
"""

from __future__ import annotations

from asyncio import Protocol, Transport, get_running_loop
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar, cast

import hiredis
import redis.asyncio as client
from anyio import fail_after
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from callboard_brokers._errors import (
    AccessRefused,
    BrokerError,
    ConnectionLost,
    DestinationError,
    PublishFailed,
)
from callboard_brokers.kit import Known, Signal, brief
from callboard_brokers.redis._config import RedisOptions

T = TypeVar("T")
Word: TypeAlias = str | bytes | int | float
RedisClient: TypeAlias = "client.Redis"
"""The client's own, for whatever else a program does with the server."""
_MORE: Final = object()
_ANSWERS: Final = {b"subscribe", b"psubscribe"}
"""What is said as if nobody had asked, and is the answer to a command."""
ADVICE: Final[dict[str, tuple[type[BrokerError], str]]] = {
    "NOAUTH": (AccessRefused, "give username= and password=, or have them in the URL"),
    "WRONGPASS": (AccessRefused, "look at the user and the password"),
    "NOPERM": (AccessRefused, "give the user that right, by ACL SETUSER"),
    "WRONGTYPE": (DestinationError, "the key holds something else; delete it, or take another"),
    "CROSSSLOT": (DestinationError, "give keys that belong together one hash tag: '{orders}.a'"),
    "READONLY": (ConnectionLost, "it is a replica by now; the master is looked for"),
    "OOM": (PublishFailed, "the server's memory is full; raise maxmemory, or trim streams"),
    "MISCONF": (PublishFailed, "the server cannot write to its disk"),
    "LOADING": (ConnectionLost, "it reads its data after a start"),
    "MASTERDOWN": (ConnectionLost, "it has lost its master"),
    "CLUSTERDOWN": (ConnectionLost, "not all of the cluster is there"),
    "TRYAGAIN": (ConnectionLost, "keys are on their way to another node"),
}
"""What the first word of a refusal is to us, and what to do about it."""


class Refused(BrokerError):
    """The server refuses a command, for a reason that is no other error; `code` is its first word."""

    code = ""


class Asked(Known[T]):
    """What becomes of a command; *read* returns what its answer says."""

    __slots__ = ("_read", "address")

    def __init__(self, address: str, read: Callable[[Any], T]) -> None:
        super().__init__()
        self.address = address
        self._read = read

    def answer(self, reply: Any) -> None:
        """Take the answer."""
        try:
            if isinstance(reply, hiredis.ReplyError):
                raise refusal(str(reply), self.address)
            self.end(self._read(reply))
        except BrokerError as error:
            self.end(None, error)
        except (LookupError, TypeError, ValueError) as error:
            self.end(None, BrokerError(f"{self.address}: cannot read {reply!r:.100}: {error}"))


class Wire(Protocol):
    """A connection to a server; *pushed* gets what it says unasked.

    Attributes:
        error: Why it is lost; None: it is not.
        heard: When the server has said something, by the loop's time.
    """

    def __init__(self, address: str, pushed: Callable[[Sequence[Any]], None]) -> None:
        self.address, self.id = address, 0
        self.error: ConnectionLost | None = None
        self.gone, self._room = Signal(), Signal()
        self.heard = get_running_loop().time()
        self.told: list[Callable[[ConnectionLost], None]] = []
        self.asked: deque[Asked[Any]] = deque()
        self._pushed = pushed
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._unsent: list[bytes] = []
        self._transport: Transport | None = None
        self.is_full = False

    async def room(self) -> None:
        """Return when the server reads as fast as we write, or when it is lost."""
        while self.is_full and self.error is None:
            await self._room.wait()

    def ask(self, asked: Asked[T], *words: Word) -> Asked[T]:
        """Send a command in this tick; *asked* gets the answer, whatever becomes of who waits."""
        if self.error is not None:
            asked.end(None, self.error)
            return asked
        if not self.asked:
            self.heard = get_running_loop().time()
        self.asked.append(asked)
        if not self._unsent:
            get_running_loop().call_soon(self._send)
        self._unsent.append(hiredis.pack_command(words))  # type: ignore[arg-type] # it takes any number
        return asked

    async def call(self, *words: Word) -> Any:
        """Return what the server answers to a command.

        Raises:
            BrokerError: It refuses, or has not answered.
        """
        return await self.ask(Asked(self.address, as_it_is), *words).wait()

    def close(self, why: str = "the connection was left") -> None:
        """Hang up; whoever waits hears *why*."""
        self.connection_lost(ConnectionLost(why))
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        """Have the transport."""
        self._transport = cast("Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self.heard = get_running_loop().time()
        self._reader.feed(data)
        said: list[Any] = []
        try:
            while (reply := self._reader.gets()) is not _MORE:
                if isinstance(reply, hiredis.PushNotification) and reply[0] not in _ANSWERS:
                    said.append(reply)
                elif self.asked:
                    self.asked.popleft().answer(reply)
                    if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("READONLY"):
                        self.close("it is a replica by now")
        except hiredis.ProtocolError as error:
            self.close(f"it does not speak Redis: {error}")
        if said:
            self._pushed(said)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all that wait."""
        if self.error is not None:
            return
        self.error = ConnectionLost(f"{self.address}: {exc or 'the server has hung up'}")
        asked, self.asked = self.asked, deque()
        for each in asked:
            each.end(None, self.error)
        self.gone.set()
        self._room.set()
        for tell in self.told:
            tell(self.error)

    def pause_writing(self) -> None:
        """Take notice that the server does not read."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Take notice that it does again."""
        self.is_full = False
        self._room.set()

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and self.error is None:
            self._transport.write(b"".join(unsent))


def refusal(text: str, address: str) -> BrokerError:
    """Return our error for what the server says in place of an answer."""
    code = text.partition(" ")[0]
    kind, advice = ADVICE.get(code, (Refused, ""))
    error = kind(f"{address}: {text}" + (f"; {advice}" if advice else ""))
    if isinstance(error, Refused):
        error.code = code
    return error


class Server:
    """Where a server is and how to log in there, by a URL and options."""

    def __init__(self, url: str, options: RedisOptions) -> None:
        names = "host", "port", "db", "username", "password"
        said = {name: getattr(options, name) for name in names}
        try:
            self._said: dict[str, Any] = {**parse_url(url), **{k: v for k, v in said.items() if v}}
        except ValueError as error:
            raise DestinationError(f"no Redis at {url.rpartition('@')[2]!r}: {error}") from error
        self._options = options
        self._at = self._said.get("host") or "localhost", self._said.get("port") or 6379
        self._tls: Any = options.ssl_context or (url.startswith("rediss://") or None)
        self.address: str = self._said.get("path") or "{}:{}".format(*self._at)

    async def open(self, pushed: Callable[[Sequence[Any]], None] = lambda _: None) -> Wire:
        """Connect and log in.

        Raises:
            AccessRefused: The server does not let us in.
            ConnectionLost: It cannot be reached.
        """
        wire, loop = Wire(self.address, pushed), get_running_loop()
        try:
            with fail_after(self._options.socket_connect_timeout):
                if path := self._said.get("path"):
                    await loop.create_unix_connection(lambda: wire, path)
                else:
                    await loop.create_connection(lambda: wire, *self._at, ssl=self._tls)
                await self._log_in(wire)
        except BaseException as error:
            wire.close()
            if isinstance(error, OSError):  # late, or not what the certificate says, too
                raise ConnectionLost(f"{self.address}: {brief(error)}") from error
            raise
        return wire

    async def _log_in(self, wire: Wire) -> None:
        user, password = self._said.get("username"), self._said.get("password")
        proof: Sequence[Word] = ("AUTH", user or "default", password) if password else ()
        try:
            said = await wire.call("HELLO", 3, *proof, "SETNAME", self._options.client_name)
        except Refused as error:
            raise BrokerError(f"{error}; Callboard needs Redis 6.2 or newer, or Valkey") from error
        wire.id = said[b"id"]
        if db := self._said.get("db"):
            await wire.call("SELECT", db)

    def client(self) -> RedisClient:
        """Return the client's own, which sends nothing twice either."""
        pool = client.ConnectionPool(**self._said, retry=Retry(NoBackoff(), 0))
        return client.Redis.from_pool(pool)


async def hung_up(opened: RedisClient) -> None:
    """Close a client, and do not mind how."""
    with suppress(Exception):
        await opened.aclose()


def as_it_is(reply: Any) -> Any:
    """Return *reply*."""
    return reply
