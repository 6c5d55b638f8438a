"""Declarations: what is subscribed to and published to, with which options. Nothing runs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from callboard._errors import DeclarationError
from callboard.declare._broker_kind import BrokerKind
from callboard.declare._declarations import Declarations
from callboard.declare._middleware import Middleware
from callboard.declare._options import Included, RouterOptions
from callboard.declare._publisher import PlacedPublisher, Publisher
from callboard.declare._subscriber import PlacedSubscriber, Subscriber
from callboard.declare._takes import takes
from callboard_brokers.kit import hinting


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
        for route in options.handlers:
            route.declare(self.declared)
        self.include_routers(*options.routers)

    def __repr__(self) -> str:
        here = [each.source.address for each in self.subscribers]
        return f"<{type(self).__name__} of {', '.join(map(repr, here)) or 'no subscribers'}>"

    @property
    def subscribers(self) -> Sequence[Subscriber[Any]]:
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

    @hinting
    def include_router(
        self,
        router: Included,
        *,
        prefix: str = "",
        dependencies: Sequence[Any] = (),
        middlewares: Sequence[Middleware] = (),
        include_in_schema: bool | None = None,
    ) -> None:
        """Add what is declared on *router*, now and later; what is given here comes around it.

        Raises:
            DeclarationError: It is the router of another kind of broker, or contains this one.
        """
        declare = getattr(type(self), "subscriber", None)
        if not isinstance(router, Router) or getattr(type(router), "subscriber", None) != declare:
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

    def add_middleware(self, middleware: Middleware) -> None:
        """Put *middleware* inside of all others here; it holds from the next start on.

        Raises:
            DeclarationError: It is no middleware.
        """
        self._put([*self._middlewares, middleware])

    def insert_middleware(self, middleware: Middleware) -> None:
        """Put *middleware* outside of all others here; it holds from the next start on.

        Raises:
            DeclarationError: It is no middleware.
        """
        self._put([middleware, *self._middlewares])

    @property
    def _middlewares(self) -> Sequence[Middleware]:
        return self.declared.options.middlewares

    def _put(self, middlewares: Sequence[Middleware]) -> None:
        self.declared.options = replace(self.declared.options, middlewares=middlewares)

    def include_routers(self, *routers: Included) -> None:
        """Add what is declared on each of *routers*."""
        for router in routers:
            self.include_router(router)
