"""`callboard docs`: the AsyncAPI document of an application."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from callboard.command._arguments import AppDir, Application, Factory, found
from callboard.command._fail import fail
from callboard.command._locate import explain

docs = typer.Typer(no_args_is_help=True, help="AsyncAPI documents.")


@docs.command("gen")
def gen(
    app: Application,
    out: Annotated[Optional[Path], typer.Option("--out", "-o", help="Else it is printed.")] = None,  # noqa: UP045 - Typer reads it
    yaml: Annotated[bool, typer.Option("--yaml", "-y", help="YAML instead of JSON.")] = False,
    app_dir: AppDir = Path(),
    factory: Factory = False,
) -> None:
    """Write the AsyncAPI document of an application."""
    application = found(app, app_dir, factory=factory)
    try:
        specification = application.schema.to_specification()
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
