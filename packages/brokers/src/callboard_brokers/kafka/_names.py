"""Records that the client can't read: the name of a header is whatever octets its sender liked.

The client takes it for UTF-8, and fails with the whole fetch, for ever, since it asks for the same
again. Its compiled reader can't be told otherwise. So it reads as before, and a batch over which it
stumbles is read once more by its own reader in Python, from octets that are lenient.

Found with aiokafka 0.14; its parts are private, and untyped.
"""
# ruff: noqa: SLF001 - see above

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, SupportsIndex

from callboard_brokers.kafka._chunks import chunks_of

_LENGTH, _HEAD = slice(8, 12), 12
"""Where a batch says how long it is, without what comes before that."""


class Records:
    """The batches of a fetch, by the client's reader of them, and *again* by that in Python."""

    def __init__(
        self, fetched: bytes, *, reader: Callable[[bytes], Any], again: Callable[[memoryview], Any]
    ) -> None:
        self._fetched = memoryview(fetched)
        self._records = reader(fetched)
        self._again = again
        self.size_in_bytes = self._records.size_in_bytes
        self.has_next = self._records.has_next
        self.in_chunks = False
        """Whether the records come so."""

    def next_batch(self) -> _Batch:
        """Return the next batch, and its octets, should they be wanted again."""
        end = _HEAD + int.from_bytes(self._fetched[_LENGTH], "big")
        octets, self._fetched = self._fetched[:end], self._fetched[end:]
        return _Batch(
            self._records.next_batch(), lambda: self._again(octets), in_chunks=self.in_chunks
        )


class _Batch:
    def __init__(self, batch: Any, again: Callable[[], Any], *, in_chunks: bool) -> None:
        self._batch = batch
        self._again = again
        self._parts: Callable[[Any], Iterator[Any]] = chunks_of if in_chunks else iter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._parts(self._batch)
        except UnicodeDecodeError:
            # From its beginning: the fetcher passes over the records that it has seen.
            yield from self._parts(_leniently(self._again()))


def _leniently(batch: Any) -> Iterator[Any]:
    batch._maybe_uncompress()
    batch._buffer = _Lenient(batch._buffer)
    return iter(batch)


class _Lenient(bytearray):
    """Octets of which every part is a text, if that is asked for."""

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        part = super().__getitem__(key)
        return _Lenient(part) if isinstance(part, bytearray) else part

    def decode(self, encoding: str = "utf-8", errors: str = "") -> str:
        del errors
        return super().decode(encoding, "backslashreplace")
