"""What can go wrong, and what a handler raises to decide about its message."""

from __future__ import annotations

from callboard_brokers import BrokerError, RequestTimeout, Unroutable
from callboard_di import InjectionError
from callboard_validation import DecodeError, EncodeError, Explanation, explained

from ._errors import (
    AckMessage,
    BatchError,
    BatchUnclear,
    CallboardError,
    ContextError,
    DeclarationError,
    DependencyDown,
    HandlerException,
    HandlerTimedOut,
    HasHandler,
    IgnoredException,
    NackMessage,
    NotRunning,
    Quarantined,
    RejectMessage,
    RequestFailed,
    SetupError,
    SkipMessage,
    StartupValidationError,
    StopApplication,
    StopConsume,
    StopTimedOut,
)

__all__ = [
    "AckMessage",
    "BatchError",
    "BatchUnclear",
    "BrokerError",
    "CallboardError",
    "ContextError",
    "DeclarationError",
    "DecodeError",
    "DependencyDown",
    "EncodeError",
    "Explanation",
    "FeatureNotSupportedException",
    "HandlerException",
    "HandlerTimedOut",
    "HasHandler",
    "IgnoredException",
    "IncorrectState",
    "InjectionError",
    "NackMessage",
    "NotRunning",
    "Quarantined",
    "RejectMessage",
    "RequestFailed",
    "RequestTimeout",
    "SetupError",
    "SkipMessage",
    "StartupValidationError",
    "StopApplication",
    "StopConsume",
    "StopTimedOut",
    "SubscriberNotFound",
    "explained",
]

FeatureNotSupportedException = NotImplementedError
IncorrectState = NotRunning
SubscriberNotFound = Unroutable

# In tracebacks they have the name by which they are imported.
for _each in [globals()[name] for name in __all__]:
    if getattr(_each, "__module__", "") == "callboard._errors":
        _each.__module__ = __name__
