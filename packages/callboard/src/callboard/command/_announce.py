"""What `callboard run` says when an application is up, and when it has ended."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from callboard._broker import Broker
from callboard.app._app import App
from callboard.watch._say import say


def announce(app: App, *, alone: bool) -> None:
    """Have *app* say so by its own log; *alone*: that whoever reads it can stop it."""

    @app.after_startup
    def up() -> None:
        for broker in app.brokers:
            name, at, readers = _seen(broker)
            where = f"{name} at {at}" if at else name
            line = "%s: %s" if readers else "%s: nobody reads there"
            say(app.logger, logging.INFO, line, where, *([", ".join(readers)] if readers else []))
        say(app.logger, logging.INFO, "up; Ctrl-C stops" if alone else "up")

    @app.after_shutdown
    def down() -> None:
        say(app.logger, logging.INFO, "stopped")


def _seen(broker: Broker[Any]) -> tuple[str, str, Sequence[str]]:
    """Return what *broker* is called, where its server is, and who reads there."""
    around = broker.slot.around
    return (
        around.name,
        around.kind.url,
        [each.name for each in around.subscribers() if each.declaration.options.persistent],
    )
