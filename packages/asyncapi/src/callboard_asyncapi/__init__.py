"""AsyncAPI documents from plain descriptors and JSON Schemas."""

from ._descriptors import (
    Channel,
    Contact,
    ExternalDocs,
    Info,
    License,
    Message,
    Operation,
    Parameter,
    Reply,
    Server,
    Tag,
)
from ._document import document
from ._errors import AsyncApiError, DescriptorError, ExtraMissingError
from ._export import to_json, to_yaml

__all__ = [
    "AsyncApiError",
    "Channel",
    "Contact",
    "DescriptorError",
    "ExternalDocs",
    "ExtraMissingError",
    "Info",
    "License",
    "Message",
    "Operation",
    "Parameter",
    "Reply",
    "Server",
    "Tag",
    "document",
    "to_json",
    "to_yaml",
]
