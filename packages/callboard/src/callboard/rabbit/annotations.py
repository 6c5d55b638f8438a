"""Types by which handlers ask for what is around them on RabbitMQ."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from callboard._absent import tells
from callboard.annotations import ContextRepo, Logger, NoCast
from callboard_brokers.rabbit import RabbitMessage as _RabbitMessage
from callboard_di import Context

from ._broker import RabbitBroker as _RabbitBroker

__all__ = ["ContextRepo", "Logger", "NoCast", "RabbitBroker", "RabbitMessage"]

RabbitBroker: TypeAlias = Annotated[_RabbitBroker, Context("broker")]
"""The broker that the message came by."""
RabbitMessage: TypeAlias = Annotated[_RabbitMessage, Context("message")]
"""The message itself."""

tells(globals())
