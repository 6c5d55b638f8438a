"""Where an actor's messages are, across its restarts."""

from __future__ import annotations

from typing import Generic, TypeVar

from callboard_actors.events import Notify
from callboard_actors.mailbox._mailbox import Mailbox
from callboard_actors.system._envelope import Envelope, SystemMessage

M = TypeVar("M")


class Inbox(Generic[M]):
    """The mailbox of one actor.

    Attributes:
        reader: What it is at work on.
    """

    def __init__(self, path: str, capacity: int, notify: Notify) -> None:
        self.mailbox = Mailbox[Envelope[M]](capacity, max_bytes=None, notify=notify, name=path)
        self.capacity = capacity
        self.reader = self.mailbox.reader()
        # Never takes: what was stashed returns as what a reader holds does, closed or not.
        self._returning = self.mailbox.reader()

    def post(self, message: SystemMessage) -> None:
        """Leave *message*, to be read first. Who is ending does not need it."""
        if not self.mailbox.closed:
            self.mailbox.put_system(message)

    def put_back(self, envelope: Envelope[M]) -> None:
        """Return *envelope* to the front of the mailbox."""
        self._returning.current = envelope
        self._returning.put_back()
