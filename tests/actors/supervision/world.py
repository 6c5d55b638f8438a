"""A random tree of supervisors with actors as its leaves, and a ledger of their messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from callboard_actors import (
    ActorCrash,
    Child,
    ChildSpec,
    Decision,
    Escalate,
    Event,
    Mailbox,
    Restart,
    Rule,
    StopActor,
    Strategy,
    Supervisor,
    serve,
)

from .parts import STEADY

__all__ = ["DEAF", "GRACE", "PERIOD", "Branch", "Kind", "Leaf", "World"]

PERIOD: Final = 30.0
GRACE: Final = 3.0
DEAF: Final = 4.0
"""Seconds for which a deaf actor hears no cancellation: longer than its grace."""

RULES: Final[Sequence[Rule]] = [(ValueError, Decision.RESUME), (KeyError, Decision.STOP)]
SYNCHRONOUS: Final[dict[str, Exception]] = {
    "crash": ActorCrash(),
    "fail": ValueError(),
    "stop": StopActor(),
    "stop by rule": KeyError(),
    "escalate": Escalate(),
}

Kind: TypeAlias = Literal[
    "ok", "slow", "deaf", "flaky", "foreign", "crash", "fail", "stop", "stop by rule", "escalate"
]


@dataclass(frozen=True)
class Leaf:
    """An actor."""

    restart: Restart


@dataclass(frozen=True)
class Branch:
    """A supervisor, which is a transient child of the one above it."""

    strategy: Strategy
    intensity: int
    children: tuple[Branch | Leaf, ...]


@dataclass(eq=False)
class Note:
    """A message."""

    kind: Kind
    tries: int = 0


class Player:
    """An actor across its lives."""

    def __init__(self, path: str, world: World) -> None:
        self.path = path
        self.world = world
        self.failing_starts = 0
        self.start_takes = 0.0
        self.mailbox = Mailbox[Note](1000)
        self.reader = self.mailbox.reader()

    async def run(self, child: Child) -> None:
        self.world.lives[self.path] += 1
        if self.world.lives[self.path] > 1:
            self.world.violations.append(f"{self.path} lives twice")
        try:
            await self._live(child)
        finally:
            self.world.lives[self.path] -= 1

    async def _live(self, child: Child) -> None:
        takes, self.start_takes = self.start_takes, 0.0
        if takes:
            await anyio.sleep(takes)
        if self.failing_starts:
            self.failing_starts -= 1
            raise RuntimeError("cannot start")
        with anyio.CancelScope() as work:
            child.on_stop(work.cancel)
            child.ready()
            settle = self.world.settle
            await serve(self._receive, self.reader, quarantine=settle, decide=RULES, failed=settle)

    async def _receive(self, note: Note) -> None:
        note.tries += 1
        if error := SYNCHRONOUS.get(note.kind):
            raise error
        if note.kind == "foreign":
            await self.world.strike()
        if note.kind == "flaky" and note.tries == 1:
            raise ActorCrash
        if note.kind in {"slow", "deaf"}:
            with anyio.CancelScope(shield=note.kind == "deaf"):
                await anyio.sleep(DEAF)
        await self.world.settle(note)


class World:
    """A tree, its players by path, and what has happened to them.

    Args:
        strike: Cancels the running task by a foreign hand, or crashes where there is none.
    """

    def __init__(self, root: Branch, strike: Callable[[], Awaitable[None]]) -> None:
        self.strike = strike
        self.players: dict[str, Player] = {}
        self.branches: dict[str, tuple[Branch, Supervisor]] = {}
        self.lives = Counter[str]()
        self.events: list[Event] = []
        self.violations: list[str] = []
        self.sent: list[Note] = []
        self.settled: list[Note] = []
        self.root = self._grow(root, "top")

    async def settle(self, note: Note, _: object = None) -> None:
        # Real time would end the turn of an actor that hears nothing; here it stands still.
        await checkpoint()
        self.settled.append(note)

    def send(self, player: Player, kind: Kind) -> None:
        note = Note(kind)
        self.sent.append(note)
        player.mailbox.put_nowait(note)

    def leaf(self, path: str, restart: Restart) -> ChildSpec:
        player = self.players[path] = Player(path, self)
        return ChildSpec(
            path.rpartition("/")[2],
            player.run,
            restart=restart,
            drain=2,
            cancel_grace=GRACE,
            backoff=STEADY,
            decide=RULES,
        )

    def whereabouts(self) -> Iterator[tuple[Note, str]]:
        """Yield each place in which a message is found; to be called once, at the end."""
        for player in self.players.values():
            yield from ((note, "queued") for note in player.mailbox.drain())
            if player.reader.current is not None:
                yield player.reader.current, "in hand"
        yield from ((note, "settled") for note in self.settled)

    def _grow(self, branch: Branch, path: str) -> Supervisor:
        specs: list[ChildSpec] = []
        for n, child in enumerate(branch.children):
            below = f"{path}/{n}"
            if isinstance(child, Leaf):
                specs.append(self.leaf(below, child.restart))
            else:
                run = self._grow(child, below).run
                specs.append(ChildSpec(str(n), run, restart="transient", drain=60, backoff=STEADY))
        supervisor = Supervisor(
            # What was declared of a dynamic one is never started; others are added beside it.
            [] if branch.strategy == "dynamic" else specs,
            branch.strategy,
            intensity=branch.intensity,
            period=PERIOD,
            name=path,
            notify=self.events.append,
        )
        self.branches[path] = (branch, supervisor)
        return supervisor
