"""Messages that are handled, and whose outputs the broker has not confirmed yet.

A worker that waits for each confirmation does nothing for a round trip after each message. So it
hands its outputs over and goes on, and each message is settled when its own are confirmed.

What of order? Within a lane (a key, as a rule) outputs leave in the order of their causes, and the
causes are settled in it. Should those of one fail, its successors' may be out already. Then that
one and all of its lane that were handled since go back to their places in the mailbox. A worker
takes the failed one first, and finishes it as if it had failed while he waited: what a policy says
of a failure, and how long to wait, is said in one place. Then the others are handled again. So who
reads that key sees some messages twice, as after a crash, but the last that he sees is the last.

A lane does not go back while a worker is busy with it, or the message in hand would pass the
others. Whatever is here keeps its room in the mailbox, which bounds it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Protocol, TypeAlias

import anyio

from callboard.handle._output import is_hopeless
from callboard.handle._parts import is_settled
from callboard.instruments import OnOutcome, Outcome, Output
from callboard_actors import Mailbox, Reader
from callboard_brokers import Binding, BrokerError, Confirmation, Delivery, Settlement

Sent: TypeAlias = tuple[Sequence[Output], Confirmation]
Failed: TypeAlias = tuple[Sequence[Output], Exception]
"""Outputs that are not out, and why."""


class Keeper(Binding, Protocol):
    """Keeps in its lane what is nacked, or not confirmed, so that no later message passes it."""

    unconfirmed: Unconfirmed
    lets_pass: bool
    """Whether what is nacked now is not kept, but given to the broker."""

    def defer(self, delivery: Delivery, outcome: Outcome, sent: Sequence[Sent], /) -> bool:
        """Have *delivery* settled when *sent* is confirmed; or return that this can't be done."""
        ...

    async def in_turn(self) -> bool:
        """Wait for what goes before the delivery in hand; return False if that goes back with it."""
        ...

    def stay(self, delivery: Delivery, seconds: float, /) -> None:
        """Keep what is not settled of *delivery* for so long, and its lane behind it, uncounted."""
        ...

    def end(self) -> None:
        """Say that the delivery in hand is through: of a nack, say, later messages wait for it."""
        ...


class Policy(Protocol):
    """What a subscription says of its deliveries."""

    hear: OnOutcome | None
    """Told what became of each; None: nobody asks."""

    def tries_again(self, delivery: Delivery, error: Exception, /) -> bool:
        """Whether *delivery*, which has failed with *error*, is handled again; never raises."""
        ...


class Handled:
    """A delivery that is handled, and what is known of its outputs."""

    __slots__ = ("delivery", "failures", "is_recalled", "known", "left", "outcome")

    def __init__(self, delivery: Delivery, outcome: Outcome, *, is_recalled: bool) -> None:
        self.delivery = delivery
        self.outcome = outcome
        self.is_recalled = is_recalled
        self.left = 0
        self.failures: list[Failed] = []
        self.known: Callable[[], None] | None = None

    def hear(self, outputs: Sequence[Output], failure: BrokerError | None) -> None:
        self.left -= 1
        if failure is not None:
            self.failures.append((outputs, failure))
        if not self.left and self.known is not None:
            self.known()


class Unconfirmed:
    """What workers of one subscription have handled, and nobody has settled.

    Args:
        mailbox: Where it has come from, and keeps its room.
        readers: Those of the workers.
        lane: Says which deliveries have to keep their order; None for one of no lane. None: of any.
        policy: Says what becomes of a delivery whose outputs never can be published.

    Attributes:
        is_open: Whether more may come: what is confirmed is settled, since `run` is running.
        lanes: What is here of each lane, oldest first. While there is any, what has no outputs
            comes here as well: it has to wait for those before it.
        failed: What is in the mailbox again because its outputs are not out, some of it settled by
            hand. Whoever takes it from there takes it from here too, and finishes it; what is taken
            out for good is told to `release`.
        stuck: Lanes that go back when nobody is busy with them.
    """

    def __init__(
        self,
        mailbox: Mailbox[Delivery],
        readers: Sequence[Reader[Delivery]],
        lane: Callable[[Delivery], Hashable | None] | None,
        policy: Policy,
    ) -> None:
        self.is_open = False
        self.lanes: dict[Hashable, list[Handled]] = {}
        self.failed: dict[Delivery, Handled] = {}
        self._mailbox = mailbox
        self._readers = readers
        self._lane = lane
        self._tries_again = policy.tries_again
        self._hear = policy.hear
        self.stuck = set[Hashable]()
        self._moved: anyio.Event | None = None
        self._known: deque[Hashable] = deque()
        self._news = anyio.Event()

    def add(self, reader: Reader[Delivery], handled: Handled, sent: Sequence[Sent]) -> None:
        """Acknowledge what *reader* has in hand once *sent* is confirmed; let him go on."""
        delivery, handled.left = handled.delivery, len(sent)
        for outputs, confirmation in sent:
            confirmation.then(partial(handled.hear, outputs))
        if not (handled.left or handled.failures or self.lanes):
            self._acknowledge(handled)
            return
        key = self._key(delivery)
        reader.defer()
        self.lanes.setdefault(key, []).append(handled)
        handled.known = partial(self._note, key)
        if not handled.left:
            self._advance(key)

    async def run(self) -> None:
        """Settle what is confirmed, until cancelled."""
        self.is_open = True
        while True:
            while self._known:
                self._advance(self._known.popleft())
            self._news = anyio.Event()
            await self._news.wait()

    def go_on(self) -> None:
        """Let those lanes go back that had to wait for a worker, who is ready now."""
        for key in [*self.stuck]:
            self._advance(key)

    def has(self, delivery: Delivery) -> bool:
        """Whether something of the lane of *delivery* is here."""
        return bool(self.lanes) and self._key(delivery) in self.lanes

    async def in_turn(self, delivery: Delivery) -> bool:
        """Wait until nothing of the lane of *delivery* is here; return False if that goes back."""
        key = self._key(delivery)
        while key in self.lanes and key not in self.stuck:
            await self._move()
        return key not in self.lanes

    async def empty(self) -> None:
        """Wait until nothing is here."""
        while self.lanes:
            await self._move()

    def release(self, deliveries: Iterable[Delivery]) -> None:
        """Give *deliveries* back, which were taken out of the mailbox, and forget them."""
        for delivery in deliveries:
            self.failed.pop(delivery, None)
            delivery.release()

    def recall(self) -> None:
        """Try nothing again of what is here: the broker wants it back."""
        for handled in chain(*self.lanes.values()):
            handled.is_recalled = True

    def abandon(self) -> None:
        """Leave all of it unsettled: whom it came from is gone. Nothing more comes before `run`."""
        self.is_open = False
        for handled in chain(*self.lanes.values()):
            self._mailbox.done(handled.delivery)
        self.lanes.clear()
        self.stuck.clear()
        self._tell_moved()

    def _note(self, key: Hashable) -> None:
        # A client may call this outside of any task, where there is not even a clock.
        self._known.append(key)
        self._news.set()

    async def _move(self) -> None:
        """Wait until something has become of what is here."""
        self._moved = self._moved or anyio.Event()
        await self._moved.wait()

    def _tell_moved(self) -> None:
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    def _advance(self, key: Hashable) -> None:
        """Settle those of a lane of which all is known, in order; go back with the others."""
        self._tell_moved()
        self.stuck.discard(key)
        lane = self.lanes.get(key, [])
        while lane and not lane[0].left:
            if not lane[0].failures:
                self._mailbox.done((handled := lane.pop(0)).delivery)
                self._acknowledge(handled)
            elif self._is_busy(key):
                self.stuck.add(key)
                return
            else:
                self._go_back(lane)
        if not lane:
            self.lanes.pop(key, None)

    def _go_back(self, lane: list[Handled]) -> None:
        """Return the first of *lane*, which has failed, and what has to come after it."""
        first = lane.pop(0)
        again, is_done = [first.delivery], is_settled(first.delivery)
        if not is_done and any(
            self._is_passing(first.delivery, error) for _, error in first.failures
        ):
            again += [each.delivery for each in lane if not is_settled(each.delivery)]
            lane[:] = [each for each in lane if is_settled(each.delivery)]
        if first.is_recalled and not is_done:
            for delivery in again:
                self._mailbox.done(delivery)
            self.release(again)
            return
        self.failed[first.delivery] = first
        self._mailbox.put_back(again)

    def _is_passing(self, delivery: Delivery, error: Exception) -> bool:
        """Whether what has failed so is going to be tried again."""
        return not is_hopeless(error) or self._tries_again(delivery, error)

    def _is_busy(self, key: Hashable) -> bool:
        held = [reader.current for reader in self._readers if reader.current is not None]
        return any(self._key(delivery) == key for delivery in held)

    def _key(self, delivery: Delivery) -> Hashable:
        key = None if self._lane is None else self._lane(delivery)
        return delivery if key is None else key

    def _acknowledge(self, handled: Handled) -> None:
        if not handled.delivery.settled:
            handled.delivery.settle(Settlement.ACK)
        if self._hear is not None:
            self._hear(handled.delivery, handled.outcome)
