"""Dependency injection planned once and run per message.

Everything that can be known from signatures is found out when a function is declared;
what is left for a message is a handful of calls.
"""

from __future__ import annotations

from ._errors import InjectionError, MissingValue, PlanError, SwallowedError, UnknownName
from ._markers import EMPTY, Context, Depends, Header, NoCast, Path
from ._overrides import Overrides
from ._plan import Body, Plan, plan
from ._resolver import Caster, Getter, Resolver
from ._signature import BodyParameter, Callee, Identity, read, unaliased

__all__ = [
    "EMPTY",
    "Body",
    "BodyParameter",
    "Callee",
    "Caster",
    "Context",
    "Depends",
    "Getter",
    "Header",
    "Identity",
    "InjectionError",
    "MissingValue",
    "NoCast",
    "Overrides",
    "Path",
    "Plan",
    "PlanError",
    "Resolver",
    "SwallowedError",
    "UnknownName",
    "plan",
    "read",
    "unaliased",
]

# In tracebacks they have the name by which they are imported.
for _name in __all__:
    if isinstance(_each := globals()[_name], type) and issubclass(_each, BaseException):
        _each.__module__ = __name__
