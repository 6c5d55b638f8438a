"""What a handler returns to say more than a body, and what a middleware sees leave."""

from __future__ import annotations

from .declare._command import BatchPublishCommand, PublishCommand, PublishType
from .handle._envelope import Response, ensure_response

__all__ = [
    "BatchPublishCommand",
    "PublishCommand",
    "PublishType",
    "Response",
    "ensure_response",
]
