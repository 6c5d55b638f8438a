"""The socket at which an application shows its tree."""

from __future__ import annotations

import stat
from pathlib import Path

import anyio
import pytest

from callboard import App, DeclarationError, MemoryBroker
from callboard._inspect import look

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Keep to the real clock: a virtual one would not wait for threads."""
    return str(request.param)


async def test_an_application_shows_its_tree_to_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "s"
    app = App(MemoryBroker(), inspect=path)
    await app.start()
    try:
        view = await anyio.to_thread.run_sync(look, path)
        mode = stat.S_IMODE((await anyio.Path(path).stat()).st_mode)
    finally:
        await app.stop()
    there = await anyio.Path(path).exists()
    assert (view.tree.id, mode, there) == ("app", 0o600, False)


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    await anyio.Path(path).write_text("precious")
    with pytest.raises(DeclarationError, match="is no socket"):
        await App(MemoryBroker(), inspect=path).start()
    assert await anyio.Path(path).read_text() == "precious"
