"""Actors that stand on their own: spawn them, tell them, ask them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio

from callboard_actors._actor import Actor, lifecycle, serve
from callboard_actors._child import Child, ChildSpec
from callboard_actors._errors import Abandoned, ActorCrash, AskTimeout
from callboard_actors._events import Event, Notify
from callboard_actors._mailbox import Mailbox
from callboard_actors._restarts import Supervision
from callboard_actors._supervisor import Supervisor
from callboard_actors._tree import Node

__all__ = ["ActorRef", "ActorSystem"]

M = TypeVar("M")


class _Letter(Generic[M]):
    """A message on its way, with the place for its answer if one is expected."""

    __slots__ = ("answer", "answered", "failure", "message")

    def __init__(self, message: M, answered: anyio.Event | None = None) -> None:
        self.message = message
        self.answered = answered
        self.answer: object = None
        self.failure: Exception | None = None

    def reply(self, answer: object, failure: Exception | None = None) -> None:
        if self.answered is not None and not self.answered.is_set():
            self.answer = answer
            self.failure = failure
            self.answered.set()


class ActorRef(Generic[M]):
    """The address of an actor. It stays valid across restarts. Made by `ActorSystem.spawn`."""

    __slots__ = ("_mailbox", "name")

    def __init__(self, name: str, mailbox: Mailbox[_Letter[M]]) -> None:
        self.name = name
        self._mailbox = mailbox

    def tell(self, message: M) -> None:
        """Leave *message*, and do not wait. If the actor crashes on it, it is given it once more.

        Raises:
            MailboxClosed: The actor was stopped.
            MailboxFull: There is no room in its mailbox.
        """
        self._mailbox.post(_Letter(message))

    async def ask(self, message: M, timeout: float = 30.0) -> object:  # noqa: ASYNC109 - the question ends with it, too
        """Leave *message* and wait for what `receive` returns.

        What `receive` raises is raised here and the actor lives on, unless it is `ActorCrash`:
        then the actor is restarted and given the message once more.

        Raises:
            AskTimeout: There was no answer in *timeout* seconds.
            Abandoned: The actor stopped before it answered, or crashed twice on the message.
            MailboxClosed: The actor was stopped.
        """
        answered = anyio.Event()
        letter = _Letter(message, answered)
        with anyio.move_on_after(timeout):
            await self._mailbox.put(letter)
            await answered.wait()
        if letter.failure is not None:
            raise letter.failure
        if not answered.is_set():
            problem = f"actor {self.name!r} did not answer {message!r:.80} within {timeout} s"
            raise AskTimeout(problem)
        return letter.answer

    def stop(self) -> None:
        """Let no more messages in. The actor handles those that it has, and ends."""
        self._mailbox.close()


class ActorSystem:
    """Runs actors under one supervisor, as long as its `async with` block.

    At the end of the block the actors handle what is in their mailboxes, in the reverse order of
    their start, within the time that `ChildSpec.drain` grants.

    Args:
        name: The root of all paths.
        supervision: How often the actors may crash, all together; when they do so more often,
            the block is cancelled and `GaveUp` raised out of it.
        notify: Told of every start, exit, restart and lost message.
    """

    def __init__(
        self,
        name: str = "system",
        *,
        supervision: Supervision | None = None,
        notify: Notify | None = None,
    ) -> None:
        self._supervision = supervision or Supervision()
        self._notify = notify
        self._name = name
        self._supervisor = Supervisor(
            [],
            intensity=self._supervision.intensity,
            period=self._supervision.period,
            name=name,
            notify=notify,
        )
        self._abandon: dict[str, Callable[[], None]] = {}
        self._ended = anyio.Event()
        self._failure: BaseException | None = None
        self._block = self._running()

    async def __aenter__(self) -> Self:
        await self._block.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._block.__aexit__(kind, error, traceback)

    async def spawn(
        self, factory: Callable[[], Actor[M]], name: str, *, capacity: int = 256
    ) -> ActorRef[M]:
        """Start an actor; return its address when its `on_start` is through.

        Args:
            factory: Makes the actor, and makes it anew for every restart: a class, for example.
            name: Unique among the actors that live.
            capacity: How many messages its mailbox holds.

        Raises:
            SpecError: There is an actor of this name.
            SupervisorStopped: The block has not begun, or is ending.
            Exception: What the factory or `on_start` raised.
        """
        mailbox = Mailbox[_Letter[M]](
            capacity, max_bytes=None, notify=self._notify, name=f"{self._name}/{name}"
        )
        resident = _Resident(factory, mailbox, partial(self._abandon.pop, name, None), self._notify)
        spec = ChildSpec(name, resident.run, restart="transient", backoff=self._supervision.backoff)
        await self._supervisor.start_child(spec)
        self._abandon[name] = resident.abandon
        return ActorRef(name, mailbox)

    def tree(self) -> Node:
        """Return the system and its actors as plain data."""
        return self._supervisor.tree()

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None]:
        failure: BaseException | None = None
        ready = anyio.Event()
        root = Child(self._name, ready.set)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._supervise, root, tasks.cancel_scope)
            try:
                await ready.wait()
                yield
            except BaseException as error:  # noqa: BLE001 - raised again when all actors have ended
                failure = error
            root.stop()
            await self._ended.wait()
        for abandon in list(self._abandon.values()):
            abandon()
        if self._failure is not None:
            raise self._failure
        if failure is not None:
            raise failure

    async def _supervise(self, root: Child, block: anyio.CancelScope) -> None:
        try:
            await self._supervisor.run(root)
        except BaseException as error:  # noqa: BLE001 - raised out of the block, not into its task group
            self._failure = error
            block.cancel()
        finally:
            self._ended.set()


class _Resident(Generic[M]):
    """An actor of a system, across its restarts."""

    def __init__(
        self,
        factory: Callable[[], Actor[M]],
        mailbox: Mailbox[_Letter[M]],
        ended: Callable[[], object],
        notify: Notify | None,
    ) -> None:
        self._factory = factory
        self._mailbox = mailbox
        self._reader = mailbox.reader()
        self._ended = ended
        self._notify = notify
        self._path = ""

    async def run(self, child: Child) -> None:
        self._path = child.path
        child.on_stop(self._mailbox.close)
        actor = self._factory()
        async with lifecycle(actor, child):
            await serve(partial(_deliver, actor), self._reader, quarantine=self._set_aside)
        self._ended()

    async def _set_aside(self, letter: _Letter[M], reason: str) -> None:
        letter.reply(None, Abandoned(f"the actor crashed twice on the message:\n{reason}"))
        if self._notify is not None:
            self._notify(Event("message.quarantined", self._path, {"reason": reason}))

    def abandon(self) -> None:
        """Answer the questions that nobody will."""
        self._mailbox.close()
        for letter in self._mailbox.drain():
            letter.reply(None, Abandoned("the actor stopped before it answered"))


async def _deliver(actor: Actor[M], letter: _Letter[M]) -> None:
    if letter.answered is None:
        await actor.receive(letter.message)
        return
    try:
        answer = await actor.receive(letter.message)
    except ActorCrash:
        raise
    except Exception as error:  # noqa: BLE001 - it belongs to the one who asked
        letter.reply(None, error)
    else:
        letter.reply(answer)
