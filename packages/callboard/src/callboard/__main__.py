"""`python -m callboard`: the command line."""

from __future__ import annotations

from callboard.command._cli import cli

if __name__ == "__main__":
    cli()
