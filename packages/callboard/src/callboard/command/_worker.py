"""A process that runs an application for another one, which has started it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from contextlib import suppress

from callboard._errors import NotRunning
from callboard.app._app import App
from callboard.app._last_resort import abandon
from callboard.command._fail import Failed
from callboard.command._line import (
    SLACK,
    STOP,
    Failing,
    News,
    Place,
    Seen,
    Signalled,
    Up,
    written,
)
from callboard.command._serve import Settings, serve
from callboard.memory import MemoryBroker
from callboard.watch._say import say
from callboard.watch._view import View

_TURN = 1.0
"""Seconds between two requests to stop: one that comes before the start has begun is not heard."""


def work(settings: Settings, place: Place) -> int:
    """Run the application as one of several processes; return the status of this one."""
    worker = Worker(place)
    threading.Thread(target=worker.listen, name="callboard line", daemon=True).start()
    try:
        return serve(settings, place.worker_id, worker.take)
    except Failed as error:
        error.is_told = worker.tell(Failing(reason=str(error)))
        raise
    finally:
        worker.part()


class Worker:
    """Obeys the process that has started this one, and tells it what happens here.

    It listens in a thread of its own, so that it hears before there is an event loop.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        os.set_inheritable(place.line, False)
        self._socket = socket.socket(fileno=place.line)
        self._talking = threading.Lock()
        self._app: App | None = None

    def tell(self, news: News) -> bool:
        """Tell *news*; return whether anybody is there to hear them."""
        try:
            with self._talking:
                self._socket.sendall(written(news))
        except OSError:
            return False
        return True

    def listen(self) -> None:
        """Answer until this process is to stop, or the other one is gone; then see that it ends."""
        with suppress(OSError), self._socket.makefile("rb") as asked:
            for line in asked:
                if line == STOP:
                    break
                self.tell(Seen(view=self._view()))
        self._stop()

    def take(self, app: App) -> None:
        """Be told of the application, before its start."""
        shown = app.inspect
        if self._place.worker_id is not None:
            app.inspect = None  # all are shown in one place, by whoever has started them

        async def tell() -> None:
            where = None if shown is None else str(shown)
            self.tell(Up(graceful_timeout=app.graceful_timeout, inspect=where))

        app.after_startup(tell)
        self._app = app
        if self._place.worker_id == 0:
            _warn(app, self._place.workers)

    def part(self) -> None:
        """Say at the end whether a signal was the reason."""
        if self._app is not None and self._app.stop_signal is not None:
            self.tell(Signalled(signal=int(self._app.stop_signal)))

    def _view(self) -> View | None:
        try:
            return None if self._app is None else self._app.view()
        except NotRunning:
            return None

    def _stop(self) -> None:
        begin, has_insisted = time.monotonic(), False
        while True:
            app = self._app
            if app is None:  # nothing is in hand while the module is imported
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                app.exit()
                late = time.monotonic() - begin - app.graceful_timeout
                if late > 2 * SLACK:
                    break
                if late > SLACK and not has_insisted:
                    # As the supervisor does that was told of this deadline; then the last resort of
                    # the application says what hangs.
                    has_insisted = True
                    os.kill(os.getpid(), signal.SIGTERM)
                    os.kill(os.getpid(), signal.SIGINT)
            time.sleep(_TURN)
        abandon(logging.getLogger("callboard"), "something does not end; the process does")


def _warn(app: App, workers: int) -> None:
    """Say what nobody expects who has several processes."""
    for broker in app.brokers:
        if isinstance(broker, MemoryBroker) and workers > 1:
            line = "each of the %d workers has a %s of its own: none gets what another publishes"
            say(app.logger, logging.WARNING, line, workers, type(broker).__name__)
