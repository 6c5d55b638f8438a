"""Makes text from outside fit to be seen: on a terminal, in a log, in a header, on a page.

A message's id, its address and an exception's words are chosen by whoever sends. Unescaped they
move the cursor, forge lines, or fill a disk.
"""

from __future__ import annotations

from typing import Final

LINE: Final = 1024
"""How many characters of a text go into a line."""
TRACE: Final = 8192
"""How many of a traceback are kept."""
_GAP: Final = "…"


def printable(text: str, limit: int = LINE, *, lines: bool = False) -> str:
    r"""Return *text* without what a terminal or a reader of lines would obey, and not too long.

    What is not printable is written as in a literal of Python: `\x1b`, `\n`, `\ud800`. Of more
    than *limit* characters the two ends are kept. It never raises, and what it has returned it
    returns again as it is.

    Args:
        text: From wherever.
        limit: Of the characters that are returned; more than a few.
        lines: Whether the ends of lines and tabs are kept, as in a traceback.
    """
    kept = "\n\t" if lines else ""
    text = _clipped(text, limit)
    if not text.isprintable():
        text = "".join(
            each if each.isprintable() or each in kept else ascii(each)[1:-1] for each in text
        )
    return _clipped(text, limit)


def text_of(value: object, limit: int = LINE) -> str:
    """Return any *value* as text that is fit to be seen, whatever it does when it is asked."""
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - it is somebody else's object
        text = f"(a {type(value).__name__} that can't be shown)"
    return printable(text, limit)


def last_words(trace: str) -> str:
    """Return the line of a traceback that says what was raised, without the module's name."""
    kind, colon, message = trace.rstrip().rpartition("\n")[2].partition(": ")
    return kind.rpartition(".")[2] + colon + message


def _clipped(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = (limit - len(_GAP)) // 2
    return f"{text[:half]}{_GAP}{text[-half:]}"
