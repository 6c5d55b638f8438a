"""A newer RabbitMQ under trial: the one that `make brokers-up` unpacks beside the machine's own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .rabbit import RabbitKind

__all__ = ["KIND"]

_ROOT: Final = Path(__file__).parents[2] / ".brokers" / "rabbit-newer" / "usr" / "lib"
KIND: Final = RabbitKind("rabbit_newer", _ROOT / "rabbitmq" / "bin", _ROOT / "erlang" / "bin")
