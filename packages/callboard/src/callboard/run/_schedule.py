"""What is done at its times by one of the processes in which a broker runs.

Each process knows the same moments. At each of them all claim it in a store, one has it, and does
what is to be done; the others look again until that is done, or until the next moment, in case the
one has died.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from anyio import CapacityLimiter, current_time, move_on_after

from callboard._errors import DeclarationError, IgnoredException
from callboard.declare._handler import Handler, where
from callboard.declare._idempotency import Idempotency, MemoryStore, Store
from callboard.declare._publisher import publishers_of
from callboard.declare._resolver import AnyResolver, MessageResolver
from callboard.declare._schedule import Times
from callboard.events import ScheduleFailed
from callboard.handle._once import HeldElsewhere, Once
from callboard.handle._own import Reader
from callboard.handle._pipeline import Scope, inject
from callboard.instruments import Handle
from callboard.run._surroundings import Surroundings
from callboard_actors import Child
from callboard_brokers import Message, Metadata
from callboard_di import PlanError, plan

_LOOK: Final = 60.0
"""Seconds after which the time of day is looked at again: somebody may have set the clock."""
_DAY: Final = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When something is done, by whom of several, and what of that which nobody has done."""

    name: str
    times: Times
    store: Store
    missed: float
    lease: float


class Clock:
    """The time of day, which goes on as the event loop's time does, also under test."""

    def __init__(self) -> None:
        self._apart = current_time() - time.monotonic()

    def now(self) -> datetime:
        """Return the time, in UTC."""
        ahead = current_time() - time.monotonic() - self._apart
        return datetime.now(UTC) + timedelta(seconds=ahead)


class Timer:
    """Calls *handler* at its times.

    Raises:
        DeclarationError: It asks for the body of a message, and there is none.
    """

    def __init__(
        self, schedule: Schedule, handler: Handler[..., Any], around: Callable[[], Surroundings]
    ) -> None:
        self._schedule = schedule
        self._handler = handler
        self._around = around
        try:
            body = plan(handler.callee, resolver=AnyResolver()).body
        except PlanError as error:
            raise DeclarationError(str(error)) from error
        if body:
            raise DeclarationError(
                f"{where(handler.function)} is done by a schedule, and nobody gives it"
                f" {', '.join(each.name for each in body)}; it may have what Depends() and Context() find"
            )

    async def run(self, child: Child) -> None:
        """Be a service of a broker."""
        await self._run(child, self._schedule)

    async def run_alone(self, child: Child) -> None:
        """Be one under test, where no store is."""
        await self._run(child, replace(self._schedule, store=MemoryStore()))

    async def _run(self, child: Child, schedule: Schedule) -> None:
        clock, times = Clock(), schedule.times
        missed = timedelta(seconds=schedule.missed)
        handle, last = self._once(child, schedule), clock.now() - missed
        while True:
            due = times.after(last)
            if due <= (now := clock.now()):
                due = times.latest(due, now)  # of several that nobody has done, one
            await _until(due, clock, child)
            if child.stop_requested:
                return
            await self._do(due, handle, clock, child)
            last = max(due, clock.now() - missed)

    async def _do(self, due: datetime, handle: Handle, clock: Clock, child: Child) -> None:
        """See to it that it is done, unless the next time comes before that."""
        message = Message(b"", address=self._schedule.name, metadata=Metadata(message_id=f"{due}"))
        following = self._schedule.times.after(due)
        while not child.stop_requested:
            try:
                await handle(message)
            except HeldElsewhere as held:
                again = clock.now() + timedelta(seconds=held.delay or 0)
                await _until(min(again, following), clock, child)
                if clock.now() >= following:
                    return
            else:
                return

    def _once(self, child: Child, schedule: Schedule) -> Handle:
        """Return what does it once, whoever else does; a failure is told of, and is an end as well."""
        around, call = self._around(), self._call()

        async def do(message: Message) -> None:
            try:
                result = await call(message)
                for publisher in publishers_of(self._handler):
                    await publisher.publish(result)
            except IgnoredException:
                pass
            except Exception as error:  # noqa: BLE001 - whatever it raises
                around.events(ScheduleFailed(child.path, f"{message.message_id}", error))

        options = Idempotency(
            schedule.store, ttl=max(_DAY, 2 * schedule.missed), lease=schedule.lease
        )
        return Once(schedule.name, options, around.logger, None).around(do)

    def _call(self) -> Handle:
        around = self._around()
        scope = Scope(
            resolver=MessageResolver(around.context, {"due": _due}),
            codec=Reader([around.options]).codec,
            overrides=around.overrides,
            limiter=CapacityLimiter(1),
            dependencies=around.options.dependencies,
        )
        return inject(self._handler.callee, scope)


def _due(message: Message) -> datetime:
    return datetime.fromisoformat(str(message.message_id))


async def _until(moment: datetime, clock: Clock, child: Child) -> None:
    """Wait for *moment*, or until *child* is asked to stop."""
    while not child.stop_requested and (left := (moment - clock.now()).total_seconds()) > 0:
        with move_on_after(min(left, _LOOK)):
            await child.stopping()
