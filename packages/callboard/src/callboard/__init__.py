"""Stream processing in which every subscriber is a supervised actor with a bounded mailbox."""

from __future__ import annotations

from callboard_actors import (
    ActorCrash,
    ActorError,
    Backoff,
    Decision,
    Escalate,
    ExitReason,
    ForeignCancellation,
    GaveUp,
    StopActor,
    Supervision,
)
from callboard_brokers import BrokerError, Message, RequestTimeout
from callboard_di import Context, Depends, Header, InjectionError, NoCast, Path
from callboard_validation import Codec, DecodeError, EncodeError, ValidationError, ValidationFailed

from ._broker import Broker
from ._context import ContextRepo
from ._errors import (
    AckMessage,
    BatchError,
    BatchUnclear,
    CallboardError,
    DeclarationError,
    NackMessage,
    NotRunning,
    Quarantined,
    RejectMessage,
    RequestFailed,
    SetupError,
    SkipMessage,
    StopApplication,
    StopTimedOut,
)
from .annotations import Logger
from .app._app import App
from .declare._handler import Handler
from .declare._options import Middleware
from .declare._policy import AckPolicy
from .declare._publisher import Publisher
from .declare._router import Router
from .declare._subscriber import Subscriber
from .events import Event
from .handle._envelope import Response
from .instruments import Handle
from .memory import MemoryBroker, TestMemoryBroker
from .testing import TestApp, TestBroker

__all__ = [
    "AckMessage",
    "AckPolicy",
    "ActorCrash",
    "ActorError",
    "App",
    "Backoff",
    "BatchError",
    "BatchUnclear",
    "Broker",
    "BrokerError",
    "CallboardError",
    "Codec",
    "Context",
    "ContextRepo",
    "Decision",
    "DeclarationError",
    "DecodeError",
    "Depends",
    "EncodeError",
    "Escalate",
    "Event",
    "ExitReason",
    "ForeignCancellation",
    "GaveUp",
    "Handle",
    "Handler",
    "Header",
    "InjectionError",
    "Logger",
    "MemoryBroker",
    "Message",
    "Middleware",
    "NackMessage",
    "NoCast",
    "NotRunning",
    "Path",
    "Publisher",
    "Quarantined",
    "RejectMessage",
    "RequestFailed",
    "RequestTimeout",
    "Response",
    "Router",
    "SetupError",
    "SkipMessage",
    "StopActor",
    "StopApplication",
    "StopTimedOut",
    "Subscriber",
    "Supervision",
    "TestApp",
    "TestBroker",
    "TestMemoryBroker",
    "ValidationError",
    "ValidationFailed",
]
