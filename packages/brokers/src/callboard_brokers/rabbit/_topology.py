"""Exchanges, queues and bindings: had there, in order, and told what is missing or different."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from callboard_brokers._errors import BrokerError, ConnectionLost, TopologyError
from callboard_brokers.kit import brief
from callboard_brokers.rabbit._client import ClientChannel, Wire, errors
from callboard_brokers.rabbit._queues import ExchangeType, RabbitExchange, RabbitQueue
from callboard_brokers.rabbit._records import RabbitSource, RabbitTarget

Step: TypeAlias = tuple[str, Callable[[ClientChannel], Coroutine[Any, Any, object]]]
"""What is to be there, and how to have it."""


async def have(wire: Wire, steps: Iterable[Step]) -> None:
    """Do all *steps*.

    Raises:
        TopologyError: Something is missing, or different; all of that is named.
        AccessRefused: We may not.
        ConnectionLost: The connection has gone; or a queue is somebody else's, maybe our own
            until the server notices that our last connection is dead.
    """
    wrong: dict[str, str] = {}
    channel = await wire.channel()
    for name, step in steps:
        if channel.is_closed:  # every refusal ends it
            channel = await wire.channel()
        try:
            await wire.ask(step(channel), name)
        except BrokerError as error:
            wrong[name] = _verdict(wire, name, error)
    if not channel.is_closed:
        await wire.ask(channel.close(), "closing a channel")
    if wrong:
        told = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        raise TopologyError(f"not everything is there as it was to be: {told}", [*wrong])


def _verdict(wire: Wire, name: str, error: BrokerError) -> str:
    """Return what is wrong with what is called *name*; raise if that is no answer, or the last."""
    why = error.__cause__
    if wire.frames.code in _ENDS:  # nothing more can be asked on this connection
        raise TopologyError(f"{name}: {_advised(wire.frames.reason)}", [name]) from error
    if isinstance(why, errors.ChannelLockedResource):
        raise ConnectionLost(f"{name} is exclusive: {brief(why)}") from why
    if not isinstance(why, _WRONG):
        raise error
    return _advised(brief(why))


def _advised(reason: str) -> str:
    """Return the server's *reason*, and what to do where that is plain."""
    plugin = next((plugin for kind, plugin in _PLUGINS.items() if f"type '{kind}'" in reason), None)
    if plugin is None or "unknown exchange type" not in reason:
        return reason
    return f"{reason}; the server has it by its plugin {plugin}, which has to be enabled there"


_WRONG = (errors.ChannelNotFoundEntity, errors.ChannelPreconditionFailed)
_PLUGINS = {
    ExchangeType.X_DELAYED_MESSAGE: "rabbitmq_delayed_message_exchange (delay= needs none)",
    ExchangeType.X_CONSISTENT_HASH: "rabbitmq_consistent_hash_exchange",
    ExchangeType.X_MODULUS_HASH: "rabbitmq_sharding",
}
_ENDS = (503, 540)
"""What the server closes the connection with for an exchange of a type that it does not know."""


def looking_for(target: RabbitTarget) -> list[Step]:
    """Return how to see whether *target* is there."""
    if target.through:
        return _exchange(RabbitExchange(target.through, declare=False))
    return [_queue(RabbitQueue(target.key, declare=False))]


def steps_of(sources: Sequence[RabbitSource], targets: Sequence[RabbitTarget]) -> list[Step]:
    """Return what these need, in order, each once."""
    steps: dict[str, Step] = {}
    for source in sources:
        for step in (*_exchange(source.bound_to), _queue(source.reads), *_bound(source)):
            steps.setdefault(step[0], step)
    for target in targets:
        exchange, queue = target.exchange, target.queue
        is_ours = isinstance(exchange, RabbitExchange) and exchange.declare
        found = _exchange(exchange) if is_ours else []
        if isinstance(queue, RabbitQueue) and not target.through:
            any_will_do = queue == RabbitQueue(queue.name)  # nothing is said of it but its name
            found = [*found, _queue(queue, any_will_do=any_will_do)]
        for step in found:
            steps.setdefault(step[0], step)
    return [*steps.values()]


def _queue(queue: RabbitQueue, *, any_will_do: bool = False) -> Step:
    async def have_it(channel: ClientChannel) -> None:
        with suppress(*([errors.ChannelPreconditionFailed] if any_will_do else [])):
            await channel.queue_declare(
                queue.name,
                passive=not queue.declare,
                durable=queue.durable,
                exclusive=queue.exclusive,
                auto_delete=queue.auto_delete,
                arguments=queue.declared,
            )

    return f"the queue {queue.name!r}", have_it


def _exchange(exchange: Any) -> list[Step]:
    """Return how to have *exchange*, and what it is bound to before."""
    if not isinstance(exchange, RabbitExchange) or not exchange.name:
        return []

    def have_it(channel: ClientChannel) -> Coroutine[Any, Any, object]:
        return channel.exchange_declare(
            exchange.name,
            exchange_type=str(exchange.type),
            passive=not exchange.declare,
            durable=exchange.durable,
            auto_delete=exchange.auto_delete,
            arguments=exchange.declared,
        )

    steps: list[Step] = [(f"the exchange {exchange.name!r}", have_it)]
    if (upper := exchange.bind_to) is None:
        return steps

    def bind(channel: ClientChannel) -> Coroutine[Any, Any, object]:
        given = dict(exchange.bind_arguments)
        return channel.exchange_bind(
            exchange.name, upper.name, exchange.routing_key, arguments=given
        )

    name = f"the binding of {exchange.name!r} to {upper.name!r} by {exchange.routing_key!r}"
    return [*_exchange(upper), *steps, (name, bind)]


def _bound(source: RabbitSource) -> list[Step]:
    if (exchange := source.bound_to) is None:
        return []
    queue, key, to = source.reads.name, source.binding.wildcard(), exchange.name

    def bind(channel: ClientChannel) -> Coroutine[Any, Any, object]:
        given = dict(source.reads.bind_arguments)
        return channel.queue_bind(queue, to, key, arguments=given)

    return [(f"the binding of {queue!r} to {to!r} by {key!r}", bind)]
