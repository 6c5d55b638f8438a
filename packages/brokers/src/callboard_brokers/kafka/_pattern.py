r"""Patterns of topics with parameters: `logs\.{level}` matches `logs.error`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from callboard_brokers._errors import DestinationError

__all__ = ["compile_pattern", "path_of"]

# A quantifier such as {2,3} is not a name, so the braces of regular expressions keep their meaning.
_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)\}")
_SEGMENT = r"(?P<\1>[^./]+)"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression, which matches whole names only.

    Raises:
        DestinationError: It is none.
    """
    try:
        return re.compile(rf"(?:{_PARAMETER.sub(_SEGMENT, pattern)})\Z")
    except re.error as error:
        raise DestinationError(f"{pattern!r} is no pattern of topics: {error}") from error


def path_of(pattern: str | None, topic: str) -> Mapping[str, str] | None:
    """Return the parameters that *pattern* finds in *topic*, may be none; None if it does not match."""
    if pattern is None:
        return {}
    found = compile_pattern(pattern).match(topic)
    return found.groupdict() if found else None
