"""What a publisher makes of the results of the handlers that it decorates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from callboard.declare._options import PublisherOptions
from callboard.declare._publisher import result_element
from callboard.handle._envelope import Wrap, aimed, result_encoder, unencoded, wrapping
from callboard.handle._outcome import Produce
from callboard.handle._parts import is_batch
from callboard.handle._passage import Chain
from callboard.instruments import Draft, Output, Sender
from callboard_brokers import Message


def producing(  # noqa: PLR0913, PLR0917 - what a publisher says, what its broker is, and the handler
    options: PublisherOptions,
    target: Any,
    returns: object,
    identify: Callable[[], str],
    by: Sender,
    chain: Chain,
) -> Produce:
    """Return what makes outputs, to *target* and by the broker *by*, of the results of a handler.

    They leave through *chain*, encoded as it says. *returns* is the handler's annotation of them, *identify* the source of ids.
    """
    annotation = returns if options.schema is None else options.schema
    if options.batch and options.schema is None:
        annotation = result_element(returns)
    encode = result_encoder(annotation, chain.codec, chain.serializer)
    draft = chain.draft(encode)
    given = unencoded if draft is not None else encode
    wrap = wrapping(given, identify, options.headers, options.reply_to)
    if options.batch:
        return _one_by_one(wrap, by, target, draft)
    return lambda result, cause: [
        Output(by, aimed(result, target), wrap(result, cause), draft=draft)
    ]


def _one_by_one(wrap: Wrap, by: Sender, target: Any, draft: Draft | None) -> Produce:
    """Return what makes an output of each element of a result; none of None.

    Of a batch each element follows from the message in its place, if there are as many. None is a
    result without elements.
    """

    def produce(results: Any, cause: Message) -> Sequence[Output]:
        if results is None:
            return ()
        if isinstance(results, str | bytes | dict) or not isinstance(results, Iterable):
            raise TypeError(
                f"a publisher with batch=True publishes the elements of a list, not {results!r}"
            )
        elements: list[object] = [*results]
        causes: Sequence[Message] = cause.parts if is_batch(cause) else [cause]
        if len(causes) != len(elements):
            causes = [cause] * len(elements)
        return [
            Output(by, aimed(each, target), wrap(each, its), "result", its, draft=draft)
            for each, its in zip(elements, causes, strict=True)
        ]

    return produce
