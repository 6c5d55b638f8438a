"""The client, as far as we use it; no other module imports it.

It connects, logs in, speaks TLS, pings, and mends its connection. What it reads goes through our
parser, and what we write goes to its socket: its own ways cost a task, a queue and an object for
each message, and end for good where a server only ends a connection. For that there is no public
way.
"""
# ruff: noqa: SLF001 - see above
# pyright: reportPrivateUsage=false, reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
from asyncio import Future, get_running_loop
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import nats.aio.client
import nats.errors
import nats.js.errors
import nats.js.kv
import nats.js.object_store
import nkeys  # type: ignore[import-untyped] # it says nothing of its types
from anyio import fail_after
from anyio.lowlevel import checkpoint

from callboard_brokers._errors import AccessRefused, BrokerError, ConnectionLost, TopologyError
from callboard_brokers.kit import RECONNECT, Translation, brief
from callboard_brokers.nats._config import NatsOptions
from callboard_brokers.nats._parser import Parser, Sink

NatsClient: TypeAlias = nats.aio.client.Client
KeyValue: TypeAlias = nats.js.kv.KeyValue
ObjectStore: TypeAlias = nats.js.object_store.ObjectStore
T = TypeVar("T")

_HOPELESS: Final = (
    nats.errors.InvalidUserCredentialsError,
    nkeys.NkeysError,
    FileNotFoundError,
    PermissionError,
)
NO_JETSTREAM: Final = "there is no JetStream on this server, or not for us"
_REFUSED: Final = ("authorization", "authentication", "certificate")
_ERRORS: Final = (OSError, TimeoutError, nats.errors.Error, nkeys.NkeysError)
_OURS: Final = {"domain", "api_timeout", "user_credentials_str"}
_ROOM: Final = 2**16
"""How many octets are written until we wait for the socket."""


class Client:
    """A connection that mends itself; *lost*, *found* and *refused* are told what happens.

    *refused* gets what the server says of something that we may not read or publish.
    """

    def __init__(
        self,
        lost: Callable[[Exception], None],
        found: Callable[[], None],
        refused: Callable[[str], None],
    ) -> None:
        self._parser = Parser(self._line, self._foreign)
        self.nats = NatsClient()
        self.nats._ps = self  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue] - it has what is asked of a parser
        self._login = self.nats._connect_command
        self.nats._connect_command = self._logging_in  # type: ignore[method-assign]
        self._greet = self.nats._process_connect_init
        self.nats._process_connect_init = self._greeting  # type: ignore[method-assign]
        self._lost, self._found, self._refused = lost, found, refused
        self._pings: set[Future[Any]] = set()
        self._out: list[bytes] = []
        self._written = self._attempts = 0
        self._started = False
        self.sinks: dict[bytes, Sink] = self._parser.sinks
        self.touched = self._parser.touched
        self._soon = get_running_loop().call_soon

    @property
    def max_payload(self) -> int:
        """How many octets the server takes in one message, headers included."""
        return self.nats.max_payload

    @property
    def version(self) -> tuple[int, int]:
        """The server's."""
        version = self.nats.connected_server_version
        return version.major, version.minor

    async def connect(self, servers: Sequence[str], options: NatsOptions) -> None:
        """Connect; while no server can be reached, try again.

        Raises:
            AccessRefused: A server was reached and turned us away, or there is nothing to log in by.
        """
        names = [each.name for each in fields(options) if each.name not in _OURS]
        said: dict[str, Any] = {name: getattr(options, name) for name in names}
        if options.user_credentials_str is not None:
            said["user_credentials"] = nats.aio.client.RawCredentials(options.user_credentials_str)
        # By callbacks alone the client would not log in.
        self.nats._auth_configured = options.user_jwt_cb is not None
        with Translation(_ERRORS).translating("cannot log in", AccessRefused):
            await self.nats.connect(
                list(servers),
                error_cb=self._failed,
                disconnected_cb=self._disconnected,
                reconnected_cb=self._reconnected,
                reconnect_to_server_handler=self._choose,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                max_outstanding_pings=2,
                **said,
            )
        if options.tls is not None and not self.nats._server_info.get("tls_required"):
            await self.nats.close()
            raise AccessRefused("the NATS server speaks no TLS, which the options ask for")
        self._started = True

    async def close(self) -> None:
        """Hang up, and never connect again."""
        self.send()
        if self.nats._flush_queue is not None:  # else it has not got so far
            await self.nats.close()

    def subscribe(self, subject: str, queue: str, sink: Sink) -> bytes:
        """Have *sink* get what comes on *subject*; return the id of that, for `unsubscribe`."""
        self.nats._sid += 1
        number = str(self.nats._sid).encode()
        self.sinks[number] = sink
        self.write(b"SUB %b %b %b\r\n" % (subject.encode(), queue.encode(), number))
        return number

    def write(self, octets: bytes) -> None:
        """Write whole commands, in the next tick as one with all others."""
        if not self._out:
            self._soon(self.send)
        self._out.append(octets)
        self._written += len(octets)

    def send(self) -> None:
        """Write what waits for the next tick."""
        out, self._out = self._out, []
        if out and self.nats.is_connected and (transport := self.nats._transport) is not None:
            transport.write(b"".join(out))

    @property
    def has_room(self) -> bool:
        """Whether not much was written since the last time that `room` was waited for."""
        return self._written <= _ROOM

    async def room(self) -> None:
        """Wait until the socket takes more, if much was written since the last time."""
        if self.has_room:
            return
        self._written = 0
        if (transport := self.nats._transport) is not None:
            self.send()
            with Translation(_ERRORS, passing=lambda _: True).translating("cannot write"):
                await transport.drain()  # type: ignore[no-untyped-call] # likewise
            await checkpoint()  # the socket may take all, for ever: others want a turn

    async def ping(self, seconds: float) -> None:
        """Return once the server has taken all that was written, and all that it sent is here.

        Raises:
            ConnectionLost: It does not answer within *seconds*.
        """
        transport = self.nats._transport
        if not self.nats.is_connected or transport is None:
            raise ConnectionLost("no NATS server can be reached")
        self.send()
        pong = get_running_loop().create_future()
        # Written at once, since the client does so too: the answers come in the order of asking.
        self.nats._pongs.append(pong)
        transport.write(b"PING\r\n")
        self._pings.add(pong)
        try:
            with fail_after(seconds):
                await pong
        except TimeoutError as error:
            raise ConnectionLost(f"the NATS server has not answered within {seconds} s") from error
        finally:
            self._pings.discard(pong)

    async def key_value(
        self, bucket: str, domain: str | None, config: Mapping[str, Any] | None
    ) -> KeyValue:
        """Return a *bucket* of keys and values, which is made by *config*, unless that is None.

        Raises:
            TopologyError: It is not there, and not to be made, or the server makes none.
            ConnectionLost: Nobody can say.
        """
        js = self.nats.jetstream(domain=domain)
        make = None if config is None else partial(js.create_key_value, bucket=bucket, **config)
        return await _bucket_of(bucket, partial(js.key_value, bucket), make)

    async def object_store(
        self, bucket: str, domain: str | None, config: Mapping[str, Any] | None
    ) -> ObjectStore:
        """Return a *bucket* of objects, likewise."""
        js = self.nats.jetstream(domain=domain)
        make = None if config is None else partial(js.create_object_store, bucket, **config)
        return await _bucket_of(bucket, partial(js.object_store, bucket), make)

    async def parse(self, data: bytes = b"") -> None:
        """Take what the client has read."""
        try:
            await self._parser.parse(data)
        except Exception as error:  # the client would stop reading, without a word
            raise nats.errors.ProtocolError from error

    def reset(self) -> None:
        """Forget what has come of a message."""
        self._parser.reset()

    def _logging_in(self) -> bytes:
        """Return what we say of ourselves; it may have been read from files that are half written."""
        try:
            return self._login()
        except (OSError, nats.errors.Error):
            raise
        except Exception as error:  # the client would give up, without a word
            raise nats.errors.InvalidUserCredentialsError from error

    async def _greeting(self) -> None:
        """Speak first with a server; what answers may be none at all."""
        try:
            await self._greet()
        except _ERRORS:
            raise
        except Exception as error:  # the client would never try again, without a word
            raise nats.errors.ProtocolError from error

    async def _foreign(
        self, number: int, subject: bytes, reply: bytes, body: bytes, header: bytes
    ) -> None:
        await self.nats._process_msg(number, subject, reply, body, header)

    async def _line(self, line: bytes) -> None:
        if line == b"PING":
            self.write(b"PONG\r\n")
        elif line == b"PONG":
            self.nats._pings_outstanding = 0
            if self.nats._pongs and not (pong := self.nats._pongs.pop(0)).done():
                pong.set_result(True)
        elif line.startswith(b"INFO "):
            await self.nats._process_info(json.loads(line[5:]))
        elif line.startswith(b"-ERR"):
            await self._complaint(line[5:].decode(errors="replace").strip("' "))
        elif line != b"+OK":
            raise nats.errors.ProtocolError

    async def _complaint(self, text: str) -> None:
        if text.lower().startswith("permissions violation"):
            self._refused(text)
            return
        # It hangs up: for a message that is too large, or since our time is over. The client
        # would not come back.
        error = ConnectionLost(f"the NATS server has ended the connection: {text}")
        self._lost(error)
        await self.nats._process_op_err(error)

    async def _failed(self, error: Exception) -> None:
        """Take notice of what the client meets; called by it, while it is connecting too."""
        if not self._started and (why := _refusal(error)) is not None:
            raise why from error
        if not self.nats.is_connected:
            self._lost(error)

    async def _disconnected(self) -> None:
        lost = ConnectionLost("the connection to NATS has ended")
        for ping in self._pings:
            if not ping.done():
                ping.set_exception(lost)
        self._out.clear()
        self._lost(lost)

    async def _reconnected(self) -> None:
        self._attempts = 0
        self._found()

    def _choose(self, servers: list[Any], _info: object) -> tuple[Any, float]:
        """Say which of *servers* to try next, and after how many seconds."""
        self._parser.reset()  # what was left of the last connection
        if self.nats._transport is not None:
            # Of an attempt that has failed half way, it would be left open.
            self.nats._transport.close()  # type: ignore[no-untyped-call] # likewise
        self._attempts += 1
        return servers[self._attempts % len(servers)], RECONNECT.jittered(self._attempts - 1)


def _refusal(error: Exception) -> BrokerError | None:
    """Return our error if trying again is no use."""
    text = brief(error)
    if isinstance(error, _HOPELESS) or any(word in text.lower() for word in _REFUSED):
        return AccessRefused(
            f"the NATS server cannot be used: {text}; look at the password, the key or the"
            " credentials, which may have expired, and at the certificates"
        )
    return None


class Entries:
    """The keys of a bucket, each written only by who has seen its last revision."""

    def __init__(self, bucket: KeyValue) -> None:
        self._bucket = bucket

    async def get(self, key: str) -> tuple[bytes | None, int]:
        """Return the value of *key* and its revision; None and 0 if it has none."""
        try:
            entry = await self._bucket.get(key)
        except nats.js.errors.KeyDeletedError as error:
            gone: Any = error.entry
            return None, gone.revision
        except nats.js.errors.NotFoundError:
            return None, 0
        return entry.value, entry.revision or 0

    async def put(self, key: str, value: bytes, last: int) -> bool:
        """Write *value* if the revision is still the *last* one; return whether it was."""
        try:
            await self._bucket.update(key, value, last)
        except nats.js.errors.KeyWrongLastSequenceError:
            return False
        return True


async def _bucket_of(
    name: str, find: Callable[[], Awaitable[T]], make: Callable[[], Awaitable[T]] | None
) -> T:
    """Return a bucket that is there, or else is made."""
    with Translation(_ERRORS, passing=_is_silence).translating(f"cannot have the bucket {name!r}"):
        try:
            return await find()
        except nats.js.errors.ServiceUnavailableError as error:
            if error.code is not None:  # else nobody is there to say more
                raise
            raise TopologyError(NO_JETSTREAM, [name]) from error
        except nats.js.errors.NotFoundError as error:
            if make is None:
                text = f"missing on the NATS server: the bucket {name!r}"
                raise TopologyError(text, [name]) from error
        return await make()


def _is_silence(error: Exception) -> bool:
    return not isinstance(error, nats.js.errors.APIError)
