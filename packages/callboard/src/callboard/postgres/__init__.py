"""PostgreSQL, in which is kept what has been handled: `pip install "callboard[postgres]"`."""

from callboard.postgres._database import Postgres
from callboard.postgres._store import PostgresStore

__all__ = ["Postgres", "PostgresStore"]
