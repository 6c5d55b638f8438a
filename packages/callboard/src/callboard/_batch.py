"""Messages that are handled several at a time: how batches are made, and how one of them ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeGuard, get_args, get_origin

from callboard_brokers import BatchDelivery, BatchMessage, Delivery, Message, Settlement
from callboard_di import EMPTY, Plan

from ._errors import BatchError, ControlFlow, DeclarationError
from ._handler import where
from ._outcome import Outcome
from ._worker import Worker

__all__ = ["BatchWorker", "Batcher", "element_of", "is_batch", "parts_of", "size_of"]


class Batcher:
    """Puts deliveries together: at most *size*, and only such as *group* gives the same for.

    Pure: it neither waits nor settles. Within a group the order of arrival is kept.
    """

    def __init__(
        self, size: int, patience: float, group: Callable[[Delivery[Any]], Hashable]
    ) -> None:
        self.patience = patience
        """Seconds for which a batch that has begun waits to be filled."""
        self._size = size
        self._group = group
        self.ready: deque[BatchDelivery] = deque()
        """Batches that wait to be handed over."""
        self.bytes = 0
        """Of all bodies that it holds, in batches that have begun or are ready."""
        self._begun: dict[Hashable, list[Delivery[Any]]] = {}

    def add(self, deliveries: Sequence[Delivery[Any]]) -> None:
        """Take *deliveries*; the batches that are full now are ready."""
        self.bytes += sum(map(size_of, deliveries))
        for delivery in deliveries:
            group = self._group(delivery)
            begun = self._begun.setdefault(group, [])
            begun.append(delivery)
            if len(begun) == self._size:
                self.ready.append(BatchDelivery(self._begun.pop(group)))

    @property
    def missing(self) -> int:
        """How many deliveries are certain to fill no more than one batch."""
        return self._size - max(map(len, self._begun.values()), default=0)

    def flush(self) -> None:
        """Make ready what has begun, full or not."""
        self.ready.extend(map(BatchDelivery, self._begun.values()))
        self._begun.clear()

    def drain(self) -> list[BatchDelivery]:
        """Take out everything."""
        self.flush()
        drained = [*self.ready]
        self.ready.clear()
        self.bytes = 0
        return drained

    def take(self) -> BatchDelivery:
        """Take out the first batch that is ready."""
        batch = self.ready.popleft()
        self.bytes -= size_of(batch)
        return batch


class BatchWorker(Worker):
    """Handles batches one after another.

    A failure of a batch says nothing of its parts. So halves of it are tried, and halves of these,
    until the messages are found that fail alone: those that are not valid, or that the handler
    can't bear. Each is decided upon by itself. A handler that knows which have failed raises
    `BatchError`, or returns exceptions in the places of results, and is not called again.
    """

    __slots__ = ("_settles",)

    def __init__(
        self, settles: Callable[[Exception | None], Settlement | None], **steps: Any
    ) -> None:
        super().__init__(**steps)
        self._settles = settles

    async def receive(self, delivery: Delivery[Any]) -> None:
        """Handle, then finish: see `Worker`."""
        # A crash may come after a half of it was settled.
        left = [part for part in parts_of(delivery) if not part.settled]
        if left:
            await self._try(left)
        if self._keeper.kept:
            self._keeper.park()

    async def fail(self, delivery: Delivery[Any], error: Exception) -> None:
        """Finish a delivery that has failed with *error*, which the actor has survived."""
        await self._fail(parts_of(delivery), error)
        if self._keeper.kept:
            self._keeper.park()

    async def _fail(self, parts: Sequence[Delivery[Any]], error: Exception) -> None:
        for part in parts:
            await self._finish(part, self._decide(part.message, error))

    async def _try(self, parts: Sequence[Delivery[Any]]) -> None:
        message = BatchDelivery(parts).message
        for each in (message, *message.parts):
            each.binding = self._keeper
        try:
            result = await self._handle(message)
            failures = _failures(result, len(parts))
            if failures:
                kept = [part for n, part in enumerate(message.parts) if n not in failures]
                result = _without(failures, result)
                message = BatchMessage(kept) if kept else message
            outcome = self._conclude(message, result)
        except BatchError as error:
            await self._finish_parts(parts, error.failures, Outcome(self._settles(None)))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is decided upon here
            await self._divide(parts, error)
        else:
            await self._finish_parts(parts, failures, outcome)

    async def _divide(self, parts: Sequence[Delivery[Any]], error: Exception) -> None:
        """Try the halves of *parts*, unless all of them end alike anyway."""
        middle = len(parts) // 2
        alike = isinstance(error, ControlFlow) or self._settles(error) in (None, Settlement.ACK)
        if not middle or alike:
            await self._fail(parts, error)
            return
        for half in (parts[:middle], parts[middle:]):
            left = [part for part in half if not part.settled]
            if left:
                await self._try(left)

    async def _finish_parts(
        self, parts: Sequence[Delivery[Any]], failures: Mapping[int, Exception], outcome: Outcome
    ) -> None:
        for index, part in enumerate(parts):
            if index in failures:
                await self._fail([part], failures[index])
        rest = [part for index, part in enumerate(parts) if index not in failures]
        if rest:
            await self._finish(BatchDelivery(rest), outcome)


def size_of(delivery: Delivery[Any]) -> int:
    """Return the bytes by which a delivery, or a batch, counts against a bound."""
    return sum(len(part.message.body) for part in parts_of(delivery))


def is_batch(message: Message[Any]) -> TypeGuard[BatchMessage[Any]]:
    """Whether *message* stands for several; `isinstance` would forget of which kind."""
    return isinstance(message, BatchMessage)


def parts_of(delivery: Delivery[Any]) -> Sequence[Delivery[Any]]:
    """Return the deliveries that *delivery* is made of."""
    return delivery.parts if isinstance(delivery, BatchDelivery) else [delivery]


def element_of(planned: Plan[Any]) -> Any:
    """Return the type of one message of a batch.

    Raises:
        DeclarationError: The handler does not take a list.
    """
    body = planned.body
    annotation = body[0].annotation if body else Any
    if annotation in (Any, EMPTY, list, Sequence):
        return Any
    if planned.spread or get_origin(annotation) not in (list, Sequence):
        raise DeclarationError(
            f"{where(planned.call)} handles batches, so that it takes one list of messages, such as"
            f" list[int], not {', '.join(str(each.annotation) for each in body)}"
        )
    return get_args(annotation)[0]


def _failures(result: object, count: int) -> dict[int, Exception]:
    """Return what a handler has put in the places of results; empty: nothing has failed."""
    if not isinstance(result, list) or len(result) != count:  # pyright: ignore[reportUnknownArgumentType] - of whatever
        return {}
    results = enumerate(result)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - of whatever
    return {n: each for n, each in results if isinstance(each, Exception)}  # pyright: ignore[reportUnknownVariableType] - of whatever


def _without(failures: Mapping[int, Exception], result: Any) -> list[object]:
    return [each for n, each in enumerate(result) if n not in failures]
