"""Messages that are handled several at a time: how batches are made, and how one of them ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeGuard, TypeVar

from callboard._errors import BatchError, BatchUnclear, CallboardError, IgnoredException
from callboard.handle._failures import note_failure
from callboard.handle._outcome import Verdicts
from callboard.handle._parts import parts_of, size_of
from callboard.handle._worker import Worker
from callboard.instruments import Outcome
from callboard_actors import isolated
from callboard_brokers import BatchDelivery, BatchMessage, Delivery, Settlement

D = TypeVar("D", bound=Delivery)


class Batcher:
    """Puts deliveries together: at most *size*, and only such as *group* gives the same for.

    Pure: it neither waits nor settles. Within a group the order of arrival is kept.
    """

    def __init__(self, size: int, patience: float, group: Callable[[Delivery], Hashable]) -> None:
        self.patience = patience
        """Seconds for which a batch that has begun waits to be filled."""
        self._size = size
        self._group = group
        self.ready: deque[BatchDelivery] = deque()
        """Batches that wait to be handed over."""
        self.bytes = 0
        """Of all bodies that it holds, in batches that have begun or are ready."""
        self._begun: dict[Hashable, list[Delivery]] = {}

    def add(self, deliveries: Sequence[Delivery]) -> None:
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


class InvalidParts(BatchError):
    """Some messages of a batch are not valid: found before the handler is called with any."""


class BatchWorker(Worker):
    """Handles batches one after another.

    Messages that are not valid are found first, and each is decided upon by itself; the handler is
    called with the others. If it fails, so do all of them, unless it *splits*: then halves of them
    are tried, and halves of these, until the messages are found that fail alone. A handler that
    knows which have failed raises `BatchError`, or returns exceptions in the places of results, and
    is not called again. If nobody can know what it means by that, all of them have failed.
    """

    __slots__ = ("_settles", "_splits", "_verdicts")

    def __init__(
        self,
        settles: Callable[[Exception | None], Settlement | None],
        verdicts: Verdicts,
        *,
        splits: bool,
        **steps: Any,
    ) -> None:
        super().__init__(**steps)
        self._settles = settles
        self._verdicts = verdicts
        self._splits = splits

    async def receive(self, delivery: Delivery) -> None:
        """Handle, then finish: see `Worker`."""
        if handled := self._failed.pop(delivery, None):
            # Not the one in hand: that would be settled, though its parts are kept, and given back.
            await self._resume(self._bind(BatchDelivery(parts_of(delivery))), handled)
            return
        # A crash may come after a half of it was settled.
        if left := [part for part in parts_of(delivery) if not part.settled]:
            await self._try(left)
        self._keeper.end()

    async def fail(self, delivery: Delivery, error: Exception) -> None:
        """Finish a delivery that has failed with *error*, which the actor has survived."""
        await self._fail(parts_of(delivery), error)
        self._keeper.end()

    def _bind(self, batch: D) -> D:
        for each in (batch.message, *(part.message for part in parts_of(batch))):
            each.binding = self._keeper
        return batch

    async def _try(self, parts: Sequence[Delivery]) -> None:
        """Handle *parts*, and what of them is to be tried again: that finds nothing of this call."""
        for again in await isolated(self._attempt(parts)):
            left = [part for part in again if not part.settled]
            if left:
                await self._try(left)

    async def _attempt(self, parts: Sequence[Delivery]) -> Sequence[Sequence[Delivery]]:
        """Handle *parts* once; return those that are to be tried again, by calls."""
        message = self._bind(BatchDelivery(parts)).message
        try:
            outcome, failures = await self._call(message)
        except InvalidParts as error:
            await self._finish_parts(parts, error.failures, None)
            return [[part for n, part in enumerate(parts) if n not in error.failures]]
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is decided upon here
            return await self._divide(parts, error)
        await self._finish_parts(parts, failures, outcome)
        return []

    async def _call(self, message: BatchMessage[Any]) -> tuple[Outcome, Mapping[int, Exception]]:
        """Call the handler; return what follows, and which messages it says have failed."""
        count = len(message.parts)
        try:
            result = await self._handle(message)
        except InvalidParts:
            raise
        except BatchError as error:
            return Outcome(self._settles(None)), named_by(error, count)
        failures = failed_in(result, count)
        if failures:
            kept = [part for n, part in enumerate(message.parts) if n not in failures]
            result = _without(failures, result)
            message = BatchMessage(kept) if kept else message
        return self._conclude(message, result), failures

    async def _divide(
        self, parts: Sequence[Delivery], error: Exception
    ) -> Sequence[Sequence[Delivery]]:
        """Fail *parts*; or return halves, if that is asked for and can make a difference."""
        middle = len(parts) // 2
        alike = isinstance(error, IgnoredException) or self._settles(error) in (
            None,
            Settlement.ACK,
        )
        if not self._splits or not middle or alike:
            await self._fail(parts, error)
            return []
        return [parts[:middle], parts[middle:]]

    async def _fail(self, parts: Sequence[Delivery], error: Exception) -> None:
        """Decide once for all of *parts* together that are of one fate: some may have more tries left."""
        fates: dict[object, list[Delivery]] = {}
        for part in parts:
            note_failure(part)
            verdict = self._verdicts(part.message, error)
            fates.setdefault((verdict.settlement, verdict.stays), []).append(part)
        for alike in fates.values():
            failed = alike[0] if len(alike) == 1 else BatchDelivery(alike)
            await self._finish(failed, self._decide(failed.message, error))

    async def _finish_parts(
        self,
        parts: Sequence[Delivery],
        failures: Mapping[int, Exception],
        outcome: Outcome | None,
    ) -> None:
        """Fail each part that is among *failures*; end the others with *outcome*, if there is one."""
        for index, part in enumerate(parts):
            if index in failures:
                await self._fail([part], failures[index])
        rest = [part for index, part in enumerate(parts) if index not in failures]
        if rest and outcome is not None:
            await self._finish(BatchDelivery(rest), outcome)


def named_by(error: BatchError, count: int) -> Mapping[int, Exception]:
    """Return which of *count* messages have failed.

    Raises:
        BatchUnclear: *error* names none, or such as are not in the batch.
    """
    failures: Mapping[Any, Any] = error.failures
    places = range(count)
    if failures and all(place in places for place in failures):
        return {place: _failure(each) for place, each in failures.items()}
    named = ", ".join(map(repr, failures)) or "nothing"
    raise BatchUnclear(
        f"BatchError names {named:.80} of a batch of {count}, whose places are numbered from 0; so"
        " all of it has failed"
    ) from error


def failed_in(result: object, count: int) -> Mapping[int, Exception]:
    """Return which of *count* messages have exceptions in the places of their results.

    Raises:
        Exception: It stands there in the place of all results.
        BatchUnclear: There are exceptions, but it can't be said of which messages.
    """
    if isinstance(result, BaseException):
        raise _failure(result)
    if not _is_collection(result):
        return {}
    given = result.values() if isinstance(result, Mapping) else result
    errors = {n: each for n, each in enumerate(given) if isinstance(each, BaseException)}
    if errors and not (isinstance(result, Sequence) and len(result) == count):
        raise BatchUnclear(
            f"{len(errors)} exceptions are in a {type(result).__name__} of {len(result)} results,"
            f" for a batch of {count}: nobody knows of which messages they are, so all of it has"
            " failed"
        ) from next(iter(errors.values()))
    return {n: _failure(error) for n, error in errors.items()}


def _is_collection(
    result: object,
) -> TypeGuard[Sequence[object] | AbstractSet[object] | Mapping[object, object]]:
    is_text = isinstance(result, str | bytes)
    return isinstance(result, Sequence | AbstractSet | Mapping) and not is_text


def _failure(error: object) -> Exception:
    """Return *error*; something that is not raised for a failure, such as a cancellation, in one."""
    if isinstance(error, Exception):
        return error
    failure = CallboardError(f"its result is {type(error).__name__}")
    failure.__cause__ = error if isinstance(error, BaseException) else None
    return failure


def _without(failures: Mapping[int, Exception], result: Any) -> list[object]:
    return [each for n, each in enumerate(result) if n not in failures]
