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
from callboard_brokers import BrokerError, Message, RequestTimeout, SourceType
from callboard_di import Context, Depends, Header, InjectionError, NoCast, Path
from callboard_di import Overrides as Provider
from callboard_validation import (
    Codec,
    DecodeError,
    EncodeError,
    MsgSpecSerializer,
    PydanticSerializer,
)

from . import exceptions as exceptions
from ._absent import tells
from ._broker import Broker
from ._context import ContextRepo
from ._errors import (
    AckMessage,
    BatchError,
    BatchUnclear,
    CallboardError,
    DeclarationError,
    DependencyDown,
    HandlerTimedOut,
    NackMessage,
    NotRunning,
    Quarantined,
    RejectMessage,
    RequestFailed,
    SetupError,
    SkipMessage,
    StopApplication,
    StopConsume,
    StopTimedOut,
)
from .annotations import Logger
from .app._app import App
from .declare._apply import apply_types
from .declare._breaker import Breaker
from .declare._command import BatchPublishCommand, PublishCommand, PublishType
from .declare._handler import Handler
from .declare._idempotency import Idempotency
from .declare._middleware import BaseMiddleware, Middleware
from .declare._policy import AckPolicy
from .declare._publisher import Publisher
from .declare._rate import Rate
from .declare._retry import Retry
from .declare._router import Router
from .declare._subscriber import Subscriber
from .events import Event
from .handle._envelope import Response
from .handle._exceptions import ExceptionMiddleware
from .instruments import Handle
from .memory import MemoryBroker, TestMemoryBroker
from .specification import AsyncAPI
from .testing import TestApp, TestBroker

__all__ = [
    "AckMessage",
    "AckPolicy",
    "ActorCrash",
    "ActorError",
    "App",
    "AsyncAPI",
    "Backoff",
    "BaseMiddleware",
    "BatchError",
    "BatchPublishCommand",
    "BatchUnclear",
    "Breaker",
    "Broker",
    "BrokerError",
    "CallboardError",
    "Codec",
    "Context",
    "ContextRepo",
    "Decision",
    "DeclarationError",
    "DecodeError",
    "DependencyDown",
    "Depends",
    "EncodeError",
    "Escalate",
    "Event",
    "ExceptionMiddleware",
    "ExitReason",
    "ForeignCancellation",
    "GaveUp",
    "Handle",
    "Handler",
    "HandlerTimedOut",
    "Header",
    "Idempotency",
    "InjectionError",
    "Logger",
    "MemoryBroker",
    "Message",
    "Middleware",
    "MsgSpecSerializer",
    "NackMessage",
    "NoCast",
    "NotRunning",
    "Path",
    "Provider",
    "PublishCommand",
    "PublishType",
    "Publisher",
    "PydanticSerializer",
    "Quarantined",
    "Rate",
    "RejectMessage",
    "RequestFailed",
    "RequestTimeout",
    "Response",
    "Retry",
    "Router",
    "SetupError",
    "SkipMessage",
    "SourceType",
    "StopActor",
    "StopApplication",
    "StopConsume",
    "StopTimedOut",
    "StreamMessage",
    "Subscriber",
    "Supervision",
    "TestApp",
    "TestBroker",
    "TestMemoryBroker",
    "apply_types",
]

StreamMessage = Message
tells(globals())
