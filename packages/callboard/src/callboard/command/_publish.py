"""`callboard publish`: messages from the command line, a file or stdin, to a broker."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Optional

import anyio
import typer

from callboard._errors import CallboardError
from callboard.command._arguments import AppDir, Application, Factory, found, unsaid
from callboard.command._destination import Destination
from callboard.command._fail import fail
from callboard.command._working import Count, done, telling

_APP: Final = re.compile(r"[\w.]+:[\w.]+")
_CHUNK: Final = 65_536


class LineError(CallboardError):
    """A line is no message."""


@dataclass(frozen=True)
class Source:
    """Where messages come from: the command line, a file, or stdin.

    Attributes:
        text: The only one, if it is given.
        file: Else where they stand; None: stdin.
        lines: Whether each line is one.
    """

    text: str | None
    file: Path | None
    lines: bool

    @property
    def name(self) -> str:
        """What errors call it."""
        return "stdin" if self.file is None else str(self.file)

    def total(self) -> int | None:
        """How many there are; None: that will be seen."""
        if not self.lines:
            return 1
        if self.file is None or not self.file.is_file():
            return None
        with self.file.open("rb") as lines:
            return sum(not line.isspace() for line in lines)

    def check(self) -> None:
        """Refuse what can't be read."""
        if self.text is not None and (self.file is not None or self.lines):
            fail("give a message, or a file of some, and not both", status=2)
        if self.text is not None:
            return
        if self.file is not None:
            try:
                self.file.open("rb").close()
            except OSError as error:
                fail(f"{self.file} can't be read: {error.strerror}", status=2)
        elif _stdin() is None:
            fail("there is no message: give one, --file FILE, or write it to stdin", status=2)

    async def messages(self) -> AsyncIterator[object]:
        """Yield them, in order: JSON as what it says, and what is none as text.

        Raises:
            LineError: A line is no JSON, where lines have to be.
        """
        if self.text is not None:
            yield _value(self.text.encode(errors="surrogateescape"))
        elif self.lines:
            async for number, line in self._lines():
                yield _of_line(line, f"{self.name}:{number}")
        else:
            yield _value(b"".join([part async for part in self._chunks()]).rstrip(b"\n"))

    async def _lines(self) -> AsyncIterator[tuple[int, bytes]]:
        rest, number = b"", 0
        async for part in self._chunks():
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                number += 1
                if line.strip():
                    yield number, line
        if rest.strip():
            yield number + 1, rest

    async def _chunks(self) -> AsyncIterator[bytes]:
        fd = _stdin() if self.file is None else os.open(self.file, os.O_RDONLY)
        if fd is None:
            return
        # Where somebody may be slow to write, a signal must not have to wait for a thread.
        waits = not stat.S_ISREG(os.fstat(fd).st_mode)
        try:
            while True:
                if waits:
                    await anyio.wait_readable(fd)
                part = await anyio.to_thread.run_sync(os.read, fd, _CHUNK)
                if not part:
                    return
                yield part
        finally:
            if self.file is not None:
                os.close(fd)


Header = Annotated[
    Optional[list[str]],  # noqa: UP045 - Typer reads it
    typer.Option("--header", "-H", metavar="NAME=VALUE", help="May be said several times."),
]
File = Annotated[
    Optional[Path],  # noqa: UP045 - likewise
    typer.Option("--file", "-F", help="Where the message stands; else it is read from stdin."),
]
Text = Annotated[
    Optional[str],  # noqa: UP045 - likewise
    typer.Argument(metavar="[MESSAGE]", help="JSON, or else it is text.", show_default=False),
]


def publish(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    app: Application,
    message: Text = None,
    to: Annotated[
        Optional[str],  # noqa: UP045 - likewise
        typer.Option("--to", "-t", help="Where to: the topic, queue, subject or address."),
    ] = None,
    header: Header = None,
    file: File = None,
    lines: Annotated[
        bool, typer.Option("--lines", "-L", help="Each line is a message: JSON Lines.")
    ] = False,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, help="So many lines, in no order if above 1.")
    ] = 1,
    rpc: Annotated[bool, typer.Option("--rpc", help="Wait for the answer, and print it.")] = False,
    broker: Annotated[
        Optional[str],  # noqa: UP045 - likewise
        typer.Option("--broker", "-b", help="Of several: its name, as kafka, or kafka-2."),
    ] = None,
    app_dir: AppDir = Path(),
    factory: Factory = False,
) -> None:
    """Publish a message, or many, by a broker of an application.

    Other options are those of the broker's publish, by name: --topic, --key, --partition.
    """
    words = [*([] if message is None else [message]), *context.args]
    if not _APP.fullmatch(app):
        words.insert(0, app)
        app = unsaid(context, app)
    application = found(app, app_dir, factory=factory)
    own = [name for each in context.command.params for name in each.opts]
    where = Destination.of(application, broker, words, own, is_request=rpc)
    texts, options = where.read(words, own, to, header or [])
    if len(texts) > 1:
        fail(f"{texts[1]!r} is one word too many: there is a message already", status=2)
    source = Source(texts[0] if texts else None, file, lines)
    source.check()
    send = partial(_send, partial(where.call, **options), rpc)
    with telling("published", source.total, err=True) as told:
        work = partial(_publish, where, source, send, at_once, told)
        done(work, app_dir, "; the rest was not published")


async def _publish(
    where: Destination,
    source: Source,
    send: Callable[[object], Any],
    at_once: int,
    told: Count,
) -> None:
    async with where.broker:
        batch: list[object] = []
        async for message in source.messages():
            batch.append(message)
            if len(batch) == at_once:
                await _send_all(send, batch, told)
        await _send_all(send, batch, told)


async def _send_all(send: Callable[[object], Any], batch: list[object], told: Count) -> None:
    """Send what is in *batch*, and empty it."""

    async def one(message: object) -> None:
        await send(message)
        told(told.done + 1)

    if len(batch) == 1:
        await one(batch[0])
    else:
        async with anyio.create_task_group() as tasks:
            for message in batch:
                tasks.start_soon(one, message)
    batch.clear()


async def _send(call: Callable[..., Any], is_request: bool, message: object) -> None:
    answer = await call(message)
    if is_request:
        value = await answer.decode()
        typer.echo(value if isinstance(value, str) else json.dumps(value, default=str))


def _value(said: bytes) -> object:
    """Return what JSON says, or else the text that it is, or else what it is."""
    for read in (json.loads, bytes.decode):
        try:
            return read(said)
        except ValueError:
            continue
    return said


def _stdin() -> int | None:
    """Return the descriptor of stdin; None: there is none that somebody else writes to."""
    try:
        fd = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # it is closed, or no file
        return None
    return None if os.isatty(fd) else fd


def _of_line(line: bytes, place: str) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        raise LineError(f"{place} is no JSON: {error}") from error
