"""Names for types that stand in the signatures of handlers, middlewares and settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from ._logger import LoggerProto
from .app._hooks import Lifespan
from .declare._codec import CodecProto
from .declare._middleware import Middleware
from .declare._subscriber import Filter

__all__ = [
    "AnyCallable",
    "AsyncFunc",
    "AsyncFuncAny",
    "BrokerMiddleware",
    "CodecProto",
    "DecodedMessage",
    "Filter",
    "Lifespan",
    "LoggerProto",
    "NoneCallable",
    "PublisherMiddleware",
    "SendableMessage",
    "SettingField",
    "SubscriberMiddleware",
]

AnyCallable: TypeAlias = Callable[..., Any]
NoneCallable: TypeAlias = Callable[..., None]
AsyncFunc: TypeAlias = Callable[..., Awaitable[Any]]
AsyncFuncAny: TypeAlias = Callable[[Any], Awaitable[Any]]
BrokerMiddleware: TypeAlias = Middleware
SubscriberMiddleware: TypeAlias = Callable[[AsyncFuncAny, Any], Awaitable[Any]]
PublisherMiddleware: TypeAlias = Callable[[AsyncFuncAny, Any], Awaitable[Any]]
DecodedMessage: TypeAlias = Any
SendableMessage: TypeAlias = Any
SettingField: TypeAlias = bool | str | Sequence[bool | str]
