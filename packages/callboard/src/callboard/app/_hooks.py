"""Calls of an application's hooks, with what they ask for."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from callboard._context import ContextRepo
from callboard._errors import DeclarationError
from callboard.declare._resolver import HookResolver
from callboard.watch._say import say
from callboard_actors import guarded
from callboard_di import Callee, Overrides, PlanError, plan
from callboard_validation import caster

Hook: TypeAlias = Callable[..., Any]
Lifespan: TypeAlias = Callable[..., AbstractAsyncContextManager[Any]]


class Hooks:
    """Calls hooks: sync or async functions that may ask for what is in the context.

    Their signatures are read where they are declared: there the names in annotations can be found.
    """

    def __init__(self, context: ContextRepo, overrides: Overrides, logger: logging.Logger) -> None:
        self._resolver = HookResolver(context)
        self._overrides = overrides
        self._logger = logger

    async def call(self, hooks: Sequence[Callee]) -> None:
        """Call *hooks* in order; the first that fails ends it."""
        for hook in hooks:
            await checkpoint()  # where a stop that came meanwhile ends it
            with guarded(f"the hook {hook.title}"):
                await self._bound(hook)(None)

    async def call_all(self, hooks: Sequence[Callee], failures: list[BaseException]) -> None:
        """Call *hooks* in order, whatever fails; add to *failures* what they raised.

        If cancelled, the one that runs is cut short, which is a failure of it.
        """
        for hook in hooks:
            try:
                with guarded(f"the shutdown hook {hook.title}"):
                    await self._bound(hook)(None)
            except GeneratorExit:  # the event loop is gone
                raise
            except anyio.get_cancelled_exc_class():
                late = TimeoutError(f"the shutdown hook {hook.title} did not end in time")
                self._logger.error("%s", late)  # noqa: TRY400 - where it was cancelled says little
                failures.append(late)
                raise
            # Even the wish to leave the process: it is raised when all else is shut down.
            except BaseException as error:  # noqa: BLE001 - told, and raised at the end
                line = "the shutdown hook %s failed"
                say(self._logger, logging.ERROR, line, hook.title, error=error)
                failures.append(error)

    def check(self, hooks: Iterable[Callee]) -> None:
        """See that *hooks* can be called.

        Raises:
            DeclarationError: One of them asks for what nobody can give.
        """
        for hook in hooks:
            self._bound(hook)

    @asynccontextmanager
    async def around(self, lifespan: Callee | None) -> AsyncGenerator[None]:
        """Enter the context manager that *lifespan* makes, if there is one.

        Raises:
            ForeignCancellation: By no cancel scope was it cancelled, or what is done in the block.
        """
        if lifespan is None:
            with guarded("the application"):
                yield
            return
        # Inline: making a context manager does no work that would be worth a thread.
        manager: Any = await self._bound(lifespan, sync_to_thread=False)(None)
        with guarded(f"the lifespan {lifespan.title}"):
            async with manager:
                with guarded("the application"):
                    yield

    def _bound(
        self, hook: Callee, *, sync_to_thread: bool = True
    ) -> Callable[[None], Awaitable[object]]:
        try:
            planned = plan(hook, resolver=self._resolver, caster=caster, overrides=self._overrides)
            return planned.bind(None, sync_to_thread=sync_to_thread)
        except PlanError as error:
            raise DeclarationError(f"the hook {hook.title} can't be called: {error}") from error
