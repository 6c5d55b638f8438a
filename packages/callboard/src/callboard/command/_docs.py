"""`callboard docs`: AsyncAPI documents, their pages, what is wrong with one, what changes in another."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import anyio
import typer

from callboard.command._arguments import AppDir, Application, Factory, found
from callboard.command._fail import fail
from callboard.command._live import Server, sources, written
from callboard.command._locate import explain
from callboard.specification import Specification
from callboard_asyncapi import AsyncApiError, Change, check, compare, page

docs = typer.Typer(no_args_is_help=True, help="AsyncAPI documents.")

Version = Annotated[
    Optional[str],  # noqa: UP045 - Typer reads it
    typer.Option("--schema-version", help="Of AsyncAPI: 3.0.0, 3.1.0 or 2.6.0."),
]

Out = Annotated[
    Optional[Path],  # noqa: UP045 - Typer reads it
    typer.Option("--out", "-o", help="Else it is printed."),
]
Source = Annotated[
    str, typer.Argument(metavar="FILE|MODULE:APP", help="A document, or whose it is.")
]


@docs.command("gen")
def gen(  # noqa: PLR0913, PLR0917 - the options of the command
    app: Application,
    out: Out = None,
    yaml: Annotated[bool, typer.Option("--yaml", "-y", help="YAML instead of JSON.")] = False,
    schema_version: Version = None,
    app_dir: AppDir = Path(),
    factory: Factory = False,
) -> None:
    """Write the AsyncAPI document of an application."""
    specification = _specification(app, app_dir, factory=factory, version=schema_version)
    try:
        text = specification.to_yaml() if yaml else specification.to_json()
    except AsyncApiError as error:
        fail(str(error), status=1)
    write(text, out)


@docs.command("page")
def page_(
    source: Source,
    out: Out = None,
    app_dir: AppDir = Path(),
    factory: Factory = False,
) -> None:
    """Write a document as one HTML file, which needs nothing else."""
    document = described(source, app_dir, factory=factory)
    try:
        text = page(document)
    except AsyncApiError as error:
        fail(f"{source} has no page: {error}", status=2)
    write(text, out)


@docs.command("check")
def check_(file: Annotated[Path, typer.Argument(help="JSON or YAML, of 3.0, 3.1 or 2.6.")]) -> None:
    """Say what is wrong with a document: status 0 if it is valid, 1 if not."""
    document = read(file)
    try:
        problems = check(document)
    except AsyncApiError as error:
        fail(f"{file} can't be checked: {error}", status=2)
    for each in problems:
        typer.echo(f"{file}: {each.where}: {each.text}")
    if problems:
        fail(f"{file} is not valid: {len(problems)} problem(s)", status=1)
    typer.echo(f"{file} is valid", err=True)


@docs.command("serve")
def serve(
    source: Source,
    host: Annotated[str, typer.Option(help="Of this machine.")] = "localhost",
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 8000,
    app_dir: AppDir = Path(),
    factory: Factory = False,
) -> None:
    """Serve a document and its page, which browsers load again whenever a file has changed."""

    async def from_file() -> Any:
        return read(Path(source))

    server = Server(host, port, from_file, lambda: iter([Path(source)]))
    if not _is_file(source, factory=factory):
        document = partial(written, source, app_dir, factory=factory)
        server = Server(host, port, document, partial(sources, app_dir))
    try:
        anyio.run(server.run)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None  # before it served anything


Form = Literal["text", "json", "github"]


@docs.command("diff")
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A document, or MODULE:APP.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Likewise.")],
    form: Annotated[
        Form, typer.Option("--format", help="github: annotations of a workflow.")
    ] = "text",
    app_dir: AppDir = Path(),
) -> None:
    """Say what has changed: status 0 if it breaks nobody, 1 if it does, 2 if there is nothing to compare."""
    try:
        changes = compare(described(old, app_dir), described(new, app_dir))
    except AsyncApiError as error:
        fail(f"{old} and {new} can't be compared: {error}", status=2)
    broken = [each for each in changes if each.breaks]
    if form == "json":
        shown = [asdict(each) for each in changes]
        typer.echo(json.dumps({"breaking": bool(broken), "changes": shown}, indent=2))
    else:
        for each in changes:
            typer.echo(_annotation(each, new) if form == "github" else _line(each))
    if broken:
        whom = " and ".join(sorted({str(each.breaks) for each in broken}))
        fail(f"{len(broken)} of {len(changes)} change(s) break {whom}", status=1)
    typer.echo(f"{len(changes)} change(s), and nobody breaks", err=True)


def _line(change: Change) -> str:
    return f"{f'breaks {change.breaks}' if change.breaks else 'compatible':17} {change}"


def _annotation(change: Change, file: str) -> str:
    """Return a line that GitHub shows at a place of a file, if it is one."""

    def escaped(text: str, more: str = "") -> str:
        for each in f"%\r\n{more}":
            text = text.replace(each, f"%{ord(each):02X}")
        return text

    where = []
    if (path := Path(file)).is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        known = [n for n, line in enumerate(lines, 1) if change.key in line and ":" in line]
        where = [f"file={escaped(file, ':,')}", *(f"line={n}" for n in known[:1])]
    title = f"breaks {change.breaks}" if change.breaks else "compatible"
    level = "error" if change.breaks else "notice"
    return f"::{level} {','.join([*where, f'title={title}'])}::{escaped(str(change))}"


def described(source: str, app_dir: Path, *, factory: bool = False) -> Any:
    """Return the document that *source* is, or that of the application that it names.

    What can't be had ends the command with status 2: 1 is for what a command has found out.
    """
    if _is_file(source, factory=factory):
        return read(Path(source))
    return _specification(source, app_dir, factory=factory, status=2).to_jsonable()


def _is_file(source: str, *, factory: bool) -> bool:
    _, colon, attribute = source.rpartition(":")
    named = colon and attribute.replace(".", "_").isidentifier()
    return not factory and (Path(source).exists() or not named)


def _specification(
    app: str, app_dir: Path, *, factory: bool, version: str | None = None, status: int = 1
) -> Specification:
    application = found(app, app_dir, factory=factory)
    try:
        return application.schema.to_specification(version)
    except Exception as error:  # noqa: BLE001 - whatever can't be described, one line says so
        fail(explain(error, app_dir), status=status)


def write(text: str, out: Path | None) -> None:
    """Print *text*, or write it to *out*; or end with why it can't be."""
    if out is None:
        typer.echo(text)
        return
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        fail(f"the document can't be written: {error}", status=2)


def read(file: Path) -> Any:
    """Return what stands in *file*, JSON or YAML; or end with what is wrong with it."""
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix not in {".yaml", ".yml"}:
            return json.loads(text)
        import yaml  # noqa: PLC0415 - for those who have YAML
    except (OSError, ValueError) as error:
        fail(f"{file} can't be read: {error}", status=2)
    except ImportError:
        fail('YAML needs PyYAML: pip install "callboard[yaml]"', status=2)
    try:
        # A date is a text in JSON, which a document is.
        return json.loads(json.dumps(yaml.safe_load(text), default=str))
    except (yaml.YAMLError, TypeError, ValueError) as error:
        fail(f"{file} can't be read: {' '.join(str(error).split())}", status=2)
