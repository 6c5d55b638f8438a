"""The markers of parameters, which say where a value comes from."""

from __future__ import annotations

from callboard_di import Context, Depends, Header, NoCast, Path

__all__ = ["Context", "Depends", "Header", "NoCast", "Path"]
