"""Metrics of messages, and of the tree that handles them, for Prometheus.

`Prometheus` is an instrument: give it to brokers as `instruments=[...]`. It counts in numbers of
its own, which cost little for a message, and turns them into metrics when it is scraped.
"""

from __future__ import annotations

from callboard._absent import tells
from callboard.prometheus._instrument import Prometheus, Watched

__all__ = ["Prometheus", "Watched"]
tells(globals())
