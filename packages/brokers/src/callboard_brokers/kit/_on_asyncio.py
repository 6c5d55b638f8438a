"""For adapters of clients that run on asyncio only: their futures, and the habits of their tasks.

Everything else in this package runs on trio as well.
"""

from __future__ import annotations

from asyncio import Future, ensure_future, get_running_loop, wait
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from anyio import create_task_group

from callboard_brokers._errors import BrokerError, ConnectionLost

T = TypeVar("T")


def on_asyncio(client: str) -> None:
    """Refuse to go on elsewhere; *client* is, for instance, "the client of Kafka".

    Raises:
        RuntimeError: The event loop is not asyncio's.
    """
    try:
        get_running_loop()
    except RuntimeError as error:
        raise RuntimeError(
            f'{client} runs on asyncio only: anyio.run(main, backend="asyncio")'
        ) from error


def heard(future: Future[Any]) -> None:
    """Ask for an error that nobody may wait for any more, so that it is not logged."""
    if not future.cancelled():
        future.exception()


async def over(future: Future[Any]) -> None:
    """Return when *future* is done; by itself it would be cancelled with whoever waits for it."""
    if not future.done():
        waiter, wake = _waiting()
        future.add_done_callback(wake)
        await waiter


async def together(calls: Sequence[Callable[[], Awaitable[object]]]) -> list[Exception | None]:
    """Do all *calls* at once; return what each has failed with."""
    # If the client cancels a future of its own, the group ends as if it were cancelled itself.
    outcomes: list[Exception | None] = [ConnectionLost("the client has given up")] * len(calls)

    async def do(number: int) -> None:
        try:
            await calls[number]()
        except Exception as error:  # noqa: BLE001 - the caller tells one from the other
            outcomes[number] = error
        else:
            outcomes[number] = None

    async with create_task_group() as tasks:
        for number in range(len(calls)):
            tasks.start_soon(do, number)
    return outcomes


async def in_time(step: Coroutine[Any, Any, object], patience: float) -> bool:
    """Whether *step* comes to a good end within *patience* seconds; then it is cancelled.

    In a task of its own, since a client may await one that it has cancelled itself: whoever waits
    for it would take that for his own cancellation.
    """
    task = ensure_future(step)
    task.add_done_callback(heard)
    await wait({task}, timeout=patience)
    if not task.done():
        task.cancel()
        await wait({task}, timeout=1.0)
    return task.done() and not task.cancelled() and task.exception() is None


class Known(Generic[T]):
    """A `Confirmation`: pending until `end`, once; what is said later changes nothing."""

    __slots__ = ("_calls", "_outcome")

    def __init__(self) -> None:
        self._outcome: tuple[T | None, BrokerError | None] | None = None
        self._calls: list[Callable[[BrokerError | None], None]] = []

    @property
    def known(self) -> bool:
        """Whether it is."""
        return self._outcome is not None

    def end(self, result: T | None, error: BrokerError | None = None) -> None:
        """Take notice of the *result*, or of the *error* in place of one; tell who waits."""
        if self._outcome is None:
            self._outcome = result, error
            calls, self._calls = self._calls, []
            for call in calls:
                call(error)

    def then(self, call: Callable[[BrokerError | None], None], /) -> None:
        """Call once with the failure, or None; at once if it is known."""
        if self._outcome is None:
            self._calls.append(call)
        else:
            call(self._outcome[1])

    async def wait(self) -> T:
        """Return the result, once it is known; else raise."""
        if self._outcome is None:
            waiter, wake = _waiting()
            self._calls.append(wake)
            await waiter
        result, error = self._outcome or (None, None)
        if error is not None:
            raise error.with_traceback(None)
        return result  # type: ignore[return-value]  # pyright: ignore[reportReturnType] - there is one without an error


def _waiting() -> tuple[Future[None], Callable[[object], None]]:
    """Return what to await, and what ends that; at a quarter of what an `anyio.Event` costs."""
    waiter: Future[None] = get_running_loop().create_future()

    def wake(_: object) -> None:
        if not waiter.done():  # whoever waited may have been cancelled
            waiter.set_result(None)

    return waiter, wake
