"""A subscription that is read by hand: no handler, no workers, no policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio

from callboard._errors import NotRunning
from callboard.declare._options import nearest, resolve
from callboard.declare._subscriber import PlacedSubscriber
from callboard.handle._dead_letter import Whose, dead_lettering
from callboard.handle._own import Reader, own, parsed
from callboard.instruments import Outcome, Output
from callboard.run._pump import size
from callboard.run._surroundings import Started
from callboard_actors import Child, Mailbox, MailboxClosed
from callboard_brokers import (
    Capacity,
    Confirmation,
    Delivery,
    GivingUp,
    Message,
    Revocable,
    Subscription,
)

_LEFT: Final = Outcome(None)
"""What becomes of a message here: it is for whoever asks to settle it."""


class Reading:
    """Takes messages from the broker for whoever asks, and leaves it to him to settle them.

    It is the `Binding` of these messages. What nobody has asked for by the end is given back.
    """

    def __init__(self, placed: PlacedSubscriber, started: Started) -> None:
        around = started.around
        self._placed = placed
        self._started = started
        layers = [placed.declaration.options, *placed.scopes, around.options]
        self.decode = Reader(layers).read
        parser = nearest("parser", layers)
        self._parse = None if parser is None else own(parser)
        self._to_dead_letters = dead_lettering(
            Whose(placed.name, around.version),
            resolve(*layers).dead_letter,
            around.out.post(placed.source),
            self._send,
            around.events,
        )
        instruments = started.instruments.at(placed.name, placed.source)
        self._hear = instruments.on_outcome(around.events)
        self.subscription: Subscription
        self._failure: Exception | None = None
        self._open_mailbox()

    async def run(self, child: Child) -> None:
        """Be a child of the broker's supervisor."""
        if self._mailbox.closed:
            self._open_mailbox()
        self._failure = None
        try:
            with child.unless_stopped(), child.until_deadline():
                await self._read(child)
        except Exception as error:
            self._failure = error
            raise
        finally:
            self._mailbox.close()

    async def _read(self, child: Child) -> None:
        capacity = Capacity(self._placed.declaration.options.mailbox)
        connection = self._started.connection
        async with connection.subscribe(self._placed.source, capacity) as subscription:
            self.subscription = subscription
            if isinstance(subscription, Revocable):
                subscription.on_recall(self._give_back)
            if isinstance(subscription, GivingUp):
                subscription.on_given_up(self._to_dead_letters)
            child.ready()
            with anyio.CancelScope() as intake:
                child.on_stop(intake.cancel)
                await self._fill(subscription)
            self._give_back()

    async def take(self) -> Message:
        """Wait for the next message.

        Raises:
            NotRunning: It is stopped, perhaps while waiting.
        """
        try:
            delivery = await self._reader.take()
        except MailboxClosed as error:
            if self._failure is not None:
                raise self._failure from error
            raise NotRunning(f"{self._placed.name} has been stopped") from error
        self._reader.done()
        message = delivery.message
        message.binding = self
        return message if self._parse is None else await parsed(self._parse, message)

    async def reject(self, message: Message, /) -> None:
        """Bring to the dead letters *message*."""
        if isinstance(message.delivery, Delivery):
            await self._to_dead_letters(message.delivery, None)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType] - isinstance can't say of what

    async def _send(self, outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        return await self._started.send(outputs, cause)

    def _give_back(self) -> None:
        """Release what nobody has asked for."""
        for delivery in self._mailbox.drain():
            delivery.release()

    def _open_mailbox(self) -> None:
        options, name = self._placed.declaration.options, self._placed.name
        self._mailbox: Mailbox[Delivery] = Mailbox(options.mailbox, size=size, name=name)
        self._reader = self._mailbox.reader()

    async def _fill(self, subscription: Subscription) -> None:
        while True:
            free = await self._mailbox.room()
            taken = await subscription.receive(free, self._mailbox.free_bytes)
            self._mailbox.put_many(taken)
            if self._hear is not None:
                for delivery in taken:
                    self._hear(delivery, _LEFT)
