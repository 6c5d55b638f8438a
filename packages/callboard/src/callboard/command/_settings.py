"""The table `[tool.callboard]` of a pyproject.toml: what the command line does not say."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from callboard.command._fail import fail, nearest

_FILE: Final = Path("pyproject.toml")
_ALL: Final = ("app", "app_dir", "factory")
"""What is as true for other commands as for `run`."""


def settings(commands: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the table says, for each of *commands* and those below it, as click wants it."""
    known = {each.name for each in commands["run"].params if not getattr(each, "hidden", False)}
    said = _read(known)
    return _spread(commands, {key: said[key] for key in _ALL if key in said}) | {"run": said}


def _spread(commands: Mapping[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _spread(getattr(command, "commands", {}), shared) or shared
        for name, command in commands.items()
    }


def _read(known: Iterable[str]) -> dict[str, Any]:
    try:
        table = (
            tomllib.loads(_FILE.read_text(encoding="utf-8")).get("tool", {}).get("callboard", {})
        )
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        fail(f"{_FILE} can't be read: {error}", status=2)
    names = {name.replace("_", "-") for name in known}
    for key in table:
        if key not in names:
            hint = nearest(key, names) or f"; there are {', '.join(sorted(names))}"
            fail(f"{_FILE}: [tool.callboard] has no {key!r}{hint}", status=2)
    return {key.replace("-", "_"): value for key, value in table.items()}
