"""How to prove who we are, and whether to encrypt; no client is needed for these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ssl import SSLContext, create_default_context
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class BaseSecurity:
    """TLS, or nothing: with an *ssl_context*, or with the system's authorities by *use_ssl*."""

    mechanism: ClassVar[str | None] = None
    ssl_context: SSLContext | None = field(default=None, repr=False, kw_only=True)
    use_ssl: bool = field(default=False, kw_only=True)

    @property
    def context(self) -> SSLContext | None:
        """The context to use; a new one with the system's authorities if none was given."""
        return (
            create_default_context() if self.use_ssl and not self.ssl_context else self.ssl_context
        )


@dataclass(frozen=True, slots=True)
class SASLPlaintext(BaseSecurity):
    """A password that is sent as it is: only over TLS is it a secret."""

    mechanism: ClassVar[str | None] = "PLAIN"
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SASLScram256(SASLPlaintext):
    """A password that never travels; SCRAM-SHA-256."""

    mechanism: ClassVar[str | None] = "SCRAM-SHA-256"


@dataclass(frozen=True, slots=True)
class SASLScram512(SASLPlaintext):
    """A password that never travels; SCRAM-SHA-512."""

    mechanism: ClassVar[str | None] = "SCRAM-SHA-512"


@dataclass(frozen=True, slots=True)
class SASLOAuthBearer(BaseSecurity):
    """A token, asked for whenever a connection is made; *token* keeps it fresh."""

    mechanism: ClassVar[str | None] = "OAUTHBEARER"
    token: Callable[[], Awaitable[str]] = field(repr=False)
