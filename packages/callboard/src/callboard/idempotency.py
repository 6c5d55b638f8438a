"""Handle once what comes twice: what a subscriber is told by `idempotent=`, and where it is kept."""

from callboard.declare._idempotency import Claim, Idempotency, MemoryStore, Store

__all__ = ["Claim", "Idempotency", "MemoryStore", "Store"]
