"""Options that are not the command's own: they are for the lifespan and the hooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from callboard.app._app import App
from callboard.command._fail import fail, nearest


def extra(words: Sequence[str], app: App, own: Iterable[str]) -> dict[str, object]:
    """Return by name what *words* say, all of which *app* has to take.

    `--db=URL` and `--db URL`, also where the value has `:` or `=` inside; `--flag`, `--no-flag`; a
    list where there are several values. A value that begins with `--` needs the `=`.

    Args:
        words: Of the command line.
        app: Whose lifespan and `on_startup` say what there is.
        own: The options of the command, one of which may have been meant.
    """
    said: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, equals, given = word[2:].partition("=")
            name = name.replace("-", "_")
            said.setdefault(name, []).extend([given] if equals else [])
        elif name:
            said[name].append(word)
        else:
            fail(f"{word!r} belongs to no option{nearest(word, own)}", status=2)
    options: dict[str, object] = {}
    for key, values in said.items():
        is_no = not values and key.startswith("no_")
        value: object = (values if len(values) > 1 else values[0]) if values else not is_no
        options[key.removeprefix("no_") if is_no else key] = value
    _check(options, app.options, own)
    return options


def _check(options: Iterable[str], taken: set[str] | None, own: Iterable[str]) -> None:
    for key in options:
        if taken is None or key in taken:
            continue
        option = f"--{key.replace('_', '-')}"
        known = [*own, *(f"--{name.replace('_', '-')}" for name in taken)]
        hint = nearest(option, known) or (
            "; neither the command nor the lifespan or an on_startup hook of the application takes it"
        )
        fail(f"no such option: {option}{hint}", status=2)
