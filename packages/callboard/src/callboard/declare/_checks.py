"""What is refused of options, whoever is told them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from callboard._caller import caller
from callboard._errors import DeclarationError
from callboard.declare._codec import CodecProto
from callboard_di import Overrides
from callboard_validation import Codec, Serializer


def check_dependencies(owner: str, dependencies: Sequence[Any]) -> None:
    """Refuse what is no `Depends` of something that can be called.

    Raises:
        DeclarationError: There is such a thing.
    """
    for each in dependencies:
        if not callable(getattr(each, "call", None)):
            shown = f"Depends({each.call!r})" if hasattr(each, "call") else repr(each)
            raise DeclarationError(
                f"the dependencies of {owner} ({caller()}) hold {shown}; write Depends(function)"
            )


def check_provider(provider: object, owner: str) -> None:
    """Refuse what can't say what stands in for dependencies.

    Raises:
        DeclarationError: It can't.
    """
    if not isinstance(provider, Overrides | None):
        raise DeclarationError(f"provider={provider!r} of {owner} must be a callboard.Provider()")


def check_serializer(serializer: object, owner: str, unset: object) -> None:
    """Refuse what can't say by which library values are validated.

    Raises:
        DeclarationError: It can't.
    """
    if serializer is not unset and not isinstance(serializer, Serializer | None):
        raise DeclarationError(
            f"serializer={serializer!r} of {owner} must be callboard.PydanticSerializer(),"
            " callboard.MsgSpecSerializer(), or None, which leaves values as they were decoded"
        )


def check_codec(owner: str, codec: object, decoder: object) -> None:
    """Refuse what is no codec, and one that decodes beside a decoder.

    Raises:
        DeclarationError: It is.
    """
    if codec is None or isinstance(codec, Codec):
        return
    if not isinstance(codec, CodecProto):
        raise DeclarationError(
            f"codec={codec!r} of {owner} must be a Codec, or have `async encode(value, serializer)`"
            " and `async decode(message)`"
        )
    if decoder is not None:
        raise DeclarationError(
            f"{owner} has codec={codec!r} and decoder={decoder!r}, which both decode; give one"
        )
