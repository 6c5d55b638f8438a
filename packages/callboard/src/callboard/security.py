"""Who we are to a broker, and how we know that it is the right one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from callboard._absent import tells
from callboard_brokers.kit import (
    BaseSecurity,
    SASLOAuthBearer,
    SASLPlaintext,
    SASLScram256,
    SASLScram512,
)

__all__ = [
    "BaseSecurity",
    "NatsCredentials",
    "NatsJWT",
    "NatsNKey",
    "NatsSecurity",
    "NatsToken",
    "NatsUserPassword",
    "RabbitExternalAuth",
    "SASLOAuthBearer",
    "SASLPlaintext",
    "SASLScram256",
    "SASLScram512",
]


@dataclass(frozen=True, slots=True)
class RabbitExternalAuth(BaseSecurity):
    """The certificate in the *ssl_context*: RabbitMQ takes the name in it for the user."""

    mechanism: ClassVar[str | None] = "EXTERNAL"


@dataclass(frozen=True, slots=True)
class NatsSecurity(BaseSecurity):
    """TLS to NATS, or nothing; those below also prove who we are."""

    tls_hostname: str | None = field(default=None, kw_only=True)
    """What the certificate has to be for; None: the host of the address."""
    tls_handshake_first: bool = field(default=False, kw_only=True)
    """Encrypt before the server greets, where it is told to wait for that."""

    @property
    def said(self) -> Mapping[str, Any]:
        """What it says beside the context, as `callboard_brokers.nats.NatsOptions` call it."""
        said = {
            "tls_hostname": self.tls_hostname,
            "tls_handshake_first": self.tls_handshake_first,
            **self.proof,
        }
        return {name: value for name, value in said.items() if value}

    @property
    def proof(self) -> Mapping[str, Any]:
        """What proves who we are, likewise."""
        return {}


@dataclass(frozen=True, slots=True)
class NatsToken(NatsSecurity):
    """A token, or what returns one whenever a connection is made."""

    token: str | Callable[[], str] = field(repr=False)

    @property
    def proof(self) -> Mapping[str, Any]:
        """The token."""
        return {"token": self.token}


@dataclass(frozen=True, slots=True)
class NatsUserPassword(NatsSecurity):
    """A user and a password, sent as they are: only over TLS is that a secret."""

    username: str
    password: str = field(repr=False)

    @property
    def proof(self) -> Mapping[str, Any]:
        """Both."""
        return {"user": self.username, "password": self.password}


@dataclass(frozen=True, slots=True)
class NatsNKey(NatsSecurity):
    """A key, by the file with its seed; the seed never travels."""

    seed_file: str | None = None
    seed: str | None = field(default=None, repr=False, kw_only=True)

    @classmethod
    def from_string(cls, seed: str, **options: Any) -> Self:
        """Make it of the *seed* itself; *options* are those of `NatsSecurity`."""
        return cls(seed=seed, **options)

    @property
    def proof(self) -> Mapping[str, Any]:
        """The file, or the seed."""
        return {"nkeys_seed": self.seed_file, "nkeys_seed_str": self.seed}


@dataclass(frozen=True, slots=True)
class NatsCredentials(NatsSecurity):
    """The file with a JWT and a seed; it is read whenever a connection is made, and may change."""

    credentials: str | tuple[str, str] | None = None
    """Its path; or those of two, one for each."""
    text: str | None = field(default=None, repr=False, kw_only=True)

    @classmethod
    def from_file(cls, path: str, **options: Any) -> Self:
        """Make it of one file; *options* are those of `NatsSecurity`."""
        return cls(path, **options)

    @classmethod
    def from_files(cls, jwt: str, seed: str, **options: Any) -> Self:
        """Make it of a file with a *jwt* and one with a *seed*."""
        return cls((jwt, seed), **options)

    @classmethod
    def from_string(cls, text: str, **options: Any) -> Self:
        """Make it of what stands in such a file."""
        return cls(text=text, **options)

    @property
    def proof(self) -> Mapping[str, Any]:
        """The file, the files, or the text."""
        return {"user_credentials": self.credentials, "user_credentials_str": self.text}


@dataclass(frozen=True, slots=True)
class NatsJWT(NatsSecurity):
    """A JWT, and what signs for it: for keys that no file holds. Both are called when connecting."""

    jwt: Callable[[], bytes] = field(repr=False)
    sign: Callable[[str], bytes] = field(repr=False)
    """Returns the signature of what the server sends, in base 64."""

    @property
    def proof(self) -> Mapping[str, Any]:
        """Both."""
        return {"user_jwt_cb": self.jwt, "signature_cb": self.sign}


tells(globals())
