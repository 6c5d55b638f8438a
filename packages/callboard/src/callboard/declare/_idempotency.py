"""What a message that comes again is known by, and where that is kept.

At least once means that some messages come twice: after a crash, a lost acknowledgement, a publisher
who tries again. A store remembers which have been handled, and what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from anyio import current_time

from callboard._errors import DeclarationError
from callboard_brokers import Message


class Claim(NamedTuple):
    """What a store says to whoever claims a key.

    Attributes:
        state: "ours": it is to be handled now, by us; "held": somebody else does so; "done": that is
            over.
        result: What was kept with it when it was done.
    """

    state: Literal["ours", "held", "done"]
    result: bytes | None = None


@runtime_checkable
class Store(Protocol):
    """Remembers which keys are claimed, done, or failed; of two who claim one, one gets it.

    Times are in seconds. What it raises has the message tried again later.
    """

    async def claim(self, key: str, owner: str, lease: float, /) -> Claim:
        """Claim *key* for *owner*, unless it is done, or another one's claim is still good."""
        ...

    async def extend(self, key: str, owner: str, lease: float, /) -> bool:
        """Have the claim be good for *lease* from now on; return whether it still was the owner's."""
        ...

    async def done(self, key: str, owner: str, result: bytes | None, ttl: float, /) -> bool:
        """Keep *result* for *ttl*; return whether the claim was still the owner's, else do nothing."""
        ...

    async def failed(self, key: str, owner: str, /) -> None:
        """Let the next one claim *key*, if the claim is still the owner's."""
        ...


def _message_id(message: Message) -> str | None:
    return message.message_id


@dataclass(frozen=True)
class Idempotency:
    """Handle what comes twice once, and answer and publish again what came of it.

    Args:
        store: Where it is remembered: shared by all who may get the same message.
        key: What is the same where a message is; each subscriber has keys of its own. None as a key:
            such a message is handled whenever it comes. By default the id of the message.
        ttl: Seconds for which a key is remembered after it was done.
        lease: Seconds after which the claim of a process that has died is up. As long as a handler
            runs its claim is extended.

    Raises:
        DeclarationError: There is no such thing.
    """

    store: Store
    key: Callable[[Message], str | None] = field(default=_message_id, kw_only=True)
    ttl: float = field(default=86_400.0, kw_only=True)
    lease: float = field(default=60.0, kw_only=True)

    def __post_init__(self) -> None:
        store: Any = self.store
        if isinstance(store, type) or not isinstance(store, Store):
            raise DeclarationError(
                f"Idempotency({store!r}) has no store there; give a MemoryStore(), a NatsStore(...), a"
                " PostgresStore(...), or what has claim, extend, done and failed"
            )
        if not callable(self.key):
            raise DeclarationError(f"key={self.key!r} of an Idempotency must be a function")
        for name in ("ttl", "lease"):
            if not getattr(self, name) > 0:
                raise DeclarationError(
                    f"{name}={getattr(self, name)!r} of an Idempotency must be seconds, above 0"
                )


@dataclass(eq=False, slots=True)
class _Entry:
    owner: str | None
    until: float
    result: bytes | None = None


class MemoryStore:
    """Remembers in this process: for tests, and where one process is all there is."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._ends: list[tuple[float, str]] = []

    async def claim(self, key: str, owner: str, lease: float, /) -> Claim:
        """Claim *key*."""
        self._forget()
        if (entry := self._entries.get(key)) is not None:
            return Claim("held") if entry.owner is not None else Claim("done", entry.result)
        self._keep(key, _Entry(owner, current_time() + lease))
        return Claim("ours")

    async def extend(self, key: str, owner: str, lease: float, /) -> bool:
        """Extend a claim."""
        if (entry := self._of(key, owner)) is not None:
            self._keep(key, _Entry(entry.owner, current_time() + lease))
        return entry is not None

    async def done(self, key: str, owner: str, result: bytes | None, ttl: float, /) -> bool:
        """Keep *result*."""
        if (entry := self._of(key, owner)) is not None:
            self._keep(key, _Entry(None, current_time() + ttl, result))
        return entry is not None

    async def failed(self, key: str, owner: str, /) -> None:
        """Forget *key*."""
        if self._of(key, owner) is not None:
            del self._entries[key]

    def _of(self, key: str, owner: str) -> _Entry | None:
        self._forget()
        entry = self._entries.get(key)
        return entry if entry is not None and entry.owner == owner else None

    def _keep(self, key: str, entry: _Entry) -> None:
        self._entries[key] = entry
        heappush(self._ends, (entry.until, key))

    def _forget(self) -> None:
        """Forget what is over by now; one that was extended has another end."""
        now = current_time()
        while self._ends and self._ends[0][0] <= now:
            _, key = heappop(self._ends)
            entry = self._entries.get(key)
            if entry is not None and entry.until <= now:
                del self._entries[key]
