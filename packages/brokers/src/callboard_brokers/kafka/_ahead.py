"""What is done beyond a committed position, as the text that Kafka keeps beside the position.

One bit for each offset from the position on, packed by zlib: that is small for one straggler among
thousands as well as for any mixture, since 24 000 bits fit even if nothing can be packed. The
position stands in front: who moves a position, be it by a tool or by copying it to another cluster,
may take the text along, and it must not be believed then.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Collection, Sequence
from typing import Final

LIMIT: Final = 4096
"""Characters: what a server takes, unless its `offset.metadata.max.bytes` says otherwise."""

_FORM: Final = re.compile(r"callboard\.1:(\d{1,19}):([A-Za-z0-9+/]+={0,2})")
_BYTES: Final = 2**15
"""Of bits at most: a text may come from anybody, and must not unpack to gigabytes."""


def encode(position: int, ahead: Sequence[int], limit: int = LIMIT) -> str:
    """Return at most *limit* characters that say which offsets beyond *position* are done.

    *ahead* is in growing order. What does not fit is left out, from the end: it comes again.
    """
    if not ahead:
        return ""
    bits = bytearray(min(_BYTES, (ahead[-1] - position) // 8 + 1))
    for offset in ahead:
        byte, bit = divmod(offset - position, 8)
        if byte >= _BYTES:
            break
        bits[byte] |= 1 << bit
    while bits:
        packed = b64encode(zlib.compress(bits, 9)).decode()
        text = f"callboard.1:{position}:{packed}"
        if len(text) <= limit:
            return text
        del bits[len(bits) * 3 // 4 :]
    return ""


def decode(position: int, text: str | None) -> Collection[int]:
    """Return the offsets that *text* says are done; none if it is not ours, or of elsewhere."""
    found = _FORM.fullmatch(text or "")
    if found is None or int(found[1]) != position:
        return ()
    try:
        unpacking = zlib.decompressobj()
        bits = unpacking.decompress(b64decode(found[2]), _BYTES)
    except (ValueError, zlib.error):
        return ()
    if not unpacking.eof:
        return ()
    return {
        position + 8 * number + bit
        for number, byte in enumerate(bits)
        if byte
        for bit in range(8)
        if byte >> bit & 1
    }
