"""A subscription while it runs: a source, workers and a pump, under one supervisor.

They start in this order and stop in reverse: the intake first, the source last, so that what was
taken can still be handled and settled.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from threading import get_ident
from typing import Final

from anyio import create_task_group, current_time, move_on_after

from callboard.declare._options import DEFAULT_SUPERVISION, resolve
from callboard.declare._subscriber import PlacedSubscriber
from callboard.events import MessageUnordered, about
from callboard.handle._batch import Batcher
from callboard.handle._parts import is_settled, parts_of, size_of
from callboard.handle._share import Share
from callboard.handle._unconfirmed import Keeper, Unconfirmed
from callboard.handle._worker import Worker
from callboard.run._assembly import Assembly
from callboard.run._lanes import Lane, LaneKeeper, lane_of, shard_of, usual_delay
from callboard.run._pump import Intake, Meter, pump, pump_batches, size
from callboard.run._surroundings import Started
from callboard.watch._printable import text_of
from callboard.watch._watchdog import culprit_in
from callboard_actors import Child, ChildSpec, Mailbox, Reader, Supervisor, lifecycle, serve
from callboard_brokers import (
    Blaming,
    Capacity,
    Counting,
    Delivery,
    GivingUp,
    Revocable,
    StoppingIntake,
    Subscription,
)

MAX_BYTES: Final = 16 * 2**20


class Running:
    """One subscriber of a broker that has been started.

    The mailbox outlives the workers: a crash costs the message in flight another try, and the
    other messages nothing. When it gives up, what it held is released.
    """

    def __init__(self, placed: PlacedSubscriber, started: Started) -> None:
        around, options = started.around, placed.declaration.options
        inherited = resolve(options, *placed.scopes, around.options)
        # This very record: one that is equal was said by somebody, and holds.
        if inherited.supervision is DEFAULT_SUPERVISION:
            inherited = replace(inherited, supervision=around.supervision)
        self._placed = placed
        self._options = options
        self._supervision = inherited.supervision
        self.on_give_up = inherited.supervision.on_give_up
        self._started = started
        self._assembly = Assembly(placed, inherited, started)
        self.loses_rejected = self._assembly.loses_rejected
        self._circuit = self._assembly.circuit
        self.subscription: Subscription
        self._meter = Meter()
        self._seen: list[tuple[Delivery | None, int]] = [(None, 0)] * self._options.max_workers
        self._lane = lane_of(options, around.kind.partition, self._unordered)
        self._workers = [""] * self._options.max_workers
        """Where in the tree each of them is."""
        self._keepers: dict[int, LaneKeeper] = {}
        # One worker keeps the order of batches that hold messages of any lane.
        mixed = options.max_workers == 1 and options.ordered_by != "partition"
        group: Lane = _alike if self._lane is None or mixed else self._lane
        # What is in no order waits for nobody, even where one of it stays for a while.
        self._kin = None if options.batch and mixed and self._lane else self._lane or _alike
        self._batcher = Batcher(options.batch_size, options.batch_timeout, group)
        self._mailbox = self._make_mailbox()
        if (share := self._assembly.share) is not None:
            share.mailbox = self._mailbox
        self._relieve = None if share is None else partial(self._make_room, share)
        sharded = self._is_sharded
        self._readers = [
            self._mailbox.reader(n if sharded else 0) for n in range(options.max_workers)
        ]
        order = _as_one if options.batch and mixed and self._lane is not None else self._lane
        self._unconfirmed = Unconfirmed(self._mailbox, self._readers, order, self._assembly)
        self._tree = self._make_tree()

    async def run(self, child: Child) -> None:
        """Be a child of the broker's supervisor."""
        self._whole = child
        child.details = self._details
        await self._tree.run(child)

    def close(self) -> None:
        """Take nothing any more, and give back at once what no worker has begun."""
        self._mailbox.close()
        self._give_back()

    def _make_tree(self) -> Supervisor:
        """Make the part of the supervision tree that the broker's supervisor runs.

        A worker that stops for good stops the whole: what it would not handle, the source gives
        back to the broker.
        """
        notify = self._started.around.events
        supervision, drain = self._supervision, self._started.drain
        run = self._act if self._assembly.stateful else self._work
        workers = Supervisor(
            [
                ChildSpec(
                    f"worker-{n}",
                    partial(run, n),
                    restart="transient",
                    significant=True,
                    drain=drain,
                    backoff=supervision.backoff,
                    decide=supervision.decide,
                )
                for n in range(self._options.max_workers)
            ],
            intensity=supervision.intensity,
            period=supervision.period,
            auto_shutdown="any_significant",
            notify=notify,
        )
        parts = [
            ChildSpec("source", self._read, start_timeout=inf),
            ChildSpec("workers", workers.run, restart="transient", significant=True, drain=drain),
            ChildSpec("pump", self._pump),
        ]
        return Supervisor(
            parts,
            "rest_for_one",
            intensity=3,
            period=60.0,
            auto_shutdown="any_significant",
            notify=notify,
        )

    async def _read(self, child: Child) -> None:
        with child.unless_stopped(), child.until_deadline():
            await self._hold(child)

    async def _hold(self, child: Child) -> None:
        """Hold the subscription open; give back what nobody has handled by the end."""
        options = self._options
        # What workers have in hand has left the mailbox, and is not settled yet.
        in_hand = options.batch_size if options.batch else 1
        capacity = Capacity(options.mailbox + options.max_workers * in_hand, MAX_BYTES)
        connection = self._started.connection
        async with connection.subscribe(self._placed.source, capacity) as subscription:
            self.subscription = subscription
            if isinstance(subscription, Revocable):
                subscription.on_recall(self._recall)
            if isinstance(subscription, GivingUp):
                subscription.on_given_up(self._assembly.to_dead_letters)
            if isinstance(subscription, Blaming):
                subscription.on_standstill(partial(self._standing, get_ident()))
            self._assembly.open(subscription)
            async with create_task_group() as tasks:
                tasks.start_soon(self._unconfirmed.run)
                child.ready()
                try:
                    await child.stopping()
                    # For workers who have stopped for good; the rest of the time is for settlements.
                    with move_on_after((child.deadline - current_time()) / 2):
                        await self._unconfirmed.empty()
                finally:
                    tasks.cancel_scope.cancel()
                    self._unconfirmed.abandon()
                    self._give_back()

    async def _pump(self, child: Child) -> None:
        intake = Intake(self.subscription, self._mailbox, self._meter, self._circuit, self._relieve)
        if self._options.batch:
            await pump_batches(intake, child, self._batcher)
        else:
            await pump(intake, child)
        # Where only the workers are replaced, the next pump goes on with the same intake.
        if self._whole.stop_requested and isinstance(self.subscription, StoppingIntake):
            await self.subscription.stop_intake()

    async def _work(self, number: int, child: Child) -> None:
        """Call the functions of the subscription."""
        child.ready()
        await self._serve(number, child, self._assembly.worker)

    async def _act(self, number: int, child: Child) -> None:
        """Make an actor and hand it messages; its state ends with it.

        What fails in its end when it was asked to stop would have no other consequence.
        """
        crash: Exception | None = None
        try:
            async with self._assembly.actors()() as actor, lifecycle(actor, child):
                try:
                    await self._serve(number, child, partial(self._assembly.worker, actor=actor))
                except Exception as error:
                    crash = error
                    raise
        except Exception as error:
            if child.stop_requested and error is not crash:
                self._started.failures.append(error)
            raise

    async def _serve(self, number: int, child: Child, make: Callable[[Keeper], Worker]) -> None:
        if self._mailbox.closed:
            self._mailbox.reopen()
            if self._circuit is not None:
                self._circuit.reopen()
        self._workers[number] = child.path
        child.details = partial(self._in_hand, number)
        child.on_stop(self._drain)
        keeper = self._keepers[number] = self._keeper(self._readers[number])
        worker = make(keeper)
        try:
            await serve(
                worker.receive,
                self._readers[number],
                quarantine=partial(self._assembly.quarantine, keeper),
                decide=self._supervision.decide,
                failed=worker.fail,
            )
        finally:
            keeper.forget()
            self._drop_settled(self._readers[number].returned)
            self._unconfirmed.go_on()

    def _drop_settled(self, delivery: Delivery | None) -> None:
        """Take out what was put back by a crash, if there is nothing left to do about it."""
        if delivery is None or delivery in self._unconfirmed.failed:
            return
        if is_settled(delivery):
            self._mailbox.purge(lambda each: each is delivery)

    def _keeper(self, reader: Reader[Delivery]) -> LaneKeeper:
        source = self.subscription
        count = source.count_failure if isinstance(source, Counting) else usual_delay
        return LaneKeeper(
            self._assembly,
            self._lane,
            self._mailbox,
            reader,
            count,
            self._unconfirmed,
            self._relieve,
        )

    def _unordered(self, delivery: Delivery, error: Exception) -> None:
        event = MessageUnordered(self._placed.name, *about(delivery.message), error)
        self._started.around.events(event)

    def _make_room(self, share: Share) -> None:
        if self._circuit is None or self._circuit.state == "closed":
            share.relieve()

    def _drain(self) -> None:
        """Have the workers end with what is in the mailbox, but for what waits for its time."""
        self._mailbox.close()
        self._unconfirmed.release(self._mailbox.take_parked())
        if self._circuit is not None:
            self._circuit.drain()
        if self._options.rate is not None or self._is_held:
            self._give_back()  # it would take as long as the rate says, or until others are back

    def _recall(self) -> None:
        """Release what no worker has begun, and what is in hand unless it is done with now."""
        self._give_back()
        self._unconfirmed.recall()
        for keeper in self._keepers.values():
            keeper.recall()
        if self._circuit is not None:
            self._circuit.recall()

    def _give_back(self) -> None:
        """Release what no worker has begun."""
        self._unconfirmed.release((*self._mailbox.drain(), *self._batcher.drain()))

    def _standing(self, thread: int) -> Sequence[Delivery]:
        """Return the message whose handler keeps *thread* from turning; for another thread."""
        culprit = culprit_in(thread)
        for reader, worker in zip(self._readers, self._workers, strict=True):
            if culprit is not None and culprit.path == worker and reader.current is not None:
                return parts_of(reader.current)
        return ()

    def _details(self) -> dict[str, object]:
        stats, threads = self._mailbox.stats(), self._assembly.threads
        left = {} if threads is None else {"threads_left": threads.left, "threads": threads.most}
        breaker = {} if self._circuit is None else {"breaker": self._circuit.state}
        return {
            **left,
            **breaker,
            "halted": stats.halted,
            "queued": stats.queued,
            "in_flight": stats.held,
            "bytes": stats.bytes,
            "oldest_age": stats.oldest_age,
            "taken": self._meter.taken,
        }

    def _in_hand(self, number: int) -> dict[str, object]:
        """Say for how long a worker was idle, and which message it is busy with.

        `token` tells that from every other. It counts what was seen, each of which is kept until
        the next look: the `id` of one that is gone may be that of another.
        """
        reader = self._readers[number]
        seen, token = self._seen[number]
        if reader.current is not seen:
            seen, token = self._seen[number] = (reader.current, token + 1)
        if seen is None or self._is_held:  # what waits at the gate is not begun
            return {"idle": reader.idle}
        address, id_ = (text_of(each) for each in (seen.message.address, seen.message.message_id))
        return {"idle": reader.idle, "address": address, "id": id_, "token": token}

    @property
    def _is_held(self) -> bool:
        return self._circuit is not None and self._circuit.state == "open"

    @property
    def _is_sharded(self) -> bool:
        """Whether each worker has messages of its own: actors, whose state they are for."""
        return self._assembly.stateful and self._options.max_workers > 1

    def _make_mailbox(self) -> Mailbox[Delivery]:
        options, workers, sharded = self._options, self._options.max_workers, self._is_sharded
        capacity = (
            max(1, options.mailbox // options.batch_size) if options.batch else options.mailbox
        )
        return Mailbox(
            capacity,
            max_bytes=MAX_BYTES,
            size=size_of if options.batch else size,
            lane=shard_of(self._lane, workers) if sharded else self._lane if workers > 1 else None,
            kin=self._kin if sharded or workers == 1 or self._lane is None else None,
            shards=workers if sharded else 1,
            notify=self._started.around.events,
            name=self._placed.name,
        )


def _alike(_delivery: Delivery) -> None:
    """Put deliveries of all lanes together."""


def _as_one(_batch: Delivery) -> Hashable:
    """Keep the order of batches that hold messages of any lane."""
    return _as_one
