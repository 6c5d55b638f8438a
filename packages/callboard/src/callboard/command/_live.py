"""Serves a document and its page on this machine, as they are now.

A browser that has the page open waits for word of a change, by server-sent events, and loads it again.
The document of an application is written by another process each time, since a module that has been
imported does not change. What can't be written leaves the page as it was, and is said in a line.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import typer
from anyio import to_thread
from anyio.abc import SocketAttribute, SocketStream

from callboard.command._fail import Failed, fail
from callboard_asyncapi import AsyncApiError, page, to_json

_LOOK = 0.5  # seconds between two looks at the files
_ALIVE = 15  # seconds after which a browser hears that the connection is
_HEAD = 16 * 1024
_OWN = frozenset({"localhost", "127.0.0.1", "[::1]"})
_TYPES = {"html": "text/html; charset=utf-8", "json": "application/json"}


@dataclass(eq=False)
class Shown:
    """What is served: the page and the document; `changed` is set when others take their place."""

    html: str
    text: str
    changed: anyio.Event = field(default_factory=anyio.Event)

    @classmethod
    def of(cls, document: Any) -> Shown:
        """Make the page of *document*."""
        return cls(page(document, live="/events"), to_json(document))


@dataclass(eq=False)
class Server:
    """Serves at *host*; `document` gives the document anew, and `files` are what it is made of."""

    host: str
    port: int
    document: Callable[[], Awaitable[Any]]
    files: Callable[[], Iterator[Path]]

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM.

        Raises:
            Failed: There is no document to begin with, or the port is another's; in one line, which.
        """
        stamps = await to_thread.run_sync(self._stamps)
        try:
            self._shown = Shown.of(await self.document())
        except AsyncApiError as error:
            fail(f"there is no page: {error}", status=2)
        try:
            listener = await anyio.create_tcp_listener(local_host=self.host, local_port=self.port)
        except OSError as error:
            said = error.strerror or str(error)
            fail(f"http://{self.host}:{self.port} can't be served: {said}; say --port", status=2)
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with listener, anyio.create_task_group() as group:
                group.start_soon(self._watch, stamps)
                group.start_soon(listener.serve, self._answer)
                typer.echo(f"HTTPServer running on http://{self.host}:{port}", err=True)
                typer.echo("Please, do not use it in production.", err=True)
                async for _ in signals:
                    group.cancel_scope.cancel()
                    return

    async def _watch(self, stamps: dict[Path, int]) -> None:
        """Make the page again whenever a file has changed."""
        while True:
            await anyio.sleep(_LOOK)
            if (now := await to_thread.run_sync(self._stamps)) == stamps:
                continue
            stamps = now
            try:
                shown = Shown.of(await self.document())
            except (AsyncApiError, Failed) as error:
                typer.echo(f"callboard: the page stays as it was: {error}", err=True)
                continue
            before, self._shown = self._shown, shown
            before.changed.set()

    def _stamps(self) -> dict[Path, int]:
        return dict(_stamped(self.files()))

    async def _answer(self, stream: SocketStream) -> None:
        try:
            async with stream:
                async for piece in self._pieces(await _head(stream)):
                    await stream.send(piece)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            pass  # the browser has gone

    async def _pieces(self, head: str) -> AsyncIterator[bytes]:
        """Answer one request."""
        method, _, rest = head.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if _host(head) not in {self.host, *_OWN}:
            # A name that somebody else has pointed at this machine (DNS rebinding).
            yield _response("403 Forbidden", "html", "Ask for this machine by its own name.")
        elif method not in {"GET", "HEAD"}:
            yield _response("405 Method Not Allowed", "html", "GET only.")
        elif path == "/events":
            async for piece in self._events():
                yield piece
        elif (kind := {"/": "html", "/asyncapi.json": "json"}.get(path)) is None:
            yield _response("404 Not Found", "html", "There are / and /asyncapi.json.")
        else:
            text = self._shown.html if kind == "html" else self._shown.text
            yield _response("200 OK", kind, text, is_head=method == "HEAD")

    async def _events(self) -> AsyncIterator[bytes]:
        shown = self._shown
        yield _start("200 OK", "text/event-stream")
        while not shown.changed.is_set():
            yield b": alive\n\n"
            with anyio.move_on_after(_ALIVE):
                await shown.changed.wait()
        yield b"event: changed\ndata: \n\n"


def _stamped(files: Iterator[Path]) -> Iterator[tuple[Path, int]]:
    for each in files:
        try:
            yield each, each.stat().st_mtime_ns
        except OSError:
            continue  # it has gone meanwhile


async def _head(stream: SocketStream) -> str:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD:
        head += await stream.receive()
    return head.decode("latin-1")


def _host(head: str) -> str:
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "host":
            host, _, port = value.strip().rpartition(":")
            return (host if host and port.isdecimal() else value.strip()).lower()
    return ""


def _start(status: str, kind: str, more: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", "Cache-Control: no-store"]
    return "\r\n".join([*lines, f"{more}Connection: close", "", ""]).encode("latin-1")


def _response(status: str, kind: str, text: str, *, is_head: bool = False) -> bytes:
    body = text.encode()
    return _start(status, _TYPES[kind], f"Content-Length: {len(body)}\r\n") + (
        b"" if is_head else body
    )


def sources(directory: Path) -> Iterator[Path]:
    """Yield the modules below *directory*, but for what is installed or hidden there."""
    for each in directory.iterdir() if directory.is_dir() else ():
        if each.name.startswith((".", "__pycache__")) or each.name in {
            "site-packages",
            "node_modules",
        }:
            continue
        if each.is_dir() and not each.is_symlink() and not (each / "pyvenv.cfg").exists():
            yield from sources(each)
        elif each.suffix == ".py":
            yield each


async def written(source: str, directory: Path, *, factory: bool) -> Any:
    """Return the document of an application, as another process writes it.

    Raises:
        Failed: It has none; in one line, why.
    """
    words = [
        "docs",
        "gen",
        source,
        "--app-dir",
        str(directory),
        *(["--factory"] if factory else []),
    ]
    done = await anyio.run_process([sys.executable, "-m", "callboard", *words], check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Failed((said or ["it ended without a word"])[-1].removeprefix("callboard: "), 2)
    return json.loads(done.stdout)
