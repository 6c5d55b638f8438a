"""An application under test: its hooks around a block."""

from __future__ import annotations

from callboard.app._app import App


class TestApp:
    """Run the lifespan and the hooks of an application: `async with TestApp(app):`.

    Brokers that are under a `TestBroker` stay there; the others are started, and stopped at the
    end. To have the hooks run before the subscribers start, as they do in production, let the
    test broker connect only: `async with TestBroker(broker, connect_only=True), TestApp(app):`.
    """

    __test__ = False  # pytest takes every class named Test… for a test

    def __init__(self, app: App) -> None:
        self._app = app

    async def __aenter__(self) -> App:
        await self._app.start()
        return self._app

    async def __aexit__(self, *_: object) -> None:
        await self._app.stop()
