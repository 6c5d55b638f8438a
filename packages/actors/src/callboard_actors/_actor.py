"""The actor loop: one item at a time, and none lost when the actor crashes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import anyio
from anyio.lowlevel import checkpoint

from callboard_actors._child import Child
from callboard_actors._errors import ForeignCancellation, MailboxClosed
from callboard_actors._exits import ExitReason, describe, is_foreign
from callboard_actors._reader import Reader

__all__ = ["Actor", "Quarantine", "lifecycle", "serve"]

T = TypeVar("T")
M_contra = TypeVar("M_contra", contravariant=True)

Quarantine: TypeAlias = Callable[[T, str], Awaitable[None]]
"""Takes an item that has crashed its actor twice, and the text of the second crash."""

# A loop that never waits would starve every other task; a yield for each item would cost ten
# times as much as the item (SEMANTICS 6.2).
_TURN_ITEMS = 64
_TURN_SECONDS = 0.001

_CRASHES_ALLOWED = 1


class Actor(Protocol[M_contra]):
    """Whoever handles messages one at a time.

    It may also have `async on_start()`, which must succeed before the first message, and
    `async on_stop(reason)`, which always runs, on a restart too.
    """

    async def receive(self, message: M_contra, /) -> object:
        """Handle *message*. What it returns answers an `ask`."""
        ...


@runtime_checkable
class _Starting(Protocol):
    async def on_start(self) -> None: ...


@runtime_checkable
class _Stopping(Protocol):
    async def on_stop(self, reason: ExitReason) -> None: ...


async def serve(
    receive: Callable[[T], Awaitable[object]],
    reader: Reader[T],
    *,
    quarantine: Quarantine[T] | None = None,
) -> None:
    """Hand *receive* the items of *reader* until its mailbox is closed and empty.

    An exception out of *receive* is a crash: the item returns to the head of its lane, and the
    exception goes on to the supervisor. An item that has crashed its actor twice is not received
    again, but handed to *quarantine*, or dropped with an event if there is none. When the loop is
    cancelled, its item returns as well, uncounted.

    Raises:
        ForeignCancellation: *receive* was cancelled by something that is no cancel scope.
    """
    crashes, take, done = reader.crashes, reader.take_nowait, reader.done
    left, until = _TURN_ITEMS, perf_counter() + _TURN_SECONDS
    try:
        while True:
            if not left or perf_counter() > until:
                await checkpoint()
                left, until = _TURN_ITEMS, perf_counter() + _TURN_SECONDS
            left -= 1
            try:
                item = take()
            except anyio.WouldBlock:
                item = await reader.take()
                left, until = _TURN_ITEMS, perf_counter() + _TURN_SECONDS
            if crashes and id(item) in crashes and crashes[id(item)].count > _CRASHES_ALLOWED:
                await _set_aside(item, reader, quarantine)
            else:
                await receive(item)
            done()
    except BaseException as error:
        if isinstance(error, MailboxClosed) and reader.current is None:
            return
        _give_back(reader, error)
        if is_foreign(error):
            message = f"{receive!r} was cancelled, but by no cancel scope around it"
            raise ForeignCancellation(message) from error
        raise


async def _set_aside(item: T, reader: Reader[T], quarantine: Quarantine[T] | None) -> None:
    if quarantine is None:
        reader.drop()
    else:
        await quarantine(item, reader.crashes[id(item)].text)


def _give_back(reader: Reader[T], error: BaseException) -> None:
    # Neither a cancellation of ours nor the end of the process is the item's fault.
    blamed = isinstance(error, Exception) or is_foreign(error)
    reader.put_back(describe(error) if blamed else None)
    reader.leave()


@asynccontextmanager
async def lifecycle(actor: object, child: Child) -> AsyncGenerator[None]:
    """Run the hooks of *actor* around its work, and say in between that *child* is ready.

    `on_stop` is shielded from cancellation for nearly as long as the child's `cancel_grace`.
    """
    if isinstance(actor, _Starting):
        await actor.on_start()
    child.ready()
    reason = ExitReason("normal")
    try:
        yield
        reason = child.returned()
    except BaseException as error:
        reason = ExitReason.of(error)
        raise
    finally:
        if isinstance(actor, _Stopping):
            # A little less than the supervisor waits, which would call it unkillable.
            with anyio.move_on_after(0.9 * child.cancel_grace, shield=True):
                await actor.on_stop(reason)
