"""Types by which handlers ask for what is around them on NATS."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from callboard._absent import tells
from callboard.annotations import ContextRepo, Logger, NoCast
from callboard_brokers.nats import NatsMessage as _NatsMessage
from callboard_di import Context

from ._broker import NatsBroker as _NatsBroker

__all__ = ["ContextRepo", "Logger", "NatsBroker", "NatsMessage", "NoCast"]

NatsBroker: TypeAlias = Annotated[_NatsBroker, Context("broker")]
"""The broker that the message came by."""
NatsMessage: TypeAlias = Annotated[_NatsMessage, Context("message")]
"""The message itself."""

tells(globals())
