"""The subscribers of a broker while it runs: each starts and stops alone, or with all others.

Any number of tasks may start and stop them, and be cancelled meanwhile. Whoever starts what another
starts already waits for the same; whoever stops ends what was there when he came, and nothing that
came after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import Final

import anyio

from callboard._errors import DeclarationError, NotRunning
from callboard.declare._subscriber import PlacedSubscriber
from callboard.events import (
    ActorCrashed,
    ActorRestarting,
    ActorStarted,
    Event,
    NoDeadLetters,
    SubscriptionDown,
    SubscriptionUp,
)
from callboard.run._host import GRACE, Claims
from callboard.run._reading import Reading
from callboard.run._running import Running
from callboard.run._surroundings import Started
from callboard.watch._printable import last_words
from callboard.watch._view import last_standing
from callboard_actors import (
    Backoff,
    Child,
    ChildSpec,
    Decision,
    SpecError,
    Supervisor,
    SupervisorStopped,
)

PAUSES: Final = Backoff(first=30.0, min=60.0, max=600.0, jitter="none", reset_after=600.0)
"""Before a subscription that has given up is tried again."""


class Subscriptions:
    """Runs subscribers of one broker: those that start with it, and others one by one."""

    def __init__(self, started: Started) -> None:
        self._started = started
        self._around = started.around
        self._places: dict[object, _Place] = {}
        """By their declarations."""
        self._claims = Claims()
        self._tree: Supervisor | None = None
        self._child: Child | None = None
        self._ended = anyio.Event()
        self._over = False
        self._expected = False
        self._down = set[str]()
        self._why = ""

    async def run(self, child: Child) -> None:
        """Run what is up: nothing at first; after the loss of a connection, all of it again."""
        up = [each for each in self._places.values() if each.up and not each.has_ended]
        specs = [self._spec(place) for place in up if not self._over]
        self._tree = Supervisor(specs, intensity=inf, notify=self._hear)
        self._child, self._ended = child, anyio.Event()
        try:
            await self._tree.run(child)
        finally:
            self._ended.set()

    def assemble(self) -> None:
        """Make ready what starts with the broker.

        Raises:
            DeclarationError: A declaration can't work.
        """
        self._expected = True
        seen: set[object] = set()
        known = {*self._places}
        for placed in self._around.subscribers():
            if placed.declaration in seen:
                raise DeclarationError(
                    f"{placed.name} is in {self._around.name} twice, since its router was"
                    " included twice: make a router for each"
                )
            seen.add(placed.declaration)
            if placed.declaration.options.persistent:
                self._place(placed)
        self._warn([each for key, each in self._places.items() if key not in known])

    async def start_all(self) -> None:
        """Start what starts with the broker and does not run; return when it is up.

        What fails, or is cancelled, stops what was started for nobody else.

        Raises:
            NotRunning: The broker was stopped meanwhile.
            Exception: What kept one from starting.
        """
        self.assemble()
        async with self._claims.claim(self._undo, self._undo_hard):
            for placed in self._around.subscribers():
                if placed.declaration.options.persistent:
                    place = self._place(placed)
                    place.joint |= not place.begun
                    await self._start(place)

    async def start(self, declaration: object) -> None:
        """Start *declaration*, whatever else runs; with handlers it runs, without it is read."""
        placed = self._placed(declaration)
        is_known = declaration in self._places
        place = self._place(placed)
        if not is_known:
            self._warn([place])
        if place.leaving:
            raise NotRunning(
                f"{place.name} is being stopped; start it again when that has returned"
            )
        if place.retired:
            await self._stop(place)
            place = self._place(placed)
        if place.begun:
            raise DeclarationError(f"{place.name} is running already")
        await self._start(place)
        if place.leaving:
            raise NotRunning(f"{place.name} was stopped before it was up")

    async def stop(self, declaration: object) -> None:
        """Stop *declaration* in good order, alone; nothing, if it does not run.

        If cancelled, it is stopped hard.
        """
        place = self._places.get(declaration)
        if place is not None and place.begun:
            await self._stop(place)

    def retire(self, declaration: object, drain: float) -> None:
        """Have *declaration* stop by itself, within *drain* seconds, for its handler has said so."""
        place = self._places.get(declaration)
        if place is not None and place.life is not None:
            place.retired = True
            if isinstance(place.active, Running):
                place.active.close()
            place.life.stop(anyio.current_time() + drain)

    async def stop_all(self, deadline: float) -> None:
        """Stop all by *deadline*, for good; return when nothing is in hand any more.

        The connection stays, for the outputs of other brokers' handlers.
        """
        self._over = True
        if self._child is not None:
            self._child.stop(deadline)
            await self._ended.wait()

    def active(self, declaration: object) -> Running | Reading:
        """Return what *declaration* runs as.

        Raises:
            NotRunning: It was not started.
        """
        place = self._places.get(declaration)
        if place is None or not place.begun:
            name = self._placed(declaration).name
            raise NotRunning(f"{name} is not running: `await subscriber.start()`")
        return place.active

    @property
    def awaited(self) -> bool:
        """Whether more of them are about to start."""
        return bool(self._claims.open) or (self._expected and not self._claims.kept)

    def running(self, declaration: object) -> bool:
        """Whether *declaration* is up, and nobody stops it."""
        place = self._places.get(declaration)
        return place is not None and place.up and not place.has_ended

    def _placed(self, declaration: object) -> PlacedSubscriber:
        return next(each for each in self._around.subscribers() if each.declaration is declaration)

    def _place(self, placed: PlacedSubscriber) -> _Place:
        """Return the place of *placed*; one with a name that no other has, if it has none yet.

        Several subscribers of an address may have handlers of one name; one without is read by hand.
        """
        key = placed.declaration
        if key not in self._places:
            taken = {place.name for place in self._places.values()}
            names = (f"{placed.name}-{n}" if n > 1 else placed.name for n in count(1))
            name = next(name for name in names if name not in taken)
            make = Running if placed.declaration.calls else Reading
            self._places[key] = _Place(key, name, make(placed, self._started))
        return self._places[key]

    def _warn(self, places: Sequence[_Place]) -> None:
        """Say of all *places* together that what they reject is kept nowhere, where that is so."""
        losing = [
            each.name
            for each in places
            if isinstance(each.active, Running) and each.active.loses_rejected
        ]
        if losing:
            self._around.events(NoDeadLetters(self._around.name, losing))

    async def _start(self, place: _Place) -> None:
        """Start what is at *place*, or wait for whoever does; all who wait hear how that fails."""
        async with place.turn:
            if place.failure is not None:
                raise place.failure
            if place.up or place.leaving:
                return
            place.begun = True
            try:
                await self._start_child(place)
            except Exception as error:
                place.failure = error
                self._forget(place)
                raise
            finally:
                place.begun = place.up  # if cancelled, it may be started again

    def _spec(self, place: _Place) -> ChildSpec:
        def ends_all(_error: Exception) -> bool:
            # What is read by hand is nobody's livelihood.
            if isinstance(place.active, Reading):
                return False
            return place.active.on_give_up == "stop" or self._is_last(place)

        return ChildSpec(
            place.name,
            place.run,
            restart="transient",
            drain=inf,
            start_timeout=inf,
            backoff=PAUSES,
            decide=[(ends_all, Decision.ESCALATE), (Exception, Decision.RESTART)],
        )

    def _is_last(self, place: _Place) -> bool:
        """Whether no other subscription of the application is left that runs, or will."""
        companions = self._around.companions()
        if any(each.awaited for each in companions):
            return False
        mine = self._started
        return last_standing(
            [(each.tree(), place.name if each is mine else None) for each in companions]
        )

    def _hear(self, event: Event) -> None:
        """Tell what becomes of the subscriptions: one that waits for another try is down."""
        tell, path = self._around.events, event.path
        if isinstance(event, ActorRestarting):
            self._down.add(path)
            tell(SubscriptionDown(path, event.attempt, event.delay, self._why))
            return
        if isinstance(event, ActorCrashed):
            self._why = last_words(event.error)
        elif isinstance(event, ActorStarted) and path in self._down:
            self._down.discard(path)
            tell(SubscriptionUp(path))
        tell(event)

    async def _start_child(self, place: _Place) -> None:
        if self._tree is None:
            raise NotRunning(f"{self._around.name} is not connected yet")
        try:
            await self._tree.start_child(self._spec(place), keep=True)
            place.up = True
        except SupervisorStopped:
            if not place.leaving:  # whoever stops it alone is told by `start`
                raise NotRunning(
                    f"{self._around.name} was stopped before {place.name} was up"
                ) from None

    async def _stop(self, place: _Place) -> None:
        place.leaving = True
        try:
            await self._gone(place)
        except anyio.get_cancelled_exc_class():
            await self._cut([place])
            raise
        finally:
            self._forget(place)

    async def _gone(self, place: _Place) -> None:
        """Have it stopped; it may have ended by itself, or with all others."""
        with suppress(SpecError, SupervisorStopped):
            if self._tree is not None:
                await self._tree.stop_child(place.name)

    async def _undo(self) -> None:
        """Stop what was started with all others, from the last to the first."""
        for place in self._joint():
            await self._stop(place)

    async def _undo_hard(self) -> None:
        joint = self._joint()
        await self._cut(joint)
        for place in joint:
            self._forget(place)

    def _joint(self) -> list[_Place]:
        places = reversed([*self._places.values()])
        return [place for place in places if place.joint and place.up]

    async def _cut(self, places: Sequence[_Place]) -> None:
        """End *places* at once, and see them end."""
        for place in places:
            place.leaving = True
            if place.life is not None:
                # All at once: one after another, each would have as long to end as all may have.
                place.life.stop(anyio.current_time())
        with anyio.move_on_after(GRACE, shield=True):
            for place in places:
                await self._gone(place)

    def _forget(self, place: _Place) -> None:
        if self._places.get(place.key) is place:
            del self._places[place.key]


@dataclass(eq=False)
class _Place:
    """Where a subscriber runs, from its assembly to the end of its stop."""

    key: object
    name: str
    active: Running | Reading
    begun: bool = False
    up: bool = False
    leaving: bool = False
    retired: bool = False
    """Whether its own handler has ended it."""
    failure: Exception | None = None
    """What kept it from starting."""
    joint: bool = False
    """Whether it was started with all others."""
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    """Held by whoever starts it."""
    life: Child | None = None

    @property
    def has_ended(self) -> bool:
        return self.leaving or self.retired

    async def run(self, child: Child) -> None:
        self.life = child
        await self.active.run(child)
