"""The socket at which an application shows its tree: on a real clock, since threads take part."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest

from callboard import App, DeclarationError, MemoryBroker
from callboard.watch._inspect import LookError, look
from callboard.watch._view import View

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@asynccontextmanager
async def shown(path: Path) -> AsyncGenerator[None]:
    """Run an application that shows its tree at *path*."""
    app = App(MemoryBroker(), inspect=path)
    await app.start()
    try:
        yield
    finally:
        await app.stop()


@contextmanager
def dead(path: Path) -> Generator[None]:
    """Leave at *path* what a process leaves that was killed."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    yield


@contextmanager
def answering(path: Path, answer: bytes) -> Generator[None]:
    """Let something else answer at *path*, whatever it is asked."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


@contextmanager
def stranger() -> Generator[None]:
    """Be a user without rights; root, who may do everything, is one for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def names(directory: Path) -> list[str]:
    return [file.name for file in directory.iterdir()]


async def asked(path: Path) -> View:
    return await anyio.to_thread.run_sync(look, path)


async def said(path: Path, line: bytes) -> dict[str, object]:
    """Return what an application answers to *line*."""
    async with await anyio.connect_unix(path) as stream:
        await stream.send(line)
        answer: dict[str, object] = json.loads(await stream.receive())
        return answer


async def test_an_application_shows_its_tree(path: Path) -> None:
    async with shown(path):
        view = await asked(path)

    assert view.tree.id == "app"
    assert [node.id for node in view.tree.children] == ["memory", "observer", "inspection"]
    assert all(node.state == "running" for node in view.tree.children)


async def test_the_socket_is_its_owner_s_only_and_nothing_else_is_made(path: Path) -> None:
    mask = os.umask(0)
    try:
        async with shown(path):
            mode = path.lstat().st_mode  # noqa: ASYNC240 - a test waits for nobody
            there = names(path.parent)
    finally:
        left = os.umask(mask)

    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    assert (there, left) == (["s"], 0)


async def test_the_socket_is_gone_when_the_application_is(path: Path) -> None:
    async with shown(path):
        pass

    assert names(path.parent) == []


async def test_the_socket_of_somebody_else_is_not_removed_at_the_end(path: Path) -> None:
    async with shown(path):
        path.unlink()  # noqa: ASYNC240 - a test waits for nobody
        async with shown(path):
            pass
        with dead(path):
            pass

    assert names(path.parent) == ["s"]


async def test_the_socket_of_a_dead_process_is_replaced(path: Path) -> None:
    with dead(path):
        async with shown(path):
            view = await asked(path)

    assert view.tree.id == "app"


async def test_a_path_in_use_by_a_living_process_is_an_error(path: Path) -> None:
    async with shown(path):
        with pytest.raises(DeclarationError, match="is in use by a process; choose another path"):
            async with shown(path):
                pass
        view = await asked(path)

    assert view.tree.id == "app"


async def test_of_two_at_once_only_one_gets_the_path(path: Path) -> None:
    apps = [App(MemoryBroker(), inspect=path) for _ in range(4)]
    refused: list[DeclarationError] = []

    async def start(app: App) -> None:
        try:
            await app.start()
        except DeclarationError as error:
            refused.append(error)

    with dead(path):
        async with anyio.create_task_group() as group:
            for app in apps:
                group.start_soon(start, app)
    for app in apps:
        await app.stop()

    assert len(refused) == 3


async def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")  # noqa: ASYNC240 - a test waits for nobody
    with pytest.raises(DeclarationError, match="is no socket"):
        await App(MemoryBroker(), inspect=path).start()

    assert path.read_text() == "precious"  # noqa: ASYNC240 - as above


@pytest.mark.parametrize("name", ["nowhere/s", "s" * 200])
async def test_a_path_that_cannot_be_had_is_an_error(path: Path, name: str) -> None:
    with pytest.raises(DeclarationError, match=r"can't be made: .*; choose another path"):
        await App(MemoryBroker(), inspect=path.parent / name).start()


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\n", b'{"show": "tree" "tree"}\n', b"[]\n"])
async def test_a_question_that_is_none_is_refused(path: Path, line: bytes) -> None:
    async with shown(path):
        answer = await said(path, line)

    assert answer == {"error": 'ask {"show": "tree"}', "callboard": 1}


async def test_whoever_says_nothing_sensible_does_not_disturb_the_others(path: Path) -> None:
    async with shown(path):
        for line in (b"", b"no end", b"x" * 9000):
            async with await anyio.connect_unix(path) as stream:
                await stream.send(line)
        view = await asked(path)

    assert view.tree.id == "app"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"[]\n",
        b'{"tree": {}, "samples": {}}\n',
        b'{"callboard": 2, "error": "no"}\n',
        b'{"callboard": 1, "view": {"now": 1, "tree": {"id": "app", "children": 7}}}\n',
        b'{"callboard": 1, "view": {"now": 1, "tr',
    ],
)
async def test_whatever_else_answers_is_told_from_an_application(path: Path, answer: bytes) -> None:
    with answering(path, answer), pytest.raises(LookError, match="is no Callboard application"):
        await asked(path)


async def test_a_refusal_is_told(path: Path) -> None:
    with (
        answering(path, b'{"callboard": 1, "error": "not now"}\n'),
        pytest.raises(LookError, match="refuses: not now"),
    ):
        await asked(path)


async def test_a_connection_that_is_closed_is_no_answer(path: Path) -> None:
    with answering(path, b""), pytest.raises(LookError, match="gave no answer"):
        await asked(path)


async def test_where_nothing_is_there_is_no_application(path: Path) -> None:
    with pytest.raises(LookError, match=f"nothing is at {path}; run the application with"):
        await asked(path)


async def test_what_is_no_socket_is_told(path: Path) -> None:
    with pytest.raises(LookError, match=f"{path.parent} is no socket"):
        await asked(path.parent)


async def test_a_socket_at_which_nobody_listens_is_told(path: Path) -> None:
    with dead(path), pytest.raises(LookError, match=r"nobody listens at .*: the application has"):
        await asked(path)


async def test_a_stranger_may_not_look(path: Path) -> None:
    async with shown(path):
        await anyio.to_thread.run_sync(os.chmod, path.parent, 0o755)
        if os.geteuid():
            path.chmod(0)  # noqa: ASYNC240 - a test waits for nobody
        with stranger(), pytest.raises(LookError, match="is not yours: only the owner"):
            await asked(path)


async def test_a_bare_name_lies_in_a_folder_that_nobody_else_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    async with shown(Path("shop")):
        view = await asked(Path("shop"))
        mode = (tmp_path / "callboard").lstat().st_mode

    assert view.tree.id == "app"
    assert stat.S_IMODE(mode) == 0o700


async def test_a_private_folder_that_others_may_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "callboard").mkdir()
    (tmp_path / "callboard").chmod(0o777)

    with pytest.raises(DeclarationError, match="is not yours alone; remove it, or choose a path"):
        async with shown(Path("shop")):
            pass


async def test_a_lock_on_a_folder_that_is_shared_keeps_nobody_waiting(path: Path) -> None:
    path.parent.chmod(0o1777)
    held = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        with anyio.fail_after(30):
            async with shown(path):
                view = await asked(path)
    finally:
        os.close(held)

    assert view.tree.id == "app"
