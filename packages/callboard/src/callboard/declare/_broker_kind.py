"""What a kind of broker is to the facade: its name, how addresses become targets, its rules."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from callboard._errors import declaring
from callboard.declare._command import BatchPublishCommand, PublishCommand, redirected
from callboard.declare._place import Place, places_of
from callboard_brokers import Message

T = TypeVar("T")


def nowhere(_source: Any, _message: Message) -> Mapping[str, object]:
    """Say nothing more."""
    return {}


def unlike(_message: Message, target: T) -> T:
    """Return *target* as it is."""
    return target


@dataclass(frozen=True, kw_only=True)
class BrokerKind(Generic[T]):
    """What the facade has to know of a kind of broker beside its adapter."""

    name: str
    """What the log and the supervision tree call it."""
    answer: Callable[[str], T]
    """Turns an address that waits for an answer into a target, which is never created."""
    dead_letter: Callable[[str, Any], T]
    """Turns the address of dead letters, and the source of what was rejected, into a target: of the
    same kind as that source, where a broker has several."""
    makes_dead_letters: bool = False
    """Whether that target has to be made before the first letter, which would else find nobody."""
    where: Callable[[Any, Message], Mapping[str, object]] = nowhere
    """Says more of where a message came from, given its source: headers of its dead letter."""
    returns: Callable[[Message, str], T] | None = None
    """Turns an address that a dead letter came from into a target, which is never created; None:
    that of an answer."""
    alike: Callable[[Message, Any], Any] = unlike
    """Returns a target with what a received message has beside its metadata, for a copy of it."""
    routing: Callable[[], Any]
    """The rules by which the broker in memory stands in for it under test. What they refuse can't
    be declared either."""
    partition: Callable[[Message], Hashable] | None = None
    """Tells the partition of a received message; None: the broker has none."""
    together: Callable[[Sequence[Any]], None] | None = None
    """Refuses sources that one broker can't read together, by a `DeclarationError`."""
    url: str = ""
    protocol: str = ""
    protocol_version: str = ""
    urls: Sequence[str] = ()
    """Those of all servers, where it has several."""
    places: Callable[[Any], Sequence[Place]] = places_of
    """Says how documents describe a source or a target."""
    command: type[PublishCommand] = PublishCommand
    """What middlewares see of what is published."""
    commands: type[BatchPublishCommand] = BatchPublishCommand
    """What they see of several that are published at once."""
    redirect: Callable[[Any, str], Any] = redirected
    """Returns a target with another address."""

    def back(self, letter: Message, address: str) -> T:
        """Return where *letter*, which came from *address*, is sent back to."""
        return self.answer(address) if self.returns is None else self.returns(letter, address)

    def check_source(self, source: Any, others: Sequence[Any]) -> None:
        """Refuse *source*, if nobody can read it, or not beside *others*."""
        with declaring():
            self.routing().source(source)
        if self.together is not None:
            self.together([*others, source])

    def check_target(self, target: T) -> None:
        """Refuse *target*, if nothing can ever be published there."""
        with declaring():
            self.routing().target(target)

    def check_answer(self, address: str) -> None:
        """Refuse *address*, if nothing can ever be published there."""
        with declaring():
            self.routing().target(self.answer(address))

    def check_dead_letter(self, address: str, source: Any) -> None:
        """Refuse *address*, if no dead letters of *source* can ever be published there."""
        with declaring():
            self.routing().target(self.dead_letter(address, source))
