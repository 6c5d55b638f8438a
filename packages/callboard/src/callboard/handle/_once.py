"""The layer that handles a message once, where a subscriber has said so."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from inspect import Parameter
from logging import WARNING, Logger
from typing import Any, Final, get_args
from uuid import uuid4

from anyio import create_task_group, move_on_after, sleep

from callboard._errors import AckMessage, DeclarationError, NackMessage
from callboard.declare._idempotency import Claim, Idempotency
from callboard.handle._envelope import Response, result_encoder
from callboard.instruments import Handle
from callboard.watch._say import say
from callboard_brokers import AckStatus, Message
from callboard_validation import Codec, decoder

AGAIN: Final = 5.0
"""Seconds, at most, after which a message is looked at again that somebody else handles."""
SETTLE: Final = 5.0
"""Seconds that telling a store may take of a stop."""
_UNDONE: Final = (AckStatus.NACKED, AckStatus.REJECTED)
_ACKED: Final = b"acked"
"""Kept as the result of a handler that has raised `AckMessage`: nothing leaves, again and again."""
_NO_RESPONSE: Final = (
    "a handler of a subscriber with idempotent= returns a Response, which can't be kept; return the"
    " body, and have its publisher say the headers"
)


class HeldElsewhere(NackMessage):
    """The message comes again: whether it is to be handled is known later."""

    def __init__(self, words: str, delay: float) -> None:
        super().__init__(delay)
        self.args = (words,)


class Once:
    """Handles the messages of a subscriber once, whose *name* its keys begin with.

    Its handler says that it *returns* something of this type. *logger* is told that a store does
    not do its part.

    Raises:
        DeclarationError: That can't be kept.
    """

    def __init__(self, name: str, options: Idempotency, logger: Logger, returns: object) -> None:
        self._name = name
        self._key, self._store = options.key, options.store
        self._ttl, self._lease = options.ttl, options.lease
        self._logger = logger
        self._pack, self._unpack = _packing(returns)
        self._wait = min(AGAIN, options.lease / 2)
        self._in_hand = dict[object, bool]()
        """Deliveries, and whether each was rejected by hand: its letter may have acknowledged it."""

    def rejected(self, delivery: object) -> None:
        """Note that *delivery* is rejected by hand."""
        if delivery in self._in_hand:
            self._in_hand[delivery] = True

    def around(self, handle: Handle) -> Handle:
        """Put this around *handle*.

        A failure frees the claim, so that a retry is one, and so does a nack or a rejection by
        hand. What the store can't keep has been handled all the same; what it can't say is asked
        again later, and is no failure of the message.
        """

        async def once(message: Message) -> object:
            if (named := self._key(message)) is None:
                return await handle(message)
            key, owner = f"{self._name}:{named}", uuid4().hex
            claim = await self._claim(key, owner)
            if claim.state == "held":
                raise HeldElsewhere("it is being handled elsewhere", self._wait)
            if claim.result == _ACKED:
                raise AckMessage
            if claim.state == "done":
                return self._unpack(claim)
            return await self._handled(handle, message, key, owner)

        return once

    async def _handled(self, handle: Handle, message: Message, key: str, owner: str) -> object:
        """Handle *message*, whose *key* is claimed, and tell the store what became of it."""
        kept, delivery = False, message.delivery
        self._in_hand[delivery] = False
        try:
            result = await self._held(handle, message, key, owner)
            packed = self._pack(result)
            kept = not self._in_hand.get(delivery) and message.committed() not in _UNDONE
        except AckMessage:
            kept = True
            await self._done(key, owner, _ACKED)
            raise
        finally:
            self._in_hand.pop(delivery, None)
            if not kept:
                await self._free(key, owner)
        if kept and not await self._done(key, owner, packed):
            raise HeldElsewhere("somebody else has handled it as well", self._wait)
        return result

    async def _claim(self, key: str, owner: str) -> Claim:
        try:
            return await self._store.claim(key, owner, self._lease)
        except DeclarationError:
            raise
        except Exception as error:
            self._warn("cannot be claimed", key, error)
            raise HeldElsewhere("its claim is not known", self._wait) from error

    async def _held(self, handle: Handle, message: Message, key: str, owner: str) -> object:
        """Handle *message*, extending its claim meanwhile."""
        failure: Exception | None = None
        result: object = None

        async def extend() -> None:
            while True:
                await sleep(self._lease / 3)
                try:
                    await self._store.extend(key, owner, self._lease)
                except Exception as error:  # noqa: BLE001 - at worst it is handled twice
                    self._warn("is claimed no longer", key, error)

        async with create_task_group() as tasks:
            tasks.start_soon(extend)
            try:
                result = await handle(message)
            except Exception as error:  # noqa: BLE001 - it is raised outside of the group
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return result

    async def _free(self, key: str, owner: str) -> None:
        with move_on_after(SETTLE, shield=True):
            try:
                await self._store.failed(key, owner)
            except Exception as error:  # noqa: BLE001 - its lease ends
                self._warn("is claimed until its lease ends", key, error)

    async def _done(self, key: str, owner: str, result: bytes | None) -> bool:
        try:
            return await self._store.done(key, owner, result, self._ttl)
        except Exception as error:  # noqa: BLE001 - it is done, and may be handled once more
            self._warn("is done, and not known to be", key, error)
            return True

    def _warn(self, what: str, key: str, error: Exception) -> None:
        say(self._logger, WARNING, "%s: %s %s: %s", self._name, key, what, error)


def _packing(
    returns: object,
) -> tuple[Callable[[object], bytes | None], Callable[[Claim], object]]:
    """Return what makes octets of results of this type, and results of these."""
    if any(isinstance(e, type) and issubclass(e, Response) for e in (returns, *get_args(returns))):
        raise DeclarationError(_NO_RESPONSE)
    codec = Codec()
    encode: Callable[[object], Any] = result_encoder(returns, codec)
    unsaid = returns is None or returns is Parameter.empty or isinstance(returns, str)
    read: Any = decoder(Any if unsaid else returns, codec)

    def pack(result: object) -> bytes | None:
        if result is None:
            return None
        if isinstance(result, Response):
            raise DeclarationError(_NO_RESPONSE)
        body, content_type = encode(result)
        return json.dumps([content_type, b64encode(body).decode()]).encode()

    def unpack(claim: Claim) -> object:
        if claim.result is None:
            return None
        content_type, body = json.loads(claim.result)
        return read(b64decode(body), content_type)

    return pack, unpack
