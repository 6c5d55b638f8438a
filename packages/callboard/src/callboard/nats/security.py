"""What proves to NATS who we are."""

from __future__ import annotations

from callboard.security import (
    NatsCredentials,
    NatsJWT,
    NatsNKey,
    NatsSecurity,
    NatsToken,
    NatsUserPassword,
)

__all__ = [
    "NatsCredentials",
    "NatsJWT",
    "NatsNKey",
    "NatsSecurity",
    "NatsToken",
    "NatsUserPassword",
]
