"""Types by which handlers ask for what is around them on Apache Kafka."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from callboard.annotations import ContextRepo, Logger, NoCast
from callboard_brokers.kafka import KafkaMessage as _KafkaMessage
from callboard_di import Context

from ._broker import KafkaBroker as _KafkaBroker

__all__ = ["ContextRepo", "KafkaBroker", "KafkaMessage", "Logger", "NoCast"]

KafkaBroker: TypeAlias = Annotated[_KafkaBroker, Context("broker")]
"""The broker that the message came by."""
KafkaMessage: TypeAlias = Annotated[_KafkaMessage, Context("message")]
"""The message itself."""
