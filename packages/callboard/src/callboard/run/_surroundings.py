"""What running needs of a broker, as a record; nothing that runs knows the broker itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from callboard._context import ContextRepo
from callboard.declare._broker_kind import BrokerKind
from callboard.declare._codec import AnyCodec
from callboard.declare._middleware import Middleware
from callboard.declare._options import BrokerOptions, RouterOptions, nearest
from callboard.declare._publisher import PlacedPublisher, Publisher
from callboard.declare._subscriber import PlacedSubscriber
from callboard.handle._instruments import Instruments
from callboard.handle._passage import Chain
from callboard.handle._way_out import WayOut
from callboard.instruments import Send
from callboard.run._services import Service
from callboard.watch._bus import Bus
from callboard_actors import Node, Supervision
from callboard_brokers import Adapter, Connection
from callboard_di import Overrides


class Started(Protocol):
    """A broker that has been started, to its subscriptions and to brokers of its application."""

    @property
    def around(self) -> Surroundings:
        """What is around all of its subscriptions."""
        ...

    @property
    def adapter(self) -> Adapter[Any, Any]:
        """What it is connected by."""
        ...

    @property
    def connection(self) -> Connection[Any, Any]:
        """The connection; `NotRunning` is raised where there is none at the moment."""
        ...

    @property
    def instruments(self) -> Instruments:
        """What is put around handlers, and around whatever is sent."""
        ...

    @property
    def drain(self) -> float:
        """Seconds that handlers have to finish when they are stopped."""
        ...

    @property
    def awaited(self) -> bool:
        """Whether more of its subscriptions are about to start."""
        ...

    @property
    def send(self) -> Send:
        """The way out; `NotRunning` is raised where there is no connection at the moment."""
        ...

    @property
    def failures(self) -> list[Exception]:
        """What failed in actors that were asked to stop: whoever stops the broker is told."""
        ...

    def retire(self, declaration: object, /) -> None:
        """Have a subscriber stop, whose handler has said so."""
        ...

    def tree(self) -> Node:
        """Return its supervision tree as plain data."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Surroundings:
    """What a broker is to those who run it, to its subscriptions and to handlers that publish."""

    name: str
    kind: BrokerKind[Any]
    options: BrokerOptions
    context: ContextRepo
    overrides: Overrides
    logger: logging.Logger
    events: Bus
    out: WayOut[Any]
    """By what results, answers and dead letters leave."""
    supervision: Supervision
    """What supervises workers of which neither a subscriber nor the broker says anything."""
    version: str | None = None
    """That of the application; None: it has none."""
    subscribers: Callable[[], Sequence[PlacedSubscriber]]
    publishers: Callable[[], Sequence[PlacedPublisher]]
    """What is declared by now, in order."""
    home: Callable[[Publisher[Any]], tuple[Surroundings, PlacedPublisher]]
    """Whose a publisher is that a handler here publishes by: another broker's, perhaps; and what
    is said of it there."""
    services: list[Service]
    """What runs beside its subscriptions."""
    companions: Callable[[], Sequence[Started]]
    """The brokers of the same application that have been started, this one among them."""
    loss: Callable[[], Mapping[str, object]]
    """Since when its server is away, where that is, and why; empty while it is there."""

    def chain(
        self,
        scopes: Sequence[RouterOptions] = (),
        own: Sequence[Middleware] = (),
        codec: AnyCodec | None = None,
    ) -> Chain:
        """Return the middlewares around what is declared inside of *scopes*, and around that *own*.

        What leaves through them is encoded by *codec*; None: as what is around says.
        """
        outwards: list[RouterOptions | BrokerOptions] = [*scopes, self.options]
        middlewares = [*chain.from_iterable(each.middlewares for each in reversed(outwards)), *own]
        chosen: AnyCodec = codec if codec is not None else nearest("codec", outwards)
        return Chain(middlewares, self.context, self.kind, chosen, self.out, self.options.validates)
