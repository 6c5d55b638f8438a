"""Declarations: what is subscribed to and published to, with which options. Nothing runs here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeVar

from callboard._errors import DeclarationError
from callboard.declare._live import Live
from callboard.declare._options import (
    Inherited,
    Middleware,
    PublisherOptions,
    RouterOptions,
    SubscriberOptions,
)
from callboard.declare._publisher import PlacedPublisher, Publisher
from callboard.declare._subscriber import PlacedSubscriber, Subscriber
from callboard.declare._takes import takes

D = TypeVar("D", PlacedSubscriber, PlacedPublisher)


class Router:
    """Holds declarations in the order in which they were made, to be included in a broker.

    It may be included in another router, and in several brokers. What is declared on it later
    counts too. The router of a broker adds `subscriber` and `publisher` with the broker's own
    options.
    """

    complete: ClassVar[bool] = False
    """Whether an address that is declared here is the whole address."""

    @takes(RouterOptions)
    def __init__(self, options: RouterOptions) -> None:
        self.scope = options
        self.check_dead_letter(options)
        self._declared: list[Subscriber | Publisher[Any] | Router] = []
        self._parent: Router | None = None

    @property
    def subscribers(self) -> Sequence[Subscriber]:
        """Those declared here and on the routers that are included, in order."""
        return [each.declaration for each in self.placed(PlacedSubscriber)]

    @property
    def publishers(self) -> Sequence[Publisher[Any]]:
        """Those declared here and on the routers that are included, in order."""
        return [each.declaration for each in self.placed(PlacedPublisher)]

    @property
    def root(self) -> Router:
        """The outermost router that it has been included in, the last one if there are several.

        It is the broker, if there is one; it may be this very router.
        """
        return self if self._parent is None else self._parent.root

    @property
    def live(self) -> Live:
        """What runs the broker that it has been included in, the last one if there are several.

        Raises:
            DeclarationError: There is none yet.
            NotRunning: The broker does not run.
        """
        if self._parent is None:
            raise DeclarationError(
                "this router belongs to no broker yet: broker.include_router(router)"
            )
        return self._parent.live

    def include_router(
        self,
        router: Router,
        *,
        prefix: str = "",
        dependencies: Sequence[Any] = (),
        middlewares: Sequence[Middleware] = (),
        include_in_schema: bool = True,
    ) -> None:
        """Add what is declared on *router*, now and later; what is given here comes around it.

        Raises:
            DeclarationError: It is the router of another kind of broker, or contains this one.
        """
        declare = getattr(type(self), "subscriber", None)
        if getattr(type(router), "subscriber", None) != declare:
            raise DeclarationError(
                f"a {type(self).__name__} can't include a {type(router).__name__}, whose options"
                " are those of another broker"
            )
        if router is self or self in router.routers():
            raise DeclarationError("a router can't be included in itself")
        around = Router(
            prefix=prefix,
            dependencies=dependencies,
            middlewares=middlewares,
            include_in_schema=include_in_schema,
        )
        around._declared.append(router)
        around._parent, router._parent = self, around
        self._declared.append(around)

    def include_routers(self, *routers: Router) -> None:
        """Add what is declared on each of *routers*."""
        for router in routers:
            self.include_router(router)

    def check_address(self, address: str) -> None:
        """Refuse what can be no address of the broker; here, where none is known, nothing.

        Raises:
            DeclarationError: Nothing can ever be published to *address*.
        """

    def add_subscriber(self, source: Any, options: SubscriberOptions) -> Subscriber:
        """Declare that *source* is subscribed to; the result decorates the handlers."""
        self.check_dead_letter(options)
        subscriber = Subscriber(source, options, self, self._declared)
        self._declared.append(subscriber)
        return subscriber

    def add_publisher(self, target: Any, options: PublisherOptions) -> Publisher[Any]:
        """Declare that *target* is published to; the result decorates handlers and publishes."""
        if options.reply_to is not None:
            self.check_address(options.reply_to)
        publisher: Publisher[Any] = Publisher(self, target, options)
        self._declared.append(publisher)
        return publisher

    def check_dead_letter(self, options: Inherited | SubscriberOptions | RouterOptions) -> None:
        """Refuse dead letters to where nothing can be published, wherever messages come from."""
        if isinstance(options.dead_letter, str):
            self.check_address(options.dead_letter.replace("{address}", "address"))

    def placed(self, kind: type[D], scopes: Sequence[RouterOptions] = ()) -> list[D]:
        """Return what of *kind* is declared here and on the routers that are included, in order.

        As it is seen from outside of *scopes*: what routers say, from the nearest outwards.
        """
        found: list[D] = []
        for each in self._declared:
            if isinstance(each, Router):
                found += each.placed(kind, (each.scope, *scopes))
            elif isinstance(placed := each.placed(scopes), kind):
                found.append(placed)
        return found

    def routers(self) -> Iterator[Router]:
        """Return the routers that are included, and those that are included in them."""
        for each in self._declared:
            if isinstance(each, Router):
                yield each
                yield from each.routers()
