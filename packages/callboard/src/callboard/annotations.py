"""Types by which handlers and hooks ask for what is around them."""

from __future__ import annotations

import logging
from typing import Annotated, TypeAlias, TypeVar

from callboard_di import Context
from callboard_di import NoCast as _NoCast

from ._context import ContextRepo as _ContextRepo
from .app._app import App as _App

__all__ = ["App", "ContextRepo", "Logger", "NoCast"]

T = TypeVar("T")
Logger: TypeAlias = Annotated[logging.Logger, Context("logger")]
"""The broker's logger."""
ContextRepo: TypeAlias = Annotated[_ContextRepo, Context("context")]
"""The values that handlers and hooks share."""
App: TypeAlias = Annotated[_App, Context("app")]
"""The application that runs the broker."""
NoCast: TypeAlias = Annotated[T, _NoCast()]
"""A parameter that stays as it was decoded: `NoCast[int]`, which no other type is made of."""
