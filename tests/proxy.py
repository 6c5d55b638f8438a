"""A TCP proxy that does to connections what networks do, for tests of those who use them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from anyio import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    Event,
    connect_tcp,
    create_task_group,
    create_tcp_listener,
    sleep,
)
from anyio.abc import SocketStream

GONE = (BrokenResourceError, ClosedResourceError, EndOfStream, OSError)


class Proxy:
    """Carries bytes both ways between whoever connects and a server.

    `delay` holds back each piece for so many seconds. `refuse` closes whoever connects at once.
    `swallow()` is a black hole: connections stay, bytes vanish, until `restore()`. Whoever sends a
    piece that `hushes` is true of is heard, but has no answer any more on that connection.
    """

    def __init__(self, server: str) -> None:
        self.delay = 0.0
        self.refuse = False
        self.hushes: Callable[[bytes], bool] = lambda piece: False
        self.connections = self.refused = 0
        self.lead_to(server)
        self._scopes: set[CancelScope] = set()
        self._hushed: set[SocketStream] = set()
        self._flowing = Event()
        self._flowing.set()

    def lead_to(self, server: str) -> None:
        """Carry whoever connects from now on to *server*, `host:port`."""
        host, _, port = server.rpartition(":")
        self._host, self._port = host, int(port)

    def cut(self) -> None:
        """End all connections; new ones are welcome, unless `refuse` is set."""
        for scope in self._scopes:
            scope.cancel()

    def swallow(self) -> None:
        """Let nothing through any more, in either direction."""
        self._flowing = Event()

    def restore(self) -> None:
        """Let everything through again; what was held back goes first."""
        self.refuse = False
        self._flowing.set()

    async def serve(self, near: SocketStream) -> None:
        """Carry one connection until one side ends it."""
        async with near:
            if self.refuse:
                self.refused += 1
                return
            self.connections += 1
            with CancelScope() as scope:
                self._scopes.add(scope)
                try:
                    far = await connect_tcp(self._host, self._port)
                    async with far, create_task_group() as tasks:
                        tasks.start_soon(self._carry, near, far, tasks.cancel_scope)
                        tasks.start_soon(self._carry, far, near, tasks.cancel_scope)
                except GONE:
                    pass  # the server is away: so is this connection
                finally:
                    self._scopes.discard(scope)
                    self._hushed.discard(near)

    async def _carry(self, source: SocketStream, sink: SocketStream, both: CancelScope) -> None:
        try:
            while True:
                data = await source.receive()
                await self._flowing.wait()
                if self.delay:
                    await sleep(self.delay)
                if sink in self._hushed:
                    continue
                if self.hushes(data):
                    self._hushed.add(source)
                await sink.send(data)
        except GONE:
            both.cancel()


@asynccontextmanager
async def proxy(listen: str, server: str) -> AsyncGenerator[Proxy]:
    """Listen at one address for another, both `host:port`."""
    near_host, _, near_port = listen.rpartition(":")
    made = Proxy(server)
    listener = await create_tcp_listener(local_host=near_host, local_port=int(near_port))
    async with listener, create_task_group() as tasks:
        tasks.start_soon(listener.serve, made.serve)
        yield made
        tasks.cancel_scope.cancel()
