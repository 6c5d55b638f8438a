"""Declarations: what is subscribed to and published to, with which options. Nothing runs here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ._errors import DeclarationError
from ._options import Inherited, Middleware, PublisherOptions, RouterOptions, SubscriberOptions
from ._publisher import Publisher
from ._subscriber import Subscriber
from ._takes import takes

if TYPE_CHECKING:
    from ._broker import Broker

__all__ = ["Router"]


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
        self.check_grave(options)
        self._declared: list[Subscriber | Publisher[Any] | Router] = []
        self._parent: Router | None = None

    @property
    def subscribers(self) -> Sequence[Subscriber]:
        """Those declared here and on the routers that are included, in order."""
        return [each for each in self.placed(self) if isinstance(each, Subscriber)]

    @property
    def publishers(self) -> Sequence[Publisher[Any]]:
        """Those declared here and on the routers that are included, in order."""
        return [each for each in self.placed(self) if isinstance(each, Publisher)]

    @property
    def broker(self) -> Broker[Any]:
        """The broker that it has been included in, the last one if there are several.

        Raises:
            DeclarationError: There is none yet.
        """
        if self._parent is None:
            raise DeclarationError(
                "this router belongs to no broker yet: broker.include_router(router)"
            )
        return self._parent.broker

    @property
    def around(self) -> Sequence[RouterOptions]:
        """What it and the routers around it say, outwards; nothing, of a broker."""
        return () if self._parent is None else (self.scope, *self._parent.around)

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
        self.check_grave(options)
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

    def check_grave(self, options: Inherited | SubscriberOptions | RouterOptions) -> None:
        """Refuse dead letters to where nothing can be published, wherever messages come from."""
        if isinstance(options.dead_letter, str):
            self.check_address(options.dead_letter.replace("{address}", "address"))

    def placed(
        self, root: Router, scopes: Sequence[RouterOptions] = ()
    ) -> Iterator[Subscriber | Publisher[Any]]:
        """Return what is declared here, as it is seen from *root*."""
        for each in self._declared:
            if isinstance(each, Router):
                yield from each.placed(root, (each.scope, *scopes))
            else:
                yield (
                    each.placed(scopes)
                    if isinstance(each, Subscriber)
                    else each.placed(scopes, root)
                )

    def routers(self) -> Iterator[Router]:
        """Return the routers that are included, and those that are included in them."""
        for each in self._declared:
            if isinstance(each, Router):
                yield each
                yield from each.routers()
