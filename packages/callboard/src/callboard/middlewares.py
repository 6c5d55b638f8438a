"""What is put around handlers and around what is published."""

from __future__ import annotations

from .declare._middleware import BaseMiddleware
from .declare._policy import AckPolicy
from .handle._exceptions import ExceptionMiddleware

__all__ = ["AckPolicy", "BaseMiddleware", "ExceptionMiddleware"]
