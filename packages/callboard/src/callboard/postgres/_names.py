"""Names of tables, as they may stand in SQL."""

from __future__ import annotations

import re
from typing import Final

from callboard._errors import DeclarationError

_NAME: Final = re.compile(r"([a-z_][a-z0-9_]{0,49}\.)?[a-z_][a-z0-9_]{0,49}")


def table_of(name: str) -> str:
    """Return *name* as it stands in SQL, with that of its schema or without.

    Raises:
        DeclarationError: It would have to be quoted, or is too long for what is named after it.
    """
    if not _NAME.fullmatch(name):
        raise DeclarationError(
            f"table={name!r} must be a plain name of PostgreSQL, or one with its schema: small"
            " letters, digits and _, up to 50 of them, as 'callboard_outbox' or 'shop.outbox'"
        )
    return name


def index_of(table: str) -> str:
    """Return what the names of indexes of *table* begin with, which is of no schema."""
    return table.rpartition(".")[2]
