"""Types by which handlers and hooks ask for what is around them."""

from __future__ import annotations

import logging
from typing import Annotated, TypeAlias

from callboard_di import Context, NoCast

from ._context import ContextRepo as _ContextRepo

__all__ = ["ContextRepo", "Logger", "NoCast"]

Logger: TypeAlias = Annotated[logging.Logger, Context("logger")]
"""The broker's logger."""
ContextRepo: TypeAlias = Annotated[_ContextRepo, Context("context")]
"""The values that handlers and hooks share."""
