"""AsyncAPI documents from plain descriptors and JSON Schemas, pages made of them, and what changes."""

from ._bindings import (
    AmqpExchange,
    AmqpPlace,
    AmqpQueue,
    AmqpUse,
    Bindings,
    KafkaReading,
    KafkaTopic,
    NatsSubject,
    RedisPlace,
)
from ._check import Problem, check, official_schema
from ._compare import Change, compare
from ._descriptors import (
    Channel,
    Contact,
    ExternalDocs,
    Info,
    License,
    Message,
    MessageExample,
    Operation,
    Parameter,
    Reply,
    Server,
    Tag,
    Variable,
)
from ._document import VERSIONS, check_version, document
from ._errors import (
    AsyncApiError,
    DescriptorError,
    DocumentError,
    ExtraMissingError,
    VersionError,
)
from ._export import to_json, to_yaml
from ._page import page

__all__ = [
    "VERSIONS",
    "AmqpExchange",
    "AmqpPlace",
    "AmqpQueue",
    "AmqpUse",
    "AsyncApiError",
    "Bindings",
    "Change",
    "Channel",
    "Contact",
    "DescriptorError",
    "DocumentError",
    "ExternalDocs",
    "ExtraMissingError",
    "Info",
    "KafkaReading",
    "KafkaTopic",
    "License",
    "Message",
    "MessageExample",
    "NatsSubject",
    "Operation",
    "Parameter",
    "Problem",
    "RedisPlace",
    "Reply",
    "Server",
    "Tag",
    "Variable",
    "VersionError",
    "check",
    "check_version",
    "compare",
    "document",
    "official_schema",
    "page",
    "to_json",
    "to_yaml",
]

# In tracebacks they have the name by which they are imported.
for _name in __all__:
    if isinstance(_each := globals()[_name], type) and issubclass(_each, BaseException):
        _each.__module__ = __name__
