"""Declarations: what is subscribed to and published to, with which options. Nothing runs here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from callboard._errors import DeclarationError
from callboard.declare._broker_kind import BrokerKind
from callboard.declare._declarations import Declarations
from callboard.declare._options import Middleware, RouterOptions
from callboard.declare._publisher import PlacedPublisher, Publisher
from callboard.declare._subscriber import PlacedSubscriber, Subscriber
from callboard.declare._takes import takes


class Router:
    """Holds declarations in the order in which they were made, to be included in a broker.

    It may be included in another router, and in several brokers. What is declared on it later
    counts too. The router of a broker, which says of which *kind* that is, adds `subscriber` and
    `publisher` with the broker's own options: they add to `declared`.
    """

    _kind: BrokerKind[Any] | None = None

    def __init_subclass__(cls, *, kind: BrokerKind[Any] | None = None) -> None:
        super().__init_subclass__()
        if kind is not None:
            cls._kind = kind

    @takes(RouterOptions)
    def __init__(self, options: RouterOptions) -> None:
        self.declared = Declarations(options, self._kind)
        self._routers: list[Router] = []

    @property
    def subscribers(self) -> Sequence[Subscriber]:
        """Those declared here and on the routers that are included, in order."""
        return [each.declaration for each in self.declared.placed(PlacedSubscriber)]

    @property
    def publishers(self) -> Sequence[Publisher[Any]]:
        """Those declared here and on the routers that are included, in order."""
        return [each.declaration for each in self.declared.placed(PlacedPublisher)]

    @property
    def routers(self) -> Sequence[Router]:
        """The routers that are included, each before those that are included in it."""
        return [each for router in self._routers for each in (router, *router.routers)]

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
        if router is self or self in router.routers:
            raise DeclarationError("a router can't be included in itself")
        around = RouterOptions(
            prefix,
            dependencies=dependencies,
            middlewares=middlewares,
            include_in_schema=include_in_schema,
        )
        self.declared.include(router.declared, around)
        self._routers.append(router)

    def include_routers(self, *routers: Router) -> None:
        """Add what is declared on each of *routers*."""
        for router in routers:
            self.include_router(router)
