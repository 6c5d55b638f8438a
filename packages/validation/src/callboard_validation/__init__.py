"""Codecs by content type and validators for pydantic, msgspec and plain types."""

from __future__ import annotations

from ._codec import JSON, Codec, Encoded
from ._decoder import Caster, Decoder, caster, decoder
from ._encoder import Encoder, encoder
from ._errors import (
    CodecError,
    DecodeError,
    DefinitionError,
    EncodeError,
    Explanation,
    Failure,
    explained,
)
from ._schema import json_schema, spread_json_schema
from ._serializer import OWN, MsgSpecSerializer, PydanticSerializer, Serializer
from ._spread import Parameter, SpreadDecoder, spread_decoder

__all__ = [
    "JSON",
    "OWN",
    "Caster",
    "Codec",
    "CodecError",
    "DecodeError",
    "Decoder",
    "DefinitionError",
    "EncodeError",
    "Encoded",
    "Encoder",
    "Explanation",
    "Failure",
    "MsgSpecSerializer",
    "Parameter",
    "PydanticSerializer",
    "Serializer",
    "SpreadDecoder",
    "caster",
    "decoder",
    "encoder",
    "explained",
    "json_schema",
    "spread_decoder",
    "spread_json_schema",
]

# In tracebacks they have the name by which they are imported.
for _name in __all__:
    if isinstance(_each := globals()[_name], type) and issubclass(_each, BaseException):
        _each.__module__ = __name__
