"""An actor of a system: what outlives its restarts, and each of its lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeAlias, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from callboard_actors.events import MessageExpired, MessageFailed, MessageQuarantined
from callboard_actors.supervision._child import Child, ChildSpec
from callboard_actors.supervision._decisions import Decision, concerns_actor, decision
from callboard_actors.supervision._exits import ExitReason, describe
from callboard_actors.supervision._supervised import supervised
from callboard_actors.system._actor import lifecycle, serve
from callboard_actors.system._context import ActorContext, Make
from callboard_actors.system._envelope import (
    AskRoot,
    Envelope,
    Question,
    SystemMessage,
    current_cause,
)
from callboard_actors.system._inbox import Inbox
from callboard_actors.system._ref import ActorRef
from callboard_actors.system._registry import Registry
from callboard_actors.system._team import Team

M = TypeVar("M")
Receive: TypeAlias = Callable[[M], Awaitable[object]]


class ActorCell(Generic[M]):
    """An actor of a system, across its restarts.

    Attributes:
        path: The ids from the root of the tree, joined by slashes.
        ref: Its address.
        children: Returns the team of its children; None while it does not live.
    """

    def __init__(
        self, make: Make[M], path: str, team: Team, registry: Registry, capacity: int
    ) -> None:
        self._make = make
        self._team = team
        self._rules = team.supervision.decide
        self._registry = registry
        self._inbox = Inbox[M](path, capacity, registry.notify)
        self._reason: ExitReason | None = None
        self.path = path
        undeliverable = partial(registry.dead_letters.post, path)
        self.ref = ActorRef(path.partition("/")[2], self._inbox, registry.loop, undeliverable)
        self.children: Callable[[], Awaitable[Team]] | None = None

    @property
    def spec(self) -> ChildSpec:
        backoff = self._team.supervision.backoff
        return ChildSpec(
            self.ref.name, self.run, restart="transient", backoff=backoff, decide=self._rules
        )

    async def run(self, child: Child) -> None:
        child.details = self._details
        self._registry.add(self)
        is_last = True
        try:
            await self._live(child)
            self._reason = child.returned()
        except BaseException as error:
            self._reason = ExitReason.of(error)
            is_last = decision(error, self._rules) is Decision.STOP
            raise
        finally:
            self.children = None
            # Who was asked to stop is closed by its team, unless it is restarted with its group.
            if is_last and not child.stop_requested:
                self.close()

    def _details(self) -> dict[str, object]:
        """Say what the tree tells of it."""
        stats, reader = self._inbox.mailbox.stats(), self._inbox.reader
        envelope = reader.current
        return {
            "queued": stats.queued,
            "in_flight": stats.held,
            "oldest_age": stats.oldest_age,
            "idle": reader.idle,
            "message": "" if envelope is None else f"{envelope.message!r:.80}",
        }

    def close(self) -> None:
        """Say that it has ended for good, to all who wait for an answer or for its end."""
        if self.ref.termination.reason is not None:
            return
        self._inbox.mailbox.close()
        for envelope in self._inbox.mailbox.drain():
            if isinstance(envelope, Question):
                envelope.abandon("ended before it answered")
            elif not isinstance(envelope, SystemMessage):
                self._registry.dead_letters.post(self.path, envelope.message)
        self._registry.remove(self)
        self._team.remove(self)
        self.ref.termination.end(self._reason or ExitReason("killed"))

    async def _live(self, child: Child) -> None:
        below = Team(self.path, self._team.supervision, self._registry.notify)
        async with supervised(self.path, below.run, child) as block:

            async def children() -> Team:
                await block.start()
                child.describe = below.tree
                return below

            self.children = children
            context = ActorContext(self.ref, self._inbox, self._registry.system, block.tasks)
            current_cause.set(AskRoot(self.ref, self._registry.loop))
            try:
                actor = self._make(context)
                async with lifecycle(actor, child):
                    try:
                        await self._work(actor.receive, context, child)
                    finally:
                        await block.end(child.deadline)
            finally:
                context.close()

    async def _work(self, receive: Receive[M], context: ActorContext[M], child: Child) -> None:
        with anyio.CancelScope() as work:
            child.on_stop(partial(self._wind_down, work))
            await serve(
                partial(self._deliver, receive, context),
                self._inbox.reader,
                quarantine=self._set_aside,
                decide=self._rules,
                failed=partial(self._report_failure, context),
            )

    def _wind_down(self, work: anyio.CancelScope) -> None:
        if self._team.is_closing:
            self._inbox.mailbox.close()
        else:
            self._inbox.post(SystemMessage(None, partial(_leave, work)))

    def _deliver(
        self, receive: Receive[M], context: ActorContext[M], envelope: Envelope[M]
    ) -> Awaitable[object]:
        if isinstance(envelope, Question):
            return self._answer(receive, context, envelope)
        if isinstance(envelope, SystemMessage) and not envelope.accept():
            return checkpoint()
        return receive(envelope.message)

    async def _answer(
        self, receive: Receive[M], context: ActorContext[M], question: Question[M]
    ) -> None:
        if question.is_over:
            self._registry.notify(MessageExpired(self.path, f"{question.message!r:.80}"))
            return
        question.is_stashed = False
        token = current_cause.set(question)
        try:
            answer = await receive(question.message)
        except Exception as error:
            if concerns_actor(error, self._rules):
                raise
            context.failed(question)
            question.reply(None, error)
        else:
            if not question.is_stashed:
                question.reply(answer)
        finally:
            current_cause.reset(token)

    async def _set_aside(self, envelope: Envelope[M], reason: str) -> None:
        if isinstance(envelope, Question):
            envelope.abandon(f"crashed twice on {envelope.message!r:.80}:\n{reason}")
        self._registry.notify(MessageQuarantined(self.path, reason))

    async def _report_failure(
        self, context: ActorContext[M], envelope: Envelope[M], error: Exception
    ) -> None:
        context.failed(envelope)
        self._registry.notify(MessageFailed(self.path, describe(error)))


def _leave(work: anyio.CancelScope) -> bool:
    """Go, but not in the midst of a message: this one comes between two others."""
    work.cancel()
    return False
