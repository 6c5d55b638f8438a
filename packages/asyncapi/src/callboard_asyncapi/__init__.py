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

# In tracebacks they have the name by which they are imported.
for _name in __all__:
    if isinstance(_each := globals()[_name], type) and issubclass(_each, BaseException):
        _each.__module__ = __name__
