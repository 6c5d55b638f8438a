"""A Unix socket at which an application shows its tree: a line of JSON asks, one answers.

Every answer says that it is Callboard's, and of which version of this protocol: whatever else
listens at a path is told from an application.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Final, Literal, TypeAlias

import anyio
from anyio.abc import SocketListener, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from callboard._errors import CallboardError, DeclarationError
from callboard.watch._view import View
from callboard_actors import Child
from callboard_validation import decoder

_PROTOCOL: Final = 1
_LONGEST_QUESTION: Final = 4096
_LONGEST_ANSWER: Final = 64 * 2**20
_PATIENCE: Final = 5.0
"""Seconds that both sides wait for each other."""
_LAST: Final = 1.0
"""Seconds that a file system has to remove the socket, whatever else is over."""
_PRIVATE: Final = 0o600
_OTHERS: Final = 0o077
Inode: TypeAlias = tuple[int, int]


class LookError(CallboardError):
    """No application shows itself there; in one line, why."""


@dataclass(kw_only=True)
class Question:
    """What may be asked."""

    show: Literal["tree"]


@dataclass(kw_only=True)
class Answer:
    """What an application answers, with the version of the protocol."""

    view: View
    callboard: Literal[1] = _PROTOCOL


@dataclass(kw_only=True)
class Refusal:
    """What it answers to anything else."""

    error: str
    callboard: Literal[1] = _PROTOCOL


class Inspection:
    """Serves at *path*, which only the owner of the process may open.

    A name without a folder lies in one that nobody else may enter; see `place`.
    """

    def __init__(self, path: Path, view: Callable[[], Awaitable[View]]) -> None:
        self._path = place(path)
        self._view = view
        self._question = decoder(Question)

    async def run(self, child: Child) -> None:
        """Be a child of the application's supervisor.

        Raises:
            DeclarationError: The path can't be had.
        """
        # In threads: the file system blocks. What is opened is waited for, even if cancelled.
        bound, ours = await anyio.to_thread.run_sync(_open, self._path)
        try:
            with bound:
                await self._serve(await SocketListener.from_socket(bound), child)
        finally:
            with anyio.move_on_after(_LAST, shield=True):
                remove = partial(_remove, self._path, ours)
                await anyio.to_thread.run_sync(remove, abandon_on_cancel=True)

    async def _serve(self, listener: SocketListener, child: Child) -> None:
        async with listener:
            with anyio.CancelScope() as scope:
                child.on_stop(scope.cancel)
                child.ready()
                await listener.serve(self._answer)

    async def _answer(self, stream: SocketStream) -> None:
        try:
            async with stream:
                with anyio.move_on_after(_PATIENCE):
                    buffered = BufferedByteReceiveStream(stream)
                    line = await buffered.receive_until(b"\n", _LONGEST_QUESTION)
                    answer = json.dumps(asdict(await self._reply(line)), default=str)
                    await stream.send(answer.encode() + b"\n")
        except (
            anyio.BrokenResourceError,
            anyio.DelimiterNotFound,
            anyio.EndOfStream,
            anyio.IncompleteRead,
            OSError,
        ):
            return  # whoever asked has gone, or does not speak the protocol

    async def _reply(self, line: bytes) -> Answer | Refusal:
        try:
            self._question(line, "application/json")
        except ValueError:  # it is no JSON, or of another shape
            return Refusal(error='ask {"show": "tree"}')
        return Answer(view=await self._view())


def look(path: Path) -> View:
    """Ask the application at *path*.

    Raises:
        LookError: No application answers, or not what it should.
    """
    path = place(path)
    line = _ask(path)
    try:
        answer: Answer | Refusal = decoder(Answer | Refusal)(line, "application/json")
    except ValueError as error:
        raise LookError(
            f"what listens at {path} is no Callboard application, or one of another version"
        ) from error
    if isinstance(answer, Refusal):
        raise LookError(f"the application at {path} refuses: {answer.error}")
    return answer.view


def place(path: Path) -> Path:
    """Return where a socket lies: a bare name in the private folder of this user.

    That is `callboard` in the runtime directory, which the system makes for each user, else one of
    our own beside the temporary files.
    """
    if path.name != str(path):
        return path
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    own = Path(gettempdir()) / f"callboard-{os.geteuid()}"
    return (Path(runtime) / "callboard" if runtime else own) / path


def _ask(path: Path) -> bytes:
    try:
        if not path.is_socket():
            raise LookError(_absent(path))
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_PATIENCE)
            client.connect(str(path))
            client.sendall(b'{"show": "tree"}\n')
            with client.makefile("rb") as answer:
                line = answer.readline(_LONGEST_ANSWER)
    except OSError as error:
        raise LookError(_trouble(path, error)) from error
    if not line:
        raise LookError(f"the application at {path} gave no answer: it stops, or is none")
    return line


def _absent(path: Path) -> str:
    if path.exists():
        return f"{path} is no socket; name the one that was given to --inspect"
    return f"nothing is at {path}; run the application with --inspect {path}"


def _trouble(path: Path, error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens at {path}: the application has died"
    if isinstance(error, PermissionError):
        return f"{path} is not yours: only the owner of an application may look at it"
    if isinstance(error, TimeoutError):
        return f"the application at {path} gives no answer within {_PATIENCE:g} s: is it blocked?"
    return f"{path} can't be asked: {error.strerror or error}"


def _open(path: Path) -> tuple[socket.socket, Inode]:
    """Listen at *path*, and say which file that is.

    Raises:
        DeclarationError: It is in use, or can't be made.
    """
    try:
        if path.parent == place(Path(path.name)).parent:
            _make_private(path.parent)
        with _alone_in(path.parent):
            _make_way(path)
            return _listen(path)
    except OSError as error:
        raise DeclarationError(
            f"inspect={str(path)!r} can't be made: {error.strerror or error}; choose another path"
        ) from error


def _listen(path: Path) -> tuple[socket.socket, Inode]:
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        # Nobody can connect until it listens, so it is never open to others. A umask would do too,
        # but it is the whole process's, and threads may be making files.
        path.chmod(_PRIVATE)
        listener.listen()
        listener.setblocking(False)
        return listener, _inode(path)
    except BaseException:
        listener.close()
        raise


@contextmanager
def _alone_in(directory: Path) -> Generator[None]:
    """Keep other processes from choosing the same path between the look at it and the binding.

    Where others may enter, they could keep us waiting for ever: there nothing is locked.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if _is_ours_alone(os.fstat(descriptor)):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_private(directory: Path) -> None:
    """Make the private folder, unless it is there; refuse one that somebody else has put there."""
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    if not _is_ours_alone(directory.lstat()):
        raise DeclarationError(
            f"the folder {str(directory)!r} is not yours alone; remove it, or choose a path for"
            " inspect= that has a folder"
        )


def _is_ours_alone(found: os.stat_result) -> bool:
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return is_ours and not found.st_mode & _OTHERS


def _make_way(path: Path) -> None:
    """Remove the socket that a dead process left; leave alone whatever else is there."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)  # whoever lets others wait is alive
        # This raises, too, if the path is longer than that of a socket may be.
        failure = client.connect_ex(str(path))
    if failure == errno.ENOENT:
        return
    if not path.is_socket():
        raise DeclarationError(f"inspect={str(path)!r} is no socket; choose another path")
    if failure != errno.ECONNREFUSED:
        raise DeclarationError(f"inspect={str(path)!r} is in use by a process; choose another path")
    path.unlink(missing_ok=True)


def _inode(path: Path) -> Inode:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _remove(path: Path, ours: Inode) -> None:
    """Remove the socket, unless somebody has put another one in its place."""
    if os.path.lexists(path) and _inode(path) == ours:
        path.unlink(missing_ok=True)
