"""How messages are written for Redis, for whoever writes or reads some by a client of his own."""

from __future__ import annotations

import json
from collections.abc import Sequence

from callboard_brokers import Unpublishable
from callboard_brokers.kit import Pair
from callboard_brokers.redis import BinaryMessageFormatV1, MessageFormat

__all__ = ["BinaryMessageFormatV1", "JSONMessageFormat", "MessageFormat"]


class JSONMessageFormat(MessageFormat):
    """`{"data": ..., "headers": {...}}`: for readers in other languages; bodies are texts."""

    @classmethod
    def pack(cls, body: bytes, pairs: Sequence[Pair], address: str) -> bytes:
        """Return the envelope.

        Raises:
            Unpublishable: Something is no text.
        """
        try:
            headers = {name: (value or b"").decode() for name, value in pairs}
            return json.dumps({"data": body.decode(), "headers": headers}).encode()
        except UnicodeDecodeError as error:
            raise Unpublishable(
                f"cannot write a message for {address!r} in JSON, which carries texts only: {error};"
                " give message_format=BinaryMessageFormatV1"
            ) from error
