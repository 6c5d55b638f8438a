"""`callboard dead`: looks through dead letters, sends them back, and drops them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Optional

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from callboard.command._arguments import AppDir, Application
from callboard.command._fail import fail
from callboard.command._letters import Place, counted, read, run
from callboard.command._working import telling
from callboard.dead import Letter, Only
from callboard.watch._printable import TRACE, printable

_WIDE: Final = 1000
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

dead = typer.Typer(no_args_is_help=True, help="Dead letters: see them, send them back, drop them.")

Address = Annotated[
    Optional[str],  # noqa: UP045 - Typer reads it
    typer.Argument(help="Where the letters are; else where the subscribers say."),
]
Exception_ = Annotated[
    Optional[str],  # noqa: UP045 - likewise
    typer.Option("--exception", "-e", help="Of this type, as ValueError."),
]
Fingerprint = Annotated[
    Optional[str],  # noqa: UP045 - likewise
    typer.Option("--fingerprint", "-f", help="Of this fault, as groups shows it."),
]
Origin = Annotated[
    Optional[str],  # noqa: UP045 - likewise
    typer.Option("--origin", "-o", help="Which came from this address."),
]
Since = Annotated[
    Optional[str],  # noqa: UP045 - likewise
    typer.Option("--since", "-s", help="Failed since: 90s, 30m, 2h, 7d, or 2026-01-31T12:00."),
]
Id = Annotated[
    Optional[str],  # noqa: UP045 - likewise
    typer.Option("--id", "-i", help="Whose id begins so, as list shows it."),
]
Limit = Annotated[
    Optional[int],  # noqa: UP045 - likewise
    typer.Option("--limit", "-n", min=1, help="So many at most."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count those that are meant.")]
MakesApp = Annotated[bool, typer.Option("--factory", help="The attribute makes the app.")]


@dead.command("groups")
def groups(  # noqa: PLR0913, PLR0917 - the options of the command
    app: Application,
    address: Address = None,
    exception: Exception_ = None,
    fingerprint: Fingerprint = None,
    origin: Origin = None,
    since: Since = None,
    app_dir: AppDir = Path(),
    factory: MakesApp = False,
) -> None:
    """Count letters by their fault, the most frequent first."""
    only = _only(exception, fingerprint, origin, since, None)
    told = run(Place(app, address, app_dir, factory), lambda letters: letters.groups(only))
    table = _table("count", "last", "fingerprint", "from", "at", "reason")
    for each in (each for one in told for each in one):
        said = each.fingerprint, each.origin or "?", each.address, each.reason
        table.add_row(str(each.count), _time(each.last), *map(_cell, said))
    _show(table, "no letters")


@dead.command("list")
def list_(  # noqa: PLR0913, PLR0917 - the options of the command
    app: Application,
    address: Address = None,
    exception: Exception_ = None,
    fingerprint: Fingerprint = None,
    origin: Origin = None,
    since: Since = None,
    id: Id = None,  # noqa: A002 - its name
    limit: Limit = 100,
    app_dir: AppDir = Path(),
    factory: MakesApp = False,
) -> None:
    """Print a line for each letter, the oldest first."""
    only = _only(exception, fingerprint, origin, since, id)
    table = _table("id", "failed", "replays", "fingerprint", "from", "at", "reason")
    for each in read(Place(app, address, app_dir, factory), only, limit):
        said = each.fingerprint, each.origin or "?", each.address, each.reason
        short = _cell(each.id[:8])
        table.add_row(short, _time(each.failed_at), str(each.replays), *map(_cell, said))
    _show(table, "no letters")


@dead.command("show")
def show(  # noqa: PLR0913, PLR0917 - the options of the command
    app: Application,
    address: Address = None,
    exception: Exception_ = None,
    fingerprint: Fingerprint = None,
    origin: Origin = None,
    since: Since = None,
    id: Id = None,  # noqa: A002 - its name
    limit: Limit = 1,
    app_dir: AppDir = Path(),
    factory: MakesApp = False,
) -> None:
    """Print letters whole: why they are here, and the message with its headers and its body."""
    only = _only(exception, fingerprint, origin, since, id)
    letters = read(Place(app, address, app_dir, factory), only, limit)
    for each in letters:
        for line in _whole(each):
            typer.echo(line)
    if not letters:
        typer.echo("no letters")


@dead.command("replay")
def replay(  # noqa: PLR0913, PLR0917 - the options of the command
    app: Application,
    address: Address = None,
    exception: Exception_ = None,
    fingerprint: Fingerprint = None,
    origin: Origin = None,
    since: Since = None,
    id: Id = None,  # noqa: A002 - its name
    limit: Limit = None,
    to: Annotated[
        Optional[str],  # noqa: UP045 - Typer reads it
        typer.Option("--to", help="Where to; else where each came from."),
    ] = None,
    rate: Annotated[
        Optional[float],  # noqa: UP045 - likewise
        typer.Option("--rate", "-r", min=0.001, help="So many in a second at most."),
    ] = None,
    max_replays: Annotated[
        int, typer.Option("--max-replays", min=1, help="One sent back so often stays.")
    ] = 3,
    dry_run: DryRun = False,
    app_dir: AppDir = Path(),
    factory: MakesApp = False,
) -> None:
    """Send messages back to where they came from; after Ctrl-C, the next run goes on there."""
    only = _only(exception, fingerprint, origin, since, id)
    place = Place(app, address, app_dir, factory)
    if dry_run:
        typer.echo(f"{counted(place, only, limit)} would be sent back, and none was")
        return
    with telling("sent back", lambda: counted(place, only, limit)) as told:
        done = run(
            place,
            lambda letters: letters.replay(
                only,
                to=to,
                limit=None if limit is None else limit - told.done,
                rate=rate,
                max_replays=max_replays,
                progress=lambda done: told(done.count),
            ),
            told,
        )
    if exhausted := sum(each.exhausted for each in done):
        typer.echo(f"{exhausted} stay, which were sent back {max_replays} times and failed again")
    if homeless := sum(each.homeless for each in done):
        typer.echo(f"{homeless} stay, which do not say where they came from: say --to")


@dead.command("drop")
def drop(  # noqa: PLR0913, PLR0917 - the options of the command
    app: Application,
    address: Address = None,
    exception: Exception_ = None,
    fingerprint: Fingerprint = None,
    origin: Origin = None,
    since: Since = None,
    id: Id = None,  # noqa: A002 - its name
    limit: Limit = None,
    all_: Annotated[bool, typer.Option("--all", help="All that are there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    app_dir: AppDir = Path(),
    factory: MakesApp = False,
) -> None:
    """Remove letters for good."""
    only = _only(exception, fingerprint, origin, since, id)
    if only == Only() and not all_:
        fail("say which letters to drop, by --exception and the like, or --all", status=2)
    if not (yes or dry_run or sys.stdin.isatty()):
        fail("say --yes to drop letters where nobody can be asked", status=2)
    place = Place(app, address, app_dir, factory)
    if dry_run or not yes:
        count = counted(place, only, limit)
        if dry_run:
            typer.echo(f"{count} would be dropped, and none was")
            return
        typer.confirm(f"Drop {count} letters for good?", abort=True)
    with telling("dropped", lambda: counted(place, only, limit)) as told:
        run(
            place,
            lambda letters: letters.drop(
                only, limit=None if limit is None else limit - told.done, progress=told
            ),
            told,
        )


def _only(
    exception: str | None,
    fingerprint: str | None,
    origin: str | None,
    since: str | None,
    id: str | None,  # noqa: A002 - its name
) -> Only:
    return Only(
        exception=exception,
        fingerprint=fingerprint,
        origin=origin,
        since=None if since is None else _moment(since),
        id=id,
    )


def _moment(said: str) -> datetime:
    try:
        if ago := re.fullmatch(r"(\d{1,6})([smhd])", said):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(said).astimezone()
    except (ValueError, OverflowError):
        fail(f"--since {said!r} is no time: write 90s, 30m, 2h, 7d, or 2026-01-31T12:00", status=2)


def _whole(letter: Letter) -> Iterator[str]:
    message = letter.message
    yield f"{printable(letter.id) or '(no id)'} at {printable(letter.address)}"
    for name, value in letter.why.items():
        if name != "x-exception-stacktrace":
            yield f"  {name}: {printable(value)}"
    if message.key is not None:
        yield f"  key: {printable(message.key.decode(errors='backslashreplace'))}"
    for name, value in letter.headers.items():
        yield f"  header {printable(name)}: {printable(str(value))}"
    yield f"  body, {len(message.body)} bytes of {printable(message.content_type or 'no type')}:"
    yield printable(message.body.decode(errors="backslashreplace"), TRACE, lines=True)
    if letter.stacktrace:
        yield printable(letter.stacktrace, TRACE, lines=True)


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for title in titles:
        table.add_column(title, no_wrap=True, overflow="ellipsis")
    return table


def _show(table: Table, otherwise: str) -> None:
    if not table.row_count:
        typer.echo(otherwise)
        return
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE  # whoever reads this is no screen that would cut it
    console.print(table)


def _cell(text: str) -> Text:
    return Text(printable(text, 200))


def _time(moment: datetime | None) -> str:
    return "?" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
