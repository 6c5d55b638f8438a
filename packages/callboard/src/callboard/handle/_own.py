"""Parsers and decoders of the user's own: in the place of what is done with records and bodies."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from functools import partial
from typing import Any, Final, TypeAlias

from callboard.handle._batch import InvalidParts
from callboard.handle._envelope import decoded
from callboard.handle._outcome import Conclude
from callboard.handle._parts import is_batch
from callboard.instruments import Handle
from callboard_brokers import UNDECODED, BatchMessage, Message
from callboard_validation import OWN, Codec, DefinitionError, Serializer, caster, decoder

Own: TypeAlias = Callable[..., Awaitable[Any]]
"""A function of one or two arguments as one of two, the second being what is done without it."""
_GIVEN: Final = "application/x-callboard-given"


def own(function: Callable[..., Any]) -> Own:
    """Return *function* as one that is given the original too, and awaited."""
    takes = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]

    async def call(given: Any, original: Callable[[Any], Awaitable[Any]]) -> Any:
        result = function(given, original) if len(takes) > 1 else function(given)
        return await result if inspect.isawaitable(result) else result

    return call


async def parsed(parse: Own, message: Message) -> Message:
    """Return what *parse* makes of the record of *message*; of a batch, of each.

    Raises:
        InvalidParts: It fails for some of a batch.
    """
    if is_batch(message):
        return await of_parts(partial(parsed, parse), message)

    async def original(_: object) -> Message:
        return message

    made: object = await parse(message.raw_message, original)
    if not isinstance(made, Message):
        raise TypeError(f"the parser has made {made!r}, which is no message")
    done: Message = made  # pyright: ignore[reportUnknownVariableType] - isinstance can't say of what
    done.delivery, done.binding = message.delivery, message.binding
    done.address = done.address or message.address
    done.key = message.key if done.key is None else done.key
    return done


async def of_parts(
    make: Callable[[Message], Awaitable[Message]], batch: BatchMessage[Any]
) -> BatchMessage[Any]:
    """Return the batch of what *make* makes of each part.

    Raises:
        InvalidParts: It fails for some: nobody else is to fail for them.
    """
    parts: list[Message] = []
    failures: dict[int, Exception] = {}
    for place, part in enumerate(batch.parts):
        try:
            parts.append(await make(part))
        except Exception as error:  # noqa: BLE001 - what is the user's own may raise anything
            failures[place] = error
    if failures:
        raise InvalidParts(failures)
    made = BatchMessage(parts)
    made.delivery, made.binding = batch.delivery, batch.binding
    return made


def seen_as(seen: Message | None, message: Message) -> Message:
    """Return what the user's own has made of *message*; of a batch, of what is left of it."""
    if seen is None or not is_batch(seen) or not is_batch(message):
        return seen or message
    left = [part.delivery for part in message.parts]
    return BatchMessage([part for part in seen.parts if part.delivery in left])


class Parsing:
    """Has the messages of one worker parsed by *parse* before they are handled.

    What follows from a message follows from what was made of it; what is settled, or becomes a dead
    letter, is the message as it came.
    """

    def __init__(self, parse: Own) -> None:
        self._parse = parse
        self._parsed: Message | None = None

    def around(self, handle: Handle) -> Handle:
        """Put it around what handles messages."""

        async def parse(message: Message) -> object:
            self._parsed = None
            self._parsed = await parsed(self._parse, message)
            return await handle(self._parsed)

        return parse

    def concluding(self, conclude: Conclude) -> Conclude:
        """Let *conclude* see what was made of the message."""
        return lambda message, result: conclude(seen_as(self._parsed, message), result)


class Reader:
    """Makes values of bodies: by content type, or as what the user has given for it does.

    Attributes:
        codec: What decodes by content type.
        decode: The user's own; None: there is none.
    """

    def __init__(self, layers: Sequence[object]) -> None:
        """Go by the nearest of *layers*, the nearest first, that says anything."""
        codecs = [getattr(layer, "codec", None) for layer in layers]
        decoders = [getattr(layer, "decoder", None) for layer in layers]
        self.codec = next((each for each in codecs if isinstance(each, Codec)), Codec())
        self.decode: Own | None = None
        for codec, decode in zip(codecs, decoders, strict=True):
            if decode is not None:
                self.decode = own(decode)
            elif codec is not None and not isinstance(codec, Codec):
                self.decode = own(partial(codec.decode))
            if (codec, decode) != (None, None):
                break

    def read(self, message: Message, as_: Any = UNDECODED) -> object:
        """Return the value of *message*, of a batch a list of them; or what brings it."""
        if self.decode is None:
            if is_batch(message):
                return [decoded(part, self.codec, as_) for part in message.parts]
            return decoded(message, self.codec, as_)
        if is_batch(message):
            return self._each(message.parts, as_)
        return self.decode(message, self._original) if as_ is UNDECODED else self._as(message, as_)

    async def _each(self, parts: Sequence[Message], as_: Any) -> list[object]:
        return [
            await (part.decode() if as_ is UNDECODED else self._as(part, as_)) for part in parts
        ]

    async def _as(self, message: Message, as_: Any) -> object:
        await message.decode()
        return of_value(partial(as_it_is, as_))(message)

    async def _original(self, message: Message) -> object:
        return decoded(message, self.codec)


class Viewing:
    """How one handler of several sees messages: as its own parser and decoder make them."""

    def __init__(self, reader: Reader, parser: Callable[..., Any] | None) -> None:
        self._reader = reader
        self._parse = None if parser is None else own(parser)

    async def __call__(self, message: Message) -> Message:
        """Return *message* as the handler sees it."""
        if is_batch(message):
            return await of_parts(self, message)
        seen = copy(message) if self._parse is None else await parsed(self._parse, message)
        seen.binding = _Seen(self._reader, message)
        return seen


class _Seen:
    """Reads a message as one handler does, and lets its subscription reject it."""

    def __init__(self, reader: Reader, came: Message) -> None:
        self.decode = reader.read
        self._came = came

    async def reject(self, message: Message, /) -> None:
        del message
        await self._came.reject()


def decoded_first(handle: Handle) -> Handle:
    """Decode a message before *handle*, which reads its value; of a batch, each by itself."""

    async def value(part: Message) -> Message:
        await part.decode()
        return part

    async def decode(message: Message) -> object:
        await (of_parts(value, message) if is_batch(message) else message.decode())
        return await handle(message)

    return decode


def of_value(make: Callable[[Codec], Callable[[Any, str], Any]]) -> Callable[[Message], Any]:
    """Return what reads from a decoded message what *make* reads from bodies, by a codec."""
    codec = Codec().with_content_type(_GIVEN, _unsent, _given)
    read = make(codec)
    return lambda message: read((message.value(),), _GIVEN)


def _given(box: Any) -> object:
    [value] = box
    return value


def _unsent(value: object) -> bytes:
    raise TypeError(f"{value!r} is not to be sent")


def as_it_is(
    annotation: Any, codec: Codec, serializer: Serializer = OWN
) -> Callable[[Any, Any], Any]:
    """Return the decoder of *annotation*, which takes bytes for what they are.

    What is made by the user's own need be of no type that a library knows: it is checked by its class.
    """
    if annotation is bytes:
        return lambda box, _: _given(box)
    try:
        return decoder(annotation, codec, serializer)
    except DefinitionError:
        cast = caster(annotation, serializer)
        return lambda box, _: cast(_given(box))
