"""What is declared on a router, and where that stands among others. Nothing runs here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from callboard._errors import DeclarationError
from callboard.declare._broker_kind import BrokerKind
from callboard.declare._live import Live, Owner
from callboard.declare._options import (
    Inherited,
    PublisherOptions,
    RouterOptions,
    SubscriberOptions,
    prefixed,
)
from callboard.declare._publisher import PlacedPublisher, Publisher
from callboard.declare._subscriber import PlacedSubscriber, Subscriber

D = TypeVar("D", PlacedSubscriber, PlacedPublisher)


class Declarations:
    """The subscribers and publishers of a router, and the routers in it, in order.

    Here a module for a broker declares what users ask its router for.

    Attributes:
        options: What the router says of all of them.
        owner: The broker whose they are; None: they are those of a router.
    """

    def __init__(self, options: RouterOptions, kind: BrokerKind[Any] | None = None) -> None:
        self.owner: Owner | None = None
        self.options = options
        self._kind = kind
        self._declared: list[Subscriber[Any] | Publisher[Any] | Declarations] = []
        self._around: Declarations | None = None
        self.check_dead_letter(options)

    def subscriber(self, source: Any, options: SubscriberOptions) -> Subscriber[Any]:
        """Declare that *source* is subscribed to; the result decorates the handlers.

        Raises:
            DeclarationError: It can't be read, or not beside what is declared here.
        """
        if self._kind is not None:
            self._kind.check_source(source, [each.source for each in self.placed(PlacedSubscriber)])
        self.check_dead_letter(options, source)
        subscriber: Subscriber[Any] = Subscriber(source, options, self, self._declared)
        self._declared.append(subscriber)
        return subscriber

    def publisher(self, target: Any, options: PublisherOptions) -> Publisher[Any]:
        """Declare that *target* is published to; the result decorates handlers and publishes.

        Raises:
            DeclarationError: Nothing can be published there, or no answer can come back.
        """
        if self._kind is not None:
            self._kind.check_target(target)
            if options.reply_to is not None:
                self._kind.check_answer(options.reply_to)
        publisher: Publisher[Any] = Publisher(self, target, options)
        self._declared.append(publisher)
        return publisher

    def include(self, inner: Declarations, options: RouterOptions) -> None:
        """Add *inner*, with what is declared there later; *options* come around it."""
        around = Declarations(options)
        around._declared.append(inner)
        around._around, inner._around = self, around
        self._declared.append(around)

    def placed(self, kind: type[D], scopes: Sequence[RouterOptions] = ()) -> list[D]:
        """Return what of *kind* is declared here and on the routers that are included, in order.

        As it is seen from outside of *scopes*: what routers say, from the nearest outwards.
        """
        found: list[D] = []
        for each in self._declared:
            if isinstance(each, Declarations):
                found += each.placed(kind, (each.options, *scopes))
            elif isinstance(placed := _placed(each, scopes), kind):
                found.append(placed)
        return found

    @property
    def root(self) -> Declarations:
        """The outermost around these; those of the last one, if several include them."""
        return self if self._around is None else self._around.root

    @property
    def live(self) -> Live:
        """What runs the broker of these, the last one if there are several.

        Raises:
            DeclarationError: There is none yet.
            NotRunning: The broker does not run.
        """
        owner = self.root.owner
        if owner is None:
            raise DeclarationError(
                "this router belongs to no broker yet: broker.include_router(router)"
            )
        return owner.live

    def check_dead_letter(
        self, options: Inherited | SubscriberOptions | RouterOptions, source: Any = None
    ) -> None:
        """Refuse dead letters to where nothing can be published, wherever messages come from.

        Where no *source* is known yet, an address has to do that could be the one of an answer.
        """
        if self._kind is None or not isinstance(options.dead_letter, str):
            return
        address = options.dead_letter.replace("{address}", "address")
        if source is None:
            self._kind.check_answer(address)
        else:
            self._kind.check_dead_letter(address, source)


def _placed(
    declaration: Subscriber[Any] | Publisher[Any], scopes: Sequence[RouterOptions]
) -> PlacedSubscriber | PlacedPublisher:
    """Return *declaration* with what *scopes* say."""
    if isinstance(declaration, Subscriber):
        return PlacedSubscriber(declaration, prefixed(declaration.source, scopes), scopes)
    return PlacedPublisher(declaration, prefixed(declaration.target, scopes), scopes)
