"""Layers that are put around a handler where they are wanted, and cost nothing where not."""

from __future__ import annotations

import logging

from callboard.declare._handler import Handler
from callboard.events import about, described
from callboard.instruments import Handle
from callboard.watch._say import say
from callboard_brokers import Message
from callboard_validation import ValidationError


def acknowledged_first(handle: Handle) -> Handle:
    """Acknowledge a message before it is handled: at most once."""

    async def acknowledge(message: Message) -> object:
        await message.ack()
        return await handle(message)

    return acknowledge


def logged(handle: Handle, name: str, logger: logging.Logger, level: int) -> Handle:
    """Write two lines for every message, if *logger* writes lines of *level* at the start."""
    if not logger.isEnabledFor(level):
        return handle

    async def log(message: Message) -> object:
        told = described(*about(message))
        say(logger, level, "%s received %s", name, told)
        result = await handle(message)
        say(logger, level, "%s processed %s", name, told)
        return result

    return log


def recorded(target: object, handle: Handle) -> Handle:
    """Let the recorder that a test broker put under a handler see every message."""
    recorder = target.recorder if isinstance(target, Handler) else None
    if recorder is None:
        return handle
    record = recorder.record

    async def remember(message: Message) -> object:
        try:
            body = await message.decode()
        except ValidationError:
            # Whether that is a failure is for the handler to say: it may have no use for a body.
            body = message.body
        record(body)
        return await handle(message)

    return remember
