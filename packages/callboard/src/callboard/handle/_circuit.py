"""The gate of a subscriber with a `Breaker`: shut while what its handlers need is away.

All workers of a subscription pass one gate, outside of everything else. What waits at it is in
hand, unsettled and not begun; the mailbox fills behind it, and the intake waits as well, so the
rest stays with the broker.

Each time that the gate opens or shuts, a new era begins. A call of an earlier one tells nothing
about this one, and if it has failed, its message stays: it may have met what was away.
"""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar
from math import inf
from typing import Final, Literal, NamedTuple, TypeAlias

import anyio

from callboard._errors import DependencyDown, words
from callboard.declare._breaker import Breaker
from callboard.declare._retry import Verdict
from callboard.events import BreakerClosed, BreakerHalfOpened, BreakerOpened, Notify
from callboard.handle._failures import failed_first
from callboard.handle._outcome import Verdicts
from callboard.handle._passage import PASSAGE
from callboard.handle._put_off import PutOff
from callboard.instruments import Handle
from callboard_actors import Rule, concerns_actor
from callboard_brokers import Message, Settlement

State: TypeAlias = Literal["closed", "open", "half-open"]

_AFTER: Final = 0.05
"""Seconds by which what has failed comes after those that wait: another one is tried first."""
_SEEN: Final = 5
"""How many times the calls that are needed are looked at: few of many may fail, and by turns."""


class _Call(NamedTuple):
    """What a worker has passed the gate with."""

    era: int
    first_failure: float
    """When the message has failed first; infinite, if it has not."""


_CALL: Final[ContextVar[_Call | None]] = ContextVar("callboard-circuit", default=None)


class Circuit:
    """Counts the calls of one subscriber, and shuts its gate.

    Args:
        name: That of the subscriber.
        breaker: What it goes by.
        tell: Told when it opens and closes.
        rules: Says which exceptions concern the actor: they tell nothing of a dependency.

    Attributes:
        state: Open means that nothing passes; half-open, that a few do.
    """

    def __init__(self, name: str, breaker: Breaker, tell: Notify, rules: tuple[Rule, ...]) -> None:
        self.state: State = "closed"
        self._name = name
        self._breaker = breaker
        self._tell = tell
        self._rules = rules
        self._calls = deque[tuple[float, bool]](maxlen=_SEEN * breaker.calls)
        self._failed = 0
        self._succeeded_at = -inf
        self._era = 0
        self._opened_at = self._until = 0.0
        self._places = self._passed = 0
        self._recalls = 0
        self._drains = False
        self._changed = anyio.Event()

    def around(self, handle: Handle) -> Handle:
        """Let what *handle* is called with pass the gate before."""

        async def within(message: Message) -> object:
            if self.state != "closed" or self._drains:
                await self._pass()
            era = self._era
            _CALL.set(_Call(era, failed_first(message)))  # it ends with the message
            try:
                result = await handle(message)
            except Exception as error:
                self._end(era, error)
                raise
            except BaseException:
                self._leave(era)
                raise
            passage = PASSAGE.get()
            self._end(era, None if passage is None else passage.failure)
            return result

        return within

    def judging(self, verdicts: Verdicts) -> Verdicts:
        """Let stay by *verdicts* what may have failed for what is away."""
        breaker = self._breaker
        held = Verdict(None, stays=breaker.pause + _AFTER)
        # So often that a message alone can open it.
        doubted = Verdict(None, stays=min(breaker.pause, breaker.within / (2 * breaker.calls)))

        def judge(message: Message, error: Exception) -> Verdict:
            usual = verdicts(message, error)
            if not self._blames(error):
                return usual
            call = _CALL.get()
            if self.state != "closed" or (call is not None and call.era != self._era):
                return held
            comes_again = usual.settlement is Settlement.NACK
            if comes_again or call is None or call.first_failure < self._succeeded_at:
                return usual
            return doubted

        return judge

    async def intake(self) -> None:
        """Wait as long as it is open."""
        while self.state == "open":
            await self._wait()

    def drain(self) -> None:
        """Let nothing wait any more: what can't pass goes back."""
        self._drains = True
        self._notify()

    def reopen(self) -> None:
        """Let messages wait again, for new workers."""
        self._drains = False

    def recall(self) -> None:
        """Let go back what waits now: the broker wants it."""
        self._recalls += 1
        self._notify()

    async def _pass(self) -> None:
        """Wait for a place.

        Raises:
            PutOff: The message is to go back.
        """
        recalls = self._recalls
        while self.state != "closed":
            if self._drains or self._recalls != recalls:
                raise PutOff(self._breaker.pause)
            if self.state == "half-open" and self._places:
                self._places -= 1
                return
            await self._wait()

    async def _wait(self) -> None:
        """Wait until something has changed; if that is the end of the pause, change it."""
        is_open = self.state == "open"
        with anyio.CancelScope(deadline=self._until if is_open else inf):
            await self._changed.wait()
        if self.state == "open" and anyio.current_time() >= self._until:
            self._begin("half-open")
            self._places, self._passed = 1, 0
            self._tell(BreakerHalfOpened(self._name))

    def _end(self, era: int, error: Exception | None) -> None:
        """Count a call; one of an earlier era tells nothing, nor does one that was decided."""
        if error is not None and not self._blames(error):
            self._leave(era)
        elif era == self._era:
            now = anyio.current_time()
            if error is None:
                self._succeeded_at = now
            if self.state == "closed":
                self._count(error, now)
            elif error is not None:
                self._open(error, now)
            else:
                self._prove(now)

    def _leave(self, era: int) -> None:
        """Give back the place of a call that tells nothing."""
        if era == self._era and self.state == "half-open":
            self._places += 1
            self._notify()

    def _count(self, error: Exception | None, now: float) -> None:
        breaker, calls = self._breaker, self._calls
        while calls and (len(calls) == calls.maxlen or calls[0][0] < now - breaker.within):
            self._failed -= calls.popleft()[1]
        calls.append((now, error is not None))
        if error is None:
            return
        self._failed += 1
        enough = len(calls) >= breaker.calls and self._failed >= breaker.ratio * len(calls)
        if enough or isinstance(error, DependencyDown):
            self._opened_at = now
            self._open(error, now)

    def _open(self, error: Exception, now: float) -> None:
        self._until = now + self._breaker.pause
        failed, seen = self._failed, len(self._calls)
        self._begin("open")
        told = f"{type(error).__name__}: {words(error)}"
        self._tell(BreakerOpened(self._name, failed, seen, self._breaker.pause, told))

    def _prove(self, now: float) -> None:
        self._passed += 1
        if self._passed >= self._breaker.probes:
            self._begin("closed")
            self._tell(BreakerClosed(self._name, now - self._opened_at))
        elif self._passed == 1:
            self._places += self._breaker.probes - 1
            self._notify()

    def _begin(self, state: State) -> None:
        self.state = state
        self._era += 1
        self._calls.clear()
        self._failed = 0
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _blames(self, error: Exception) -> bool:
        return self._breaker.blames(error) and not concerns_actor(error, self._rules)
