"""A client is imported when its adapter connects, and says how to get it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module

from anyio import to_thread


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


async def load(module: str, client: str, install: str) -> None:
    """Import *module*, which needs a *client*; the loop goes on meanwhile.

    Sources and targets, and the double of a broker under test, need no client, so it is not imported
    with them. It may be hundreds of files, which are read in a thread.

    Raises:
        ImportError: It is not installed; see `needing`.
    """
    with needing(client, install):
        await to_thread.run_sync(import_module, module)
