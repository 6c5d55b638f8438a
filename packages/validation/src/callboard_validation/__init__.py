"""Codecs by content type and validators for pydantic, msgspec and plain types."""

from __future__ import annotations

from ._codec import JSON, Codec, Encoded
from ._decoder import Caster, Decoder, caster, decoder
from ._encoder import Encoder, encoder
from ._errors import (
    DecodeError,
    DefinitionError,
    EncodeError,
    Failure,
    ValidationError,
    ValidationFailed,
)
from ._schema import json_schema, spread_json_schema
from ._spread import Parameter, SpreadDecoder, spread_decoder

__all__ = [
    "JSON",
    "Caster",
    "Codec",
    "DecodeError",
    "Decoder",
    "DefinitionError",
    "EncodeError",
    "Encoded",
    "Encoder",
    "Failure",
    "Parameter",
    "SpreadDecoder",
    "ValidationError",
    "ValidationFailed",
    "caster",
    "decoder",
    "encoder",
    "json_schema",
    "spread_decoder",
    "spread_json_schema",
]
