"""The command `callboard migrate`: a project that was written for FastStream becomes one of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from difflib import unified_diff
from pathlib import Path
from typing import Annotated, Final

import typer

from callboard._errors import CallboardError
from callboard.command._fail import fail

_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "build"})
_SHOWN: Final = frozenset({".circleci", ".devcontainer", ".github", ".gitlab"})
"""Hidden folders that are a project's own."""
_MODULES: Final = ("*.py", "*.pyi")
_ELSEWHERE: Final = (
    *("*.toml", "*.cfg", "*.ini", "*.txt", "*.in", "*.yml", "*.yaml", "*.sh", "*.service"),
    *("*.md", "*.rst", "*.env", "*.ipynb"),
    *("Containerfile*", "Dockerfile*", "Makefile", "Pipfile", "Procfile", "justfile"),
)
"""Other files that may name FastStream: its distribution, or its command."""
_NAMES: Final = (b"faststream", b"fast_depends")
_BY_HAND: Final = "names faststream, and stays: the distribution and its command are callboard now"


class MigrateError(CallboardError):
    """Nothing can be migrated: no such path, or a part of Callboard is not installed."""


def command(
    path: Annotated[Path, typer.Argument(help="A module, or a folder of a project.")] = Path(),
    write: Annotated[bool, typer.Option("--write/--diff", help="Change files; else show.")] = False,
) -> None:
    """Rewrite a project that was written for FastStream: the diff, and a report on stderr."""
    try:
        for kind, text in migrate(path, write=write):
            typer.echo(text, nl=kind == "report", err=kind == "report")
    except (MigrateError, OSError) as error:
        fail(str(error), status=2)


def migrate(path: Path, *, write: bool) -> Iterator[tuple[str, str]]:
    """Rewrite the modules of *path*, a file or a folder; yield what to print, in order.

    Yields:
        ("diff", ...) for a module that changes, which is written only if *write* is true; then
        ("report", ...) for each line of what changes in behaviour or is left to the author.

    Raises:
        MigrateError: There is no such path, or libcst is not installed.
    """
    if not path.exists():
        raise MigrateError(f"there is no {str(path)!r}")
    places: dict[str, list[str]] = {}
    changed = modules = 0
    for file in _files(path, _MODULES):
        modules += 1
        old = file.read_bytes()
        new, findings = _rewritten(old)
        for line, says in findings:
            places.setdefault(says, []).append(f"{file}:{line}")
        if new != old:
            changed += 1
            yield "diff", _diff(file, old, new)
            if write:
                file.write_bytes(new)
    for file, line in _elsewhere(path):
        places.setdefault(_BY_HAND, []).append(f"{file}:{line}")
    verb = "rewritten" if write else "to rewrite (--write does it)"
    yield "report", f"{changed} of {modules} modules {verb}"
    for says, lines in places.items():
        yield "report", "\n    ".join([f"\n{says}", *lines])


def _rewritten(text: bytes) -> tuple[bytes, Sequence[tuple[int, str]]]:
    """Return a module as it is to be, and what is to be known of its lines."""
    if not any(name in text for name in _NAMES):
        return text, []  # whatever it is, perhaps no module of this Python
    try:
        from libcst import ParserSyntaxError  # noqa: PLC0415 - an extra, and slow to import

        from callboard.command._rewrite import rewrite  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MigrateError(f"{error.name} is missing: pip install callboard[migrate]") from error
    try:
        new = rewrite(text)
    except (ParserSyntaxError, SyntaxError, UnicodeDecodeError, RecursionError) as error:
        line = error.raw_line if isinstance(error, ParserSyntaxError) else 1
        return text, [(line, "stays as it is, since it can't be read as Python")]
    return new.text, new.findings


def _elsewhere(path: Path) -> Iterator[tuple[Path, int]]:
    """Find where other files name FastStream; nobody can tell what they mean, so they stay."""
    for file in _files(path, _ELSEWHERE):
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
            if "faststream" in line.lower():
                yield file, number


def _files(path: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    """Walk through *path*, but not through what is hidden or not the project's own.

    A file that is named is a module, whatever its name, unless it is known to be something else.
    """
    if path.is_file():
        if _is_one(path, patterns) or (patterns == _MODULES and not _is_one(path, _ELSEWHERE)):
            yield path
        return
    for folder, names, files in os.walk(path):
        names[:] = sorted(n for n in names if n not in _SKIPPED and (n[0] != "." or n in _SHOWN))
        for name in sorted(files):
            file = Path(folder, name)
            if _is_one(file, patterns) and not file.is_symlink():
                yield file


def _is_one(file: Path, patterns: Sequence[str]) -> bool:
    return any(file.match(pattern) for pattern in patterns)


def _diff(file: Path, old: bytes, new: bytes) -> str:
    before, after = (text.decode(errors="replace").splitlines(keepends=True) for text in (old, new))
    lines = unified_diff(before, after, f"a/{file}", f"b/{file}")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
