"""What failures have in common: the exception's type, and where in the application it came from.

The line and the words of an exception differ from one release to the next, and from one message to
the next; a module and a function rarely do. So letters of one fault can be counted, and sent back
together.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from traceback import walk_tb
from types import FrameType
from typing import Final

_OURS: Final = frozenset({"callboard", "anyio"})
_LIBRARY: Final = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
_INSTALLED: Final = ("site-packages", "dist-packages")


def fingerprint(error: BaseException | None, subscriber: str) -> str:
    """Return the type of *error*, and the module and function of the application it was raised in.

    That is the innermost frame that is neither Python's, nor ours, nor of another library; of an
    application that is installed like a library, the innermost of its package. Where there is none,
    as for a body that is not valid, it is the *subscriber*.
    """
    try:
        place = _place(error)
    except Exception:  # noqa: BLE001 - an error that can't be told is still an error
        place = None
    return f"{'rejected' if error is None else type(error).__name__}@{place or subscriber}"


def _place(error: BaseException | None) -> str | None:
    frames = [] if error is None else [*_foreign(error)]
    own = [each for each in frames if not _is_installed(each)]
    if not own and frames:
        package = _package(frames[0])
        own = [each for each in frames if _package(each) == package]
    return f"{_module(own[-1])}:{own[-1].f_code.co_qualname}" if own else None


def _foreign(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames of *error* that are neither Python's nor ours, the outermost first."""
    for frame, _ in walk_tb(error.__traceback__):
        package, file = _package(frame), frame.f_code.co_filename
        ours = package in _OURS or package.startswith("callboard_")
        if not ours and (_is_installed(frame) or not file.startswith(("<", *_LIBRARY))):
            yield frame


def _is_installed(frame: FrameType) -> bool:
    return any(each in frame.f_code.co_filename for each in _INSTALLED)


def _package(frame: FrameType) -> str:
    return _module(frame).partition(".")[0]


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))
