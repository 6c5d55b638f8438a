"""How headers travel beside a body where the server knows nothing of them: in one envelope.

Both forms are those of the vocabulary's other implementation, so that a service can be moved while
the others go on. Whatever arrives is read by its look, in either form or in none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from struct import Struct
from typing import Final, TypeAlias

from callboard_brokers._errors import Unpublishable
from callboard_brokers.kit import Pair, text_of

Read: TypeAlias = "tuple[bytes, Sequence[Pair]]"
"""A body and the headers beside it."""
_MAGIC: Final = b"\x89BIN\r\n\x1a\n"
_HEAD: Final = Struct(">8sHIIH")
"""The magic, the version, where the headers begin, where the body begins, how many headers."""
_START, _COUNT = 18, 20
_LONGEST: Final = 0xFFFF
_TYPE: Final = b"\x00\x0ccontent-type"
_REPLY: Final = b"\x00\x08reply_to"
"""Names as they stand in a table of headers, after their lengths."""


class MessageFormat:
    """How messages are written. To write another, derive from it, and override both.

    Read by `unpack`, every message is: those of others too, so it may not raise.
    """

    @classmethod
    def pack(cls, body: bytes, pairs: Sequence[Pair], address: str) -> bytes:
        """Return *body* and the headers *pairs* as they travel to *address*.

        Raises:
            Unpublishable: They can't.
        """
        raise NotImplementedError

    @classmethod
    def unpack(cls, octets: bytes) -> Read:
        """Return what `pack` was given; of what was written by others, all of it as the body."""
        return opened(octets)


class BinaryMessageFormatV1(MessageFormat):
    """A table of headers in front of the body, which may be any octets."""

    @classmethod
    def pack(cls, body: bytes, pairs: Sequence[Pair], address: str) -> bytes:
        """Return the envelope."""
        table: list[bytes] = []
        for name, value in pairs:
            for octets in (name.encode(), value or b""):
                size = len(octets)
                if size > _LONGEST:
                    raise Unpublishable(
                        f"cannot write the header {name!r:.100} for {address!r}: {size} octets are"
                        f" more than the {_LONGEST} that fit; put them into the body"
                    )
                table += size.to_bytes(2, "big"), octets
        written = b"".join(table)
        start = _COUNT + len(written)
        return _HEAD.pack(_MAGIC, 1, _START, start, len(pairs)) + written + body


def opened(octets: bytes) -> Read:
    """Return what an envelope of either form holds; what is none of them is a body."""
    if octets.startswith(_MAGIC):
        return _opened_binary(octets)
    if octets.startswith(b"{") and b'"headers"' in octets:
        return _opened_json(octets)
    return octets, ()


def body_of(octets: bytes) -> bytes:
    """Return the body alone; it costs a third of reading the headers too."""
    if octets.startswith(_MAGIC) and len(octets) >= _COUNT:
        return octets[int.from_bytes(octets[14:18], "big") :]
    return opened(octets)[0]


def type_of(octets: bytes) -> str | None:
    """Return the content type of an envelope that says it once, and first; None: read all of it.

    Every handler asks for it, and the whole table takes ten times as long.
    """
    if not octets.startswith(_MAGIC) or not octets.startswith(_TYPE, _COUNT):
        return None
    at = _COUNT + len(_TYPE)
    end = at + 2 + int.from_bytes(octets[at : at + 2], "big")
    rest = int.from_bytes(octets[14:18], "big")
    if end > rest or octets.find(_TYPE, end, rest) >= 0:
        return None
    return octets[at + 2 : end].decode(errors="replace")


def asks_nobody(octets: bytes) -> bool:
    """Whether it is an envelope that names nobody to reply to, for sure; likewise."""
    rest = int.from_bytes(octets[14:18], "big")
    return octets.startswith(_MAGIC) and octets.find(_REPLY, _COUNT, rest) < 0


def _opened_binary(octets: bytes) -> Read:
    if len(octets) < _COUNT:
        return octets, ()
    _, _, at, end, count = _HEAD.unpack_from(octets)
    at, words = at + 2, list[bytes]()
    for _ in range(2 * count):
        size = int.from_bytes(octets[at : at + 2], "big")
        words.append(octets[at + 2 : at + 2 + size])
        at += 2 + size
        if at > end:  # written by somebody else, who has counted wrongly
            return octets[end:], ()
    names = [word.decode(errors="replace") for word in words[::2]]
    return octets[end:], list(zip(names, words[1::2], strict=True))


def _opened_json(octets: bytes) -> Read:
    try:
        envelope = json.loads(octets)
    except (ValueError, RecursionError):
        return octets, ()
    if envelope.keys() != {"data", "headers"} or not isinstance(envelope["headers"], dict):
        return octets, ()  # a body like any other
    data, headers = envelope["data"], envelope["headers"]
    body = data if isinstance(data, str) else json.dumps(data)
    pairs = [(name, _text(value).encode(errors="replace")) for name, value in headers.items()]
    return body.encode(errors="replace"), pairs


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | dict) else text_of(value)
