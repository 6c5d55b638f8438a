"""Where a server is, and how to speak to it; no client is needed for these."""

from __future__ import annotations

from dataclasses import dataclass, field
from ssl import SSLContext

from callboard_brokers.redis._format import BinaryMessageFormatV1, MessageFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisOptions:
    """How to speak to the server; what is said here comes before the URL. Times are in seconds."""

    host: str | None = None
    port: int | None = None
    db: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    client_name: str = "callboard"
    message_format: type[MessageFormat] = BinaryMessageFormatV1
    """How headers travel; what is read may have either form."""
    ssl_context: SSLContext | None = None
    socket_connect_timeout: float = 5.0
    socket_timeout: float = 10.0
    """For how long a server may be silent that owes an answer; then it is lost."""
