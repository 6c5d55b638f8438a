"""Calls of an application's hooks, with what they ask for."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from callboard._context import ContextRepo
from callboard._errors import DeclarationError, StartupValidationError
from callboard.declare._resolver import HookResolver
from callboard.watch._say import say
from callboard_actors import guarded
from callboard_di import EMPTY, BodyParameter, Callee, Overrides, PlanError, plan
from callboard_validation import caster

Hook: TypeAlias = Callable[..., Any]
Lifespan: TypeAlias = Callable[..., AbstractAsyncContextManager[Any]]


class Hooks:
    """Calls hooks: sync or async functions that may ask for what is in the context.

    Their signatures are read where they are declared: there the names in annotations can be found.
    Those of the start take *options* by name, too.
    """

    def __init__(
        self,
        context: ContextRepo,
        overrides: Overrides,
        logger: logging.Logger,
        options: Mapping[str, object],
    ) -> None:
        self._context = context
        self._options = options
        self._resolver = HookResolver(context)
        self._overrides = overrides
        self._logger = logger

    async def call(self, hooks: Sequence[Callee], *, at_start: bool = False) -> None:
        """Call *hooks* in order, *at_start* with the options; the first that fails ends it."""
        for hook in hooks:
            await checkpoint()  # where a stop that came meanwhile ends it
            with guarded(f"the hook {hook.title}"):
                await self._bound(hook, takes_options=at_start)(None)

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
        bound = self._bound(lifespan, sync_to_thread=False, takes_options=True)
        manager: Any = await bound(None)
        with guarded(f"the lifespan {lifespan.title}"):
            async with manager:
                with self._context.keep(), guarded("the application"):
                    yield

    def _bound(
        self, hook: Callee, *, sync_to_thread: bool = True, takes_options: bool = False
    ) -> Callable[[None], Awaitable[object]]:
        try:
            planned = plan(hook, resolver=self._resolver, caster=caster, overrides=self._overrides)
            if not (planned.body and takes_options):
                return planned.bind(None, sync_to_thread=sync_to_thread)
            values = options_of(planned.body, self._options)
            body = values if planned.spread else values[0]
            return planned.bind(lambda _: body, sync_to_thread=sync_to_thread)
        except PlanError as error:
            raise DeclarationError(f"the hook {hook.title} can't be called: {error}") from error


def options_of(parameters: Sequence[BodyParameter], options: Mapping[str, object]) -> list[object]:
    """Return a value for each of *parameters*, by name, as its annotation says.

    Raises:
        StartupValidationError: Some are missing, or not valid.
    """
    values: list[object] = []
    missed: list[str] = []
    invalid: list[str] = []
    named = {each.name for each in parameters}
    for each in parameters:
        if each.kind is each.kind.VAR_POSITIONAL:
            values.append(())
        elif each.kind is each.kind.VAR_KEYWORD:
            values.append({key: value for key, value in options.items() if key not in named})
        elif each.name in options:
            try:
                convert = caster(each.annotation) if each.cast else None
                value = options[each.name]
                values.append(value if convert is None else convert(value))
            except ValueError:  # what validates it is pydantic, or msgspec
                invalid.append(each.name)
        elif each.default is EMPTY:
            missed.append(each.name)
        else:
            values.append(each.default)
    if missed or invalid:
        raise StartupValidationError(missed, invalid)
    return values
