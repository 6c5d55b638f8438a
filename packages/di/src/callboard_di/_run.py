"""Runs: the closures that are left of a plan when all that can be known is known.

A running plan keeps its values in one list, the frame: first what travels, then a value for
each body parameter, then what its steps gave: the dependencies in the order in which they are
called, and at last the handler. Where the handler is the only step there is no coroutine but its
own, and there is no exit stack but for what outlives the run.

What happens at a generator's `yield` follows FastAPI: a success resumes it, a failure is raised
there, and it has to raise in turn, whether the same or another exception. One that ends instead
has hidden a failure, which is an error, since its message would be acknowledged.
A cancellation goes on in any case.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from contextvars import Context, copy_context
from typing import Any, TypeAlias, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from ._errors import InjectionError, SwallowedError
from ._signature import Style

S = TypeVar("S")

Call: TypeAlias = Callable[..., Any]
Frame: TypeAlias = list[Any]
Begin: TypeAlias = Callable[[S], Frame]
"""Makes the frame of a message, with what travels and the values of the body."""
Read: TypeAlias = Callable[[Frame], Any]
"""Takes one argument out of a frame, or makes a call with arguments out of it."""
Step: TypeAlias = tuple[Read, Style]
"""Makes a call whose value is the next of the frame, and says how it gives it."""


def ready(
    call: Call, style: Style, *, sync_to_thread: bool, limiter: CapacityLimiter | None
) -> tuple[Call, Style]:
    """Return what a step calls for *call*, and its style: that of a sync generator never."""
    if style == "generator":
        hopping = functools.partial(_in_threads, limiter) if sync_to_thread else _inline
        return _as_async(call, hopping), "async generator"
    if style != "sync" or not sync_to_thread:
        return call, style

    async def in_thread(*args: object, **kwargs: object) -> object:
        # A thread cannot be cancelled. The caller can, and leaves it and its result behind.
        bound = functools.partial(call, *args, **kwargs)
        return await to_thread.run_sync(bound, abandon_on_cancel=True, limiter=limiter)

    return in_thread, "async"


def _as_async(call: Call, hopping: Callable[[], Call]) -> Call:
    manager = contextmanager(call)

    @functools.wraps(call)
    async def generate(*args: object, **kwargs: object) -> AsyncGenerator[object, None]:
        opened, hop = manager(*args, **kwargs), hopping()
        value = await hop(opened.__enter__)
        try:
            yield value
        except BaseException as error:
            if not await hop(opened.__exit__, type(error), error, error.__traceback__):
                raise
        else:
            await hop(opened.__exit__, None, None, None)

    return generate


def _inline() -> Call:
    async def hop(call: Call, *args: object) -> object:
        return call(*args)

    return hop


def _in_threads(limiter: CapacityLimiter | None) -> Call:
    context: Context | None = None

    def run(call: Call, *args: object) -> object:
        # Each thread gets a copy of the context. What a generator sets before its yield, it has to
        # be able to reset after it: so all of it runs in the first of the copies.
        nonlocal context
        context = copy_context() if context is None else context
        return context.run(call, *args)

    async def hop(call: Call, *args: object) -> object:
        # What a generator holds must be closed also after a cancellation, and not while its thread
        # still runs, which nobody can interrupt. So no deadline of ours would do any good: who
        # runs this has to give it up, and the process with it.
        with CancelScope(shield=True):
            return await to_thread.run_sync(run, call, *args, limiter=limiter)
        return None  # not reached: nobody cancels this scope

    return hop


def running(begin: Begin[S], steps: Sequence[Step]) -> Callable[[S], Awaitable[object]]:
    """Return what takes the steps, closes the generators, and returns what the last step gave."""
    call, style = steps[0]
    if len(steps) == 1 and style == "async":
        return lambda travelling: call(begin(travelling))
    return lambda travelling: _take(iter(steps), begin(travelling))


def scoped(
    begin: Begin[S], steps: Sequence[Step]
) -> Callable[[S], AbstractAsyncContextManager[object]]:
    """Return the same as a context manager, which closes the generators when its block is left."""

    @asynccontextmanager
    async def scope(travelling: S) -> AsyncGenerator[object, None]:
        async with AsyncExitStack() as stack:
            yield await _take(iter(steps), begin(travelling), stack)

    return scope


async def _take(steps: Iterator[Step], frame: Frame, stack: AsyncExitStack | None = None) -> object:
    for call, style in steps:
        value = call(frame)
        if style == "async":
            value = await value
        elif style == "async generator" and stack:
            value = await stack.enter_async_context(_Opened(value))
        elif style == "async generator":
            # Cheaper than a stack: the rest of the steps is taken inside of the block.
            async with _Opened(value) as first:
                frame.append(first)
                return await _take(steps, frame)
        frame.append(value)
    return frame[-1]


class _Opened:
    """The block between the `yield` of a generator and its end."""

    def __init__(self, generator: AsyncGenerator[Any, None]) -> None:
        self._generator = generator

    async def __aenter__(self) -> object:
        try:
            return await anext(self._generator)
        except StopAsyncIteration:
            raise self._failure("has to yield exactly once") from None

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            if error is None:
                await anext(self._generator)
            else:
                await self._generator.athrow(error)
        except StopAsyncIteration:
            if isinstance(error, Exception):
                hint = (
                    f"caught {error!r} at its yield and ended; let it raise again after cleaning up"
                )
                raise self._failure(hint, SwallowedError) from error
            return  # all went well, or a cancellation goes on
        await self._generator.aclose()
        raise self._failure("has to yield exactly once")

    def _failure(self, what: str, kind: type[InjectionError] = InjectionError) -> InjectionError:
        name = getattr(self._generator, "__qualname__", "").rpartition("<locals>.")[2]
        return kind(f"dependency {name!r} {what}")
