"""Messages that leave only if a transaction of PostgreSQL is committed: `pip install "callboard[postgres]"`."""

from callboard.outbox._outbox import Outbox

__all__ = ["Outbox"]
