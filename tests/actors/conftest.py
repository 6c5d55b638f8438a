"""How many examples Hypothesis tries: few by default, `--hypothesis-profile=thorough` many."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A script of starts and crashes takes as long as the machine is busy; its own time is virtual.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("quick", _PATIENT, max_examples=100)
settings.register_profile("thorough", _PATIENT, max_examples=5000)
settings.load_profile("quick")
