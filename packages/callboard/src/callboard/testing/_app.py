"""An application under test: its hooks around a block."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from anyio.from_thread import start_blocking_portal

from callboard.app._app import App
from callboard_brokers.kit import hinted


@hinted()
class TestApp:
    """Run the lifespan and the hooks of an application: `async with TestApp(app):`.

    In a test that is not asynchronous, `with TestApp(app):` runs them in an event loop of asyncio in
    another thread, where the brokers are then. The lifespan and `on_startup` take *run_extra_options*
    by name.

    Brokers that are under a `TestBroker` stay there; the others are started, and stopped at the
    end. To have the hooks run before the subscribers start, as they do in production, let the
    test broker connect only: `async with TestBroker(broker, connect_only=True), TestApp(app):`.
    """

    __test__ = False  # pytest takes every class named Test… for a test

    def __init__(self, app: App, run_extra_options: Mapping[str, object] | None = None) -> None:
        self._app = app
        self._options = run_extra_options or {}
        self._stack: ExitStack

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._app!r}>"

    def __enter__(self) -> App:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self))
            self._stack = stack.pop_all()
        return self._app

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    async def __aenter__(self) -> App:
        await self._app.start(**self._options)
        return self._app

    async def __aexit__(self, *_: object) -> None:
        await self._app.stop()
