"""What a person sees of something that is drawn."""

from __future__ import annotations

from rich.console import Console, RenderableType


def drawn(what: RenderableType) -> str:
    """Return *what* as text."""
    console = Console(width=200, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(what)
    return capture.get()
