"""Finds the application that a command line names, or says in one line what is wrong."""

from __future__ import annotations

import importlib
import sys
import traceback
from inspect import iscoroutine
from pathlib import Path
from types import ModuleType

from callboard._errors import CallboardError
from callboard.app._app import App


class LocateError(CallboardError):
    """What the command line names is not there, or is no application."""


def locate(path: str, directory: Path, *, factory: bool = False) -> App:
    """Import `module:attribute` from *directory* and return the application that it is.

    With *factory*, the attribute is a function that makes one.

    Raises:
        LocateError: One of the parts is missing or is something else.
    """
    name, colon, attribute = path.partition(":")
    if not (name and colon and attribute):
        raise LocateError(f"{path!r} names no application: write module:attribute, as in main:app")
    found = _attribute(_imported(name, directory), attribute)
    if factory and callable(found):
        try:
            found = found()
        except Exception as error:
            raise LocateError(
                f"the factory {path!r} failed: {explain(error, directory)}"
            ) from error
        if iscoroutine(found):
            found.close()
            raise LocateError(f"the factory {path!r} is async; make it a plain function")
    if not isinstance(found, App):
        hint = "; say --factory if it makes one" if callable(found) and not factory else ""
        raise LocateError(f"{path!r} is a {type(found).__name__}, not a callboard.App{hint}")
    return found


def explain(error: BaseException, directory: Path) -> str:
    """Say in one line what went wrong, at the root of it, and in which line of *directory*."""
    root = _root(error)
    text = f"{type(error).__name__}: {error}"
    if root is not error and str(root) not in text:
        text += f"; because of {type(root).__name__}: {root}"
    folder = str(directory.resolve())
    frames = traceback.extract_tb(root.__traceback__)
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in frames
        if frame.filename.startswith(folder) and "site-packages" not in frame.filename
    ]
    return " ".join(text.split()) + (f" ({places[-1]})" if places else "")


def _root(error: BaseException) -> BaseException:
    """Return what *error* only tells of, as a group or a `raise ... from` does."""
    if isinstance(error, BaseExceptionGroup):
        group: BaseExceptionGroup[BaseException] = error  # pyright: ignore[reportUnknownVariableType] - isinstance cannot say of what it is a group
        return _root(group.exceptions[0])
    return error if error.__cause__ is None else _root(error.__cause__)


def _attribute(module: ModuleType, path: str) -> object:
    found: object = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise LocateError(f"module {module.__name__!r} has no attribute {path!r}") from None
    return found


def _imported(name: str, directory: Path) -> ModuleType:
    if not directory.is_dir():
        raise LocateError(f"{str(directory)!r} is no directory to import from")
    if name.endswith(".py") or "/" in name:
        raise LocateError(f"{name!r} is a file; write its module, as in package.main:app")
    sys.path.insert(0, str(directory.resolve()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise LocateError(f"there is no module {name!r} in {str(directory)!r}") from error
        raise _broken(name, error, directory) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, error, directory) from error


def _broken(name: str, error: BaseException, directory: Path) -> LocateError:
    return LocateError(f"module {name!r} can't be imported: {explain(error, directory)}")
