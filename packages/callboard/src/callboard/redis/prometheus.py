"""Metrics under the name that they have in the vocabulary for this broker."""

from __future__ import annotations

from callboard.prometheus import Prometheus

__all__ = ["RedisPrometheusMiddleware"]

RedisPrometheusMiddleware = Prometheus
