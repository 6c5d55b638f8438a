"""Runs: the closures that are left of a plan, one specialised for each kind of need.

A running plan keeps its values in one list, the frame: first what travels, then a value for
each body parameter, then what the dependencies gave, in the order in which they are called.
Most handlers need nothing closed, and many nothing awaited: neither an exit stack nor
a coroutine is made for those; their run is a plain function that hands on the handler's own.

Teardown is written out here. What happens at a generator's `yield` follows FastAPI:
a success resumes it, a failure is raised there, and it has to raise in turn, whether the same
or another exception. One that ends instead has hidden a failure, which is an error, since its
message would be acknowledged. A cancellation goes on in any case.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from anyio import CancelScope, to_thread

from ._errors import InjectionError, SwallowedError
from ._signature import Style

__all__ = ["Frame", "Mode", "Read", "Step", "as_awaitable", "as_step", "running", "scoped"]

S = TypeVar("S")

Frame: TypeAlias = list[Any]
Read: TypeAlias = Callable[[Frame], Any]
"""Takes one argument out of a frame, or makes a call with arguments out of it."""
Call: TypeAlias = Callable[..., Any]
Opened: TypeAlias = list[AsyncGenerator[Any, None]]


class Mode(Enum):
    """What is done with what a call returned."""

    TAKE = "it is the value"
    AWAIT = "awaiting it gives the value"
    OPEN = "an async generator, whose first value it is, and which is closed later"


Step: TypeAlias = tuple[Read, Mode]


def as_awaitable(call: Call, style: Style, *, sync_to_thread: bool) -> Call:
    """Return *call* as a function whose result is awaited: in a thread, if it is to be."""
    if style is Style.ASYNC:
        return call

    async def in_thread(*args: object, **kwargs: object) -> object:
        # A thread cannot be cancelled. The caller can, and leaves it and its result behind.
        bound = functools.partial(call, *args, **kwargs)
        return await to_thread.run_sync(bound, abandon_on_cancel=True)

    async def inline(*args: object, **kwargs: object) -> object:
        return call(*args, **kwargs)

    return in_thread if sync_to_thread and style is Style.SYNC else inline


def as_step(call: Call, style: Style, *, sync_to_thread: bool) -> tuple[Call, Mode]:
    """Return how a dependency is called, and what is done with what that returns."""
    if style is Style.ASYNC_GENERATOR:
        return call, Mode.OPEN
    if style is Style.GENERATOR:
        return _as_async_generator(call, _to_its_end if sync_to_thread else _at_once), Mode.OPEN
    if style is Style.ASYNC or sync_to_thread:
        return as_awaitable(call, style, sync_to_thread=sync_to_thread), Mode.AWAIT
    return call, Mode.TAKE


def _as_async_generator(call: Call, hop: Call) -> Callable[..., AsyncGenerator[object, None]]:
    manager = contextmanager(call)

    @functools.wraps(call)
    async def generate(*args: object, **kwargs: object) -> AsyncGenerator[object, None]:
        opened = manager(*args, **kwargs)
        value = await hop(opened.__enter__)
        try:
            yield value
        except BaseException as error:
            if not await hop(opened.__exit__, type(error), error, error.__traceback__):
                raise
        else:
            await hop(opened.__exit__, None, None, None)

    return generate


async def _at_once(call: Call, *args: object) -> object:
    return call(*args)


async def _to_its_end(call: Call, *args: object) -> object:
    # What a generator holds must be closed also after a cancellation, and not while its thread
    # still runs. The time that this takes is bounded by nobody but the supervisor.
    with CancelScope(shield=True):
        return await to_thread.run_sync(call, *args)
    return None  # not reached: nobody cancels this scope


def running(
    begin: Callable[[S], Frame], steps: Sequence[Step], invoke: Read
) -> Callable[[S], Awaitable[object]]:
    """Return the leanest run: *begin* a frame, fill it by *steps*, and await what is invoked."""
    modes = {mode for _, mode in steps}
    if Mode.OPEN in modes:
        return _closing(begin, steps, invoke)
    if Mode.AWAIT in modes:
        return _awaiting(begin, steps, invoke)
    calls = [call for call, _ in steps]

    def run(travelling: S) -> Awaitable[object]:
        frame = begin(travelling)
        for call in calls:
            frame.append(call(frame))
        result: Awaitable[object] = invoke(frame)
        return result

    return run


def _awaiting(
    begin: Callable[[S], Frame], steps: Sequence[Step], invoke: Read
) -> Callable[[S], Awaitable[object]]:
    waits = [(call, mode is Mode.AWAIT) for call, mode in steps]

    async def run(travelling: S) -> object:
        frame = begin(travelling)
        for call, wait in waits:
            frame.append(await call(frame) if wait else call(frame))
        return await invoke(frame)

    return run


def _closing(
    begin: Callable[[S], Frame], steps: Sequence[Step], invoke: Read
) -> Callable[[S], Awaitable[object]]:
    async def run(travelling: S) -> object:
        opened: Opened = []
        try:
            frame = begin(travelling)
            await _fill(frame, steps, opened)
            result = await invoke(frame)
        except BaseException as error:
            await _unwind(opened, error)
            raise
        await _close(opened)
        return result

    return run


def scoped(
    begin: Callable[[S], Frame], steps: Sequence[Step], invoke: Read
) -> Callable[[S], AbstractAsyncContextManager[object]]:
    """Return a run whose teardown waits until the block around it is left."""

    @asynccontextmanager
    async def scope(travelling: S) -> AsyncGenerator[object, None]:
        opened: Opened = []
        try:
            frame = begin(travelling)
            await _fill(frame, steps, opened)
            yield await invoke(frame)
        except BaseException as error:
            await _unwind(opened, error)
            raise
        await _close(opened)

    return scope


async def _fill(frame: Frame, steps: Sequence[Step], opened: Opened) -> None:
    for call, mode in steps:
        value = call(frame)
        if mode is Mode.AWAIT:
            value = await value
        elif mode is Mode.OPEN:
            generator, value = value, await _first(value)
            opened.append(generator)
        frame.append(value)


async def _first(generator: AsyncGenerator[Any, None]) -> object:
    try:
        return await generator.__anext__()
    except StopAsyncIteration:
        raise _wrong_yields(generator) from None


async def _close(opened: Opened) -> None:
    """Resume the generators, last opened first; if one fails, the rest are told."""
    while opened:
        generator = opened.pop()
        try:
            await generator.__anext__()
        except StopAsyncIteration:
            continue
        except BaseException as error:
            await _unwind(opened, error)
            raise
        await generator.aclose()
        failure = _wrong_yields(generator)
        await _unwind(opened, failure)
        raise failure


async def _unwind(opened: Opened, error: BaseException) -> None:
    """Raise *error* in the generators, last opened first, and what one raises in the next.

    Returns if *error* itself came out of the last one, so that the caller raises it on.
    """
    failure = error
    while opened:
        generator = opened.pop()
        try:
            await generator.athrow(failure)
        except StopAsyncIteration:
            failure = _swallowed(generator, failure)
        except BaseException as raised:  # noqa: BLE001 - it is raised on, below or by the caller
            failure = raised
        else:
            await generator.aclose()
            failure = _wrong_yields(generator)
    if failure is not error:
        raise failure


def _swallowed(generator: AsyncGenerator[Any, None], failure: BaseException) -> BaseException:
    if not isinstance(failure, Exception):
        return failure  # a cancellation is not the dependency's to stop
    swallowed = SwallowedError(
        f"dependency {_name(generator)} caught {failure!r} at its yield and ended; "
        "let it raise again after cleaning up"
    )
    swallowed.__cause__ = failure
    return swallowed


def _wrong_yields(generator: AsyncGenerator[Any, None]) -> InjectionError:
    return InjectionError(f"dependency {_name(generator)} has to yield exactly once")


def _name(generator: AsyncGenerator[Any, None]) -> str:
    qualified: str = getattr(generator, "__qualname__", "")
    return repr(qualified.rpartition("<locals>.")[2])
