"""AsyncAPI documents from plain descriptors and JSON Schemas."""

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
from ._errors import AsyncApiError, DescriptorError, ExtraMissingError, VersionError
from ._export import to_json, to_yaml

__all__ = [
    "VERSIONS",
    "AmqpExchange",
    "AmqpPlace",
    "AmqpQueue",
    "AmqpUse",
    "AsyncApiError",
    "Bindings",
    "Channel",
    "Contact",
    "DescriptorError",
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
    "document",
    "official_schema",
    "to_json",
    "to_yaml",
]

# In tracebacks they have the name by which they are imported.
for _name in __all__:
    if isinstance(_each := globals()[_name], type) and issubclass(_each, BaseException):
        _each.__module__ = __name__
