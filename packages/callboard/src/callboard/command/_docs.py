"""`callboard docs`: the AsyncAPI document of an application, and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from callboard.command._arguments import AppDir, Application, Factory, found
from callboard.command._fail import fail
from callboard.command._locate import explain
from callboard_asyncapi import AsyncApiError, check

docs = typer.Typer(no_args_is_help=True, help="AsyncAPI documents.")

Version = Annotated[
    Optional[str],  # noqa: UP045 - Typer reads it
    typer.Option("--schema-version", help="Of AsyncAPI: 3.0.0, 3.1.0 or 2.6.0."),
]


@docs.command("gen")
def gen(  # noqa: PLR0913, PLR0917 - the options of the command
    app: Application,
    out: Annotated[Optional[Path], typer.Option("--out", "-o", help="Else it is printed.")] = None,  # noqa: UP045 - Typer reads it
    yaml: Annotated[bool, typer.Option("--yaml", "-y", help="YAML instead of JSON.")] = False,
    schema_version: Version = None,
    app_dir: AppDir = Path(),
    factory: Factory = False,
) -> None:
    """Write the AsyncAPI document of an application."""
    application = found(app, app_dir, factory=factory)
    try:
        specification = application.schema.to_specification(schema_version)
        text = specification.to_yaml() if yaml else specification.to_json()
    except Exception as error:  # noqa: BLE001 - whatever can't be described, one line says so
        fail(explain(error, app_dir), status=1)
    if out is None:
        typer.echo(text)
        return
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        fail(f"the document can't be written: {error}", status=2)


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
