"""What tests of actors need: virtual time, probes, crashes on demand, a look for leaks."""

from __future__ import annotations

from ._clock import virtual_backend
from ._probe import Probe, crash, probe
from ._tasks import idle, leak_check

__all__ = ["Probe", "crash", "idle", "leak_check", "probe", "virtual_backend"]
