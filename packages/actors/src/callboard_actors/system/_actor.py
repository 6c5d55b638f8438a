"""The actor loop: one item at a time, and none lost when the actor crashes.

Context variables end with the item that has set them, though a task has one context for life.
A coroutine need not run in the context of its task: `Context.run(coroutine.send, value)` takes a
step of it in any other, and between two steps that may be replaced. So the loop is driven in a copy
of the task's context, and asks its driver for a new one when an item has left something behind.

A copy for each item would do as well, and cost each a driver of its own, some 0.5 us. Asking
whether anything has changed costs a tenth of it: contexts are immutable maps inside, and a copy is
the same map until somebody sets a variable. Neither cancel scopes nor the current task of asyncio
and trio depend on the context; tasks that an item starts inherit its own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from contextvars import copy_context
from types import coroutine
from typing import Any, Final, Protocol, TypeAlias, TypeVar, runtime_checkable

import anyio

from callboard_actors._errors import MailboxClosed
from callboard_actors.mailbox._reader import Reader
from callboard_actors.supervision._child import Child
from callboard_actors.supervision._decisions import Decision, Rule, decision
from callboard_actors.supervision._exits import ExitReason, as_exit, describe, guarded, is_foreign

T = TypeVar("T")
M_contra = TypeVar("M_contra", contravariant=True)

Quarantine: TypeAlias = Callable[[T, str], Awaitable[None]]
"""Takes an item that has crashed its actor twice, and the text of the second crash."""

Failed: TypeAlias = Callable[[T, Exception], Awaitable[None]]
"""Takes an item whose failure the actor has survived, and the exception."""

_CRASHES_ALLOWED = 1
_WORK = "an actor at work"
_FORGET: Final = object()


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
    decide: Sequence[Rule] = (),
    failed: Failed[T] | None = None,
) -> None:
    """Hand *receive* the items of *reader* until its mailbox is closed and empty.

    Context variables that are set for an item are gone for the next one, which finds what was
    there when the loop began.

    An exception out of *receive* is a crash: the item returns to the head of its lane, and the
    exception goes on to the supervisor. An item that has crashed its actor twice is not received
    again, but handed to *quarantine*, or dropped with an event if there is none. When the loop is
    cancelled, its item returns as well, uncounted; so it does when the actor stops for good.

    An exception that *decide* resumes (the same rules as the `ChildSpec` has) is a failure of the
    item alone: the item is handed to *failed*, or dropped with an event if there is none, and the
    loop goes on.

    Raises:
        ForeignCancellation: *receive* was cancelled by something that is no cancel scope.
    """
    await isolated(_serve(receive, reader, quarantine, decide, failed))


async def _serve(  # noqa: C901 - the loop is one piece: what it does for each item must stay in sight
    receive: Callable[[T], Awaitable[object]],
    reader: Reader[T],
    quarantine: Quarantine[T] | None,
    decide: Sequence[Rule],
    failed: Failed[T] | None,
) -> None:
    clean = copy_context()
    crashes, items, pause = reader.crashes, reader.items, reader.pause
    reader.enter()
    failure: Exception | None = None
    while True:
        try:
            if failure is not None:
                await _set_failed(reader, failure, failed)
                failure = None
            for item in items():
                try:
                    has_changed = copy_context() != clean
                except Exception:  # noqa: BLE001 - what users have set is compared, and may answer anything
                    has_changed = True
                if has_changed:
                    await _forget()
                if item is None:
                    await pause()
                elif crashes and _is_poison(item, reader):
                    await _set_aside(item, reader, quarantine)
                else:
                    await receive(item)
        except BaseException as error:
            if _is_end(error, reader):
                reader.leave()
                return
            # Once only: if `failed` fails in its turn, somebody else has to see to the item.
            failure = _survived(error, reader, decide) if failure is None else None
            if failure is None:
                _leave(error, reader, decide)
                raise


@coroutine
def isolated(work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await *work* in a copy of the running context: what it sets ends with it."""
    clean = copy_context()
    run, step, sent = clean.copy().run, work.send, None
    try:
        while True:
            try:
                awaited = run(step, sent)
            except StopIteration as end:
                result: T = end.value
                return result
            step, sent = work.send, None
            if awaited is _FORGET:
                run = clean.copy().run
                continue
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - whatever is thrown in is for *work*
                step, sent = work.throw, error
    finally:
        del step, sent  # an exception would hold this frame, which held the exception


@coroutine
def _forget() -> Generator[object, None, None]:
    """Let the `isolated` work that awaits this itself go on in a new copy. No checkpoint."""
    yield _FORGET


def _is_end(error: BaseException, reader: Reader[T]) -> bool:
    return isinstance(error, MailboxClosed) and reader.current is None


def _is_poison(item: T, reader: Reader[T]) -> bool:
    crashes = reader.crashes.get(id(item))
    return crashes is not None and crashes.count > _CRASHES_ALLOWED


async def _set_aside(item: T, reader: Reader[T], quarantine: Quarantine[T] | None) -> None:
    if quarantine is None:
        reader.drop()
    else:
        await quarantine(item, reader.crashes[id(item)].text)


async def _set_failed(reader: Reader[T], failure: Exception, failed: Failed[T] | None) -> None:
    if reader.current is None:
        return
    if failed is None:
        reader.drop()
    else:
        await failed(reader.current, failure)
    reader.done()


def _survived(error: BaseException, reader: Reader[T], rules: Sequence[Rule]) -> Exception | None:
    """Return what is to be said of the item if the actor goes on."""
    failure, item = as_exit(error, _WORK), reader.current
    if item is None or not isinstance(failure, Exception) or _is_poison(item, reader):
        return None
    return failure if _decide(failure, reader, rules) is Decision.RESUME else None


def _decide(error: BaseException, reader: Reader[T], rules: Sequence[Rule]) -> Decision:
    try:
        return decision(error, rules)
    except BaseException:  # a rule of the user's has failed: a crash like any other
        reader.put_back(describe(error))
        reader.leave()
        raise


def _leave(error: BaseException, reader: Reader[T], rules: Sequence[Rule]) -> None:
    """Give back the item. Raises `ForeignCancellation` if *error* is foreign."""
    # Neither a cancellation of ours, nor the end of the process or of the actor is its fault.
    foreign = is_foreign(error)
    stops = _decide(as_exit(error, _WORK), reader, rules) is Decision.STOP
    blamed = foreign or (isinstance(error, Exception) and not stops)
    reader.put_back(describe(error) if blamed else None)
    reader.leave()
    if foreign:
        raise as_exit(error, _WORK)


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
            with anyio.move_on_after(0.9 * child.cancel_grace, shield=True), guarded("on_stop"):
                await actor.on_stop(reason)
