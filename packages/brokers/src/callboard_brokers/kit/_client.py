"""A client is imported when its adapter connects, and says how to get it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def needing(client: str, install: str) -> Generator[None]:
    """Import in its body what needs a *client*, such as "the client of Kafka".

    Raises:
        ImportError: It is not installed; *install*, such as "callboard-brokers[kafka]", brings it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(f'{error}: {client} comes with pip install "{install}"') from error
