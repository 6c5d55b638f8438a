"""The client, as far as we use it; no other module imports it."""

from __future__ import annotations

import re
from asyncio import (
    FIRST_COMPLETED,
    Future,
    StreamReader,
    StreamReaderProtocol,
    StreamWriter,
    ensure_future,
    get_running_loop,
    wait,
)
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ssl import SSLEOFError, SSLError, SSLZeroReturnError, create_default_context
from typing import Any, Final, TypeAlias, TypeVar

import aiormq
from aiormq.abc import AbstractChannel
from aiormq.connection import TransportFactory
from anyio import CancelScope
from anyio.lowlevel import checkpoint
from yarl import URL

from callboard_brokers._errors import (
    AccessRefused,
    BrokerError,
    ConnectionLost,
    Unroutable,
)
from callboard_brokers.kit import Kind, Translation, brief, heard, in_time
from callboard_brokers.rabbit._frames import Frames
from callboard_brokers.rabbit._records import RabbitOptions

R = TypeVar("R")
ClientChannel: TypeAlias = AbstractChannel
CLOSE: Final = 2.0
Address: TypeAlias = URL
_NOT_ALLOWED: Final = 530
errors = aiormq.exceptions

translated: Final = Translation(
    (errors.AMQPError, RuntimeError, OSError, TimeoutError),
    [
        Kind(
            (errors.AuthenticationError, errors.ProbableAuthenticationError),
            AccessRefused,
            "look at the user and the password",
        ),
        Kind((SSLEOFError, SSLZeroReturnError), ConnectionLost),
        Kind((SSLError,), AccessRefused, "look at the certificates, and at who speaks TLS here"),
        Kind((errors.ConnectionNotAllowed, errors.ChannelAccessRefused), AccessRefused),
        Kind((errors.ChannelNotFoundEntity,), Unroutable),
    ],
    lambda _: True,
)


@dataclass(eq=False)
class Wire:
    """An open connection: asking goes through the client, frames of our own go by `write`."""

    client: aiormq.Connection
    frames: Frames
    writer: StreamWriter

    @property
    def frame_max(self) -> int:
        """How long a frame may be."""
        return self.client.connection_tune.frame_max

    @property
    def delays_retries(self) -> bool:
        """Whether the server knows what a queue says of delayed retries, which others pass over."""
        return self.version >= (4, 3)

    @property
    def gives_back_uncounted(self) -> bool:
        """Whether a message that is put back by `basic.nack` has not failed for a quorum queue."""
        return self.version >= (4, 3)

    @property
    def version(self) -> tuple[int, int]:
        """The server's; (0, 0) if it does not say."""
        numbers = re.match(r"(\d+)\.(\d+)", str(self.client.server_properties.get("version")))
        return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)

    def write(self, octets: bytes) -> None:
        """Send *octets* soon; nothing happens if the connection is gone."""
        if not self.writer.is_closing():
            self.writer.write(octets)

    async def room(self) -> None:
        """Wait until the socket takes more, and let others have their turn.

        Raises:
            ConnectionLost: It has gone meanwhile.
        """
        with translated.translating("writing"):
            await self.writer.drain()
        await checkpoint()

    async def ask(self, step: Coroutine[Any, Any, R], doing: str) -> R:
        """Return what *step* of the client returns, with our errors.

        In a task of its own: the client may cancel its own steps, and whoever waits for them would
        take that for his own cancellation.

        Raises:
            ConnectionLost: The connection has gone meanwhile.
            BrokerError: The server refuses it.
        """
        task: Future[R] = ensure_future(step)
        task.add_done_callback(heard)
        try:
            both: set[Future[Any]] = {task, self.frames.gone}
            await wait(both, return_when=FIRST_COMPLETED)
            if not task.done():
                await wait({task}, timeout=0.1)  # the client may know the reason by now
        finally:
            task.cancel()
        if not task.done() or task.cancelled():
            reason = self.frames.gone.result() if self.frames.gone.done() else "given up"
            raise ConnectionLost(f"{doing}: {reason}")
        with translated.translating(doing):
            return task.result()

    async def channel(self, *, confirm: bool = False) -> ClientChannel:
        """Open a channel; with *confirm*, one to publish on."""
        opening = self.client.channel(publisher_confirms=confirm)
        return await self.ask(opening, "opening a channel")

    @classmethod
    async def open(cls, url: URL, options: RabbitOptions, name: str) -> Wire:
        """Connect.

        Raises:
            ConnectionLost: The server cannot be reached.
            AccessRefused: It does not let us in, or has no such virtual host.
        """
        ways = _Ways()
        client = aiormq.Connection(
            url,
            context=options.ssl_context or _context(url),
            transport_factory=ways,
            client_properties={"connection_name": f"callboard {name}", **options.client_properties},
        )
        starting: Any = client  # a decorator of its says nothing of types
        task: Future[Any] = ensure_future(starting.connect())
        task.add_done_callback(heard)
        try:
            await wait({task}, timeout=options.timeout)
        finally:
            task.cancel()
        doing = f"connecting to {address_of(url)}"
        if not task.done() or task.cancelled():
            raise ConnectionLost(f"{doing}: no answer within {options.timeout} s")
        if (error := task.exception()) is not None:
            raise _refusal(error, doing, ways) from error
        return cls(client, *ways.made[0])


@asynccontextmanager
async def dialled(url: URL, options: RabbitOptions, name: str) -> AsyncGenerator[Wire]:
    """Connect; close it in the end."""
    wire = await Wire.open(url, options, name)
    try:
        yield wire
    finally:
        with CancelScope(shield=True):
            await in_time(wire.client.close(), CLOSE)
            wire.writer.close()


def locate(url: str, options: RabbitOptions) -> URL:
    """Return the address of the server as the client takes it, with what *options* say of it."""
    located = URL(url)
    if options.virtualhost is not None:
        located = located.with_path(f"/{options.virtualhost.replace('/', '%2F')}", encoded=True)
    asked = {"heartbeat": str(options.heartbeat), **located.query}
    return located.with_query({**asked, **({"auth": "external"} if options.external else {})})


def address_of(url: URL) -> str:
    """Return where the server is, without what it is told in secret."""
    return f"{url.host}:{url.port or (5671 if url.scheme == 'amqps' else 5672)}"


def _context(url: URL) -> Any:
    asks = {"cafile", "capath", "cadata", "certfile", "keyfile", "no_verify_ssl"}
    return (
        create_default_context() if url.scheme == "amqps" and not asks & url.query.keys() else None
    )


def _refusal(error: BaseException, doing: str, ways: _Ways) -> BrokerError:
    if ways.made and ways.made[0][0].code == _NOT_ALLOWED:
        return AccessRefused(f"{doing}: {ways.made[0][0].reason}")
    if isinstance(error, translated.errors):
        return translated.of(error, doing)
    return ConnectionLost(f"{doing}: {brief(error)}")


class _Ways(TransportFactory):
    """Gives the client our stream of frames to read."""

    def __init__(self) -> None:
        self.made: list[tuple[Frames, StreamWriter]] = []

    async def create(self, url: URL, **kwargs: Any) -> tuple[StreamReader, StreamWriter]:
        """Open a connection."""
        provider = kwargs["ssl_context_provider"]
        tls = await provider.get_context() if url.scheme == "amqps" else None
        loop, frames = get_running_loop(), Frames()
        protocol = StreamReaderProtocol(frames)
        host, port = url.host or "localhost", url.port or 5672
        transport, _ = await loop.create_connection(lambda: protocol, host, port, ssl=tls)
        writer = StreamWriter(transport, protocol, frames, loop)
        self.made.append((frames, writer))
        return frames, writer
