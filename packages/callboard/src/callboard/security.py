"""Who we are to a broker, and how we know that it is the right one."""

from __future__ import annotations

from callboard_brokers.kafka import (
    BaseSecurity,
    SASLOAuthBearer,
    SASLPlaintext,
    SASLScram256,
    SASLScram512,
)

__all__ = ["BaseSecurity", "SASLOAuthBearer", "SASLPlaintext", "SASLScram256", "SASLScram512"]
