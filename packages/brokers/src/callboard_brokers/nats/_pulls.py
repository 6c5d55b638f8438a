"""How many messages the server was asked for and has not sent."""

from __future__ import annotations

import json
from typing import Final

from callboard_brokers._port import Capacity

HEARTBEAT: Final = 5.0
"""Seconds after which a server that has nothing says so."""
_EXPIRES: Final = 30.0


class Pulls:
    """The requests that are open. Together they ask for no more than there is room for."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._number = 0
        self._asked: dict[int, int] = {}
        self._alone = False

    @property
    def open(self) -> bool:
        """Whether an answer is due."""
        return bool(self._asked)

    def ask(self, wanted: int, unseen: int, *, empty: bool) -> tuple[int, bytes] | None:
        """Return the number and the words of a request for what of *wanted* is not asked for yet.

        So many that have come are *unseen* in it. None: too little is lacking, or what comes next
        has to wait until there is nothing else, the room is *empty*.
        """
        if self._alone:
            wanted = min(wanted, 1) if empty else 0
        lacking = wanted - unseen - sum(self._asked.values())
        if lacking <= 0 or 2 * lacking < wanted:
            return None
        self._number += 1
        self._asked[self._number] = lacking
        words = {
            "batch": lacking,
            "expires": round(_EXPIRES * 1e9),
            "idle_heartbeat": round(HEARTBEAT * 1e9),
        }
        if not self._alone:
            words["max_bytes"] = self._capacity.bytes
        return self._number, json.dumps(words).encode()

    def came(self, messages: int) -> None:
        """Take so many *messages* off what is asked for, the oldest requests first."""
        self._alone = False
        for number, asked in [*self._asked.items()]:
            if asked > messages:
                self._asked[number] = asked - messages
                return
            messages -= asked
            del self._asked[number]

    def end(self, number: bytes, *, alone: bool) -> None:
        """Take notice that a request is over; the next message goes *alone*, as it is too large."""
        self._asked.pop(int(number) if number.isdigit() else 0, None)
        self._alone = self._alone or alone

    def forget(self) -> None:
        """Take notice that all are void."""
        self._asked.clear()
