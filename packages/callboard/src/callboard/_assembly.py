"""What the workers of a subscription are made of: composed once, when it starts.

Nothing here runs for a message. To see what does, read `_worker.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter

from callboard_actors import concerns_actor
from callboard_brokers import (
    Confirmation,
    Delivery,
    Message,
    Settlement,
    Subscription,
    Transactional,
)
from callboard_validation import DefinitionError

from ._batch import BatchWorker
from ._dead_letter import burying
from ._envelope import content_type_of, result_encoder, wrapping
from ._errors import DeclarationError, Quarantined
from ._finish import Finish, finishing
from ._handler import where
from ._layers import acknowledged_first, logged, recorded
from ._options import BrokerOptions, Handle, Inherited, RouterOptions
from ._outcome import Answering, Conclude, concluding, deciding
from ._output import Output, Send, enlisting, routed, straight
from ._parts import is_batch, parts_of
from ._pipeline import Choice, Scope, inject, plan_of, select, wrapped
from ._policy import AckPolicy, settlement_of
from ._printable import last_words
from ._publisher import publishers_of
from ._resolver import HookResolver, MessageResolver
from ._worker import Keeper, Worker

if TYPE_CHECKING:
    from ._runtime import Runtime
    from ._subscriber import Call, Subscriber

__all__ = ["Assembly"]


class Assembly:
    """Makes the workers of one subscription, and the actors that they hand messages to.

    It is the `Binding` of the subscription's messages too: it decodes and rejects them by hand.
    """

    def __init__(self, declared: Subscriber, inherited: Inherited, runtime: Runtime) -> None:
        if not declared.calls:
            raise DeclarationError(
                f"the subscriber of {declared.source!r} decorates nothing: put it over a handler"
            )
        self._declared = declared
        self._policy = inherited.ack_policy
        self._rules = inherited.supervision.decide
        self._layers = runtime.layers
        self._broker = broker = runtime.broker
        outwards: list[RouterOptions | BrokerOptions] = [*declared.scopes, broker.options]
        self._middlewares = [*chain.from_iterable(each.middlewares for each in reversed(outwards))]
        dependencies = [each.dependencies for each in reversed(outwards)]
        self._scope = Scope(
            resolver=MessageResolver(broker.context, has_middlewares=bool(self._middlewares)),
            codec=broker.codec,
            overrides=broker.provider,
            limiter=CapacityLimiter(declared.options.max_workers),
            dependencies=[*chain(*dependencies, declared.options.dependencies)],
            batch=declared.options.batch,
        )
        self._runtime = runtime
        self._send: Send
        self._is_alone = True
        """Whether all that its handlers return leaves by their own broker."""
        self._bury = burying(
            declared.name, inherited.dead_letter, broker.letter, self._leave, broker.reporter
        )
        if inherited.dead_letter is None and not runtime.adapter.features(declared.source).buries:
            broker.reporter.graveless(declared.name)
        self._conclusions = [self._concluding(call) for call in declared.calls]
        self._functions = (
            [] if self.stateful else [inject(call.callee, self._scope) for call in declared.calls]
        )

    @property
    def stateful(self) -> bool:
        """Whether an actor class takes the messages, rather than functions."""
        return self._first.constructor is not None

    def open(self, subscription: Subscription) -> None:
        """Compose the way out of what comes by *subscription*, which may publish it itself."""
        runtime, broker = self._runtime, self._broker
        send, waits = runtime.send, False
        if isinstance(subscription, Transactional) and subscription.transactional:
            waits, told = True, broker.reporter.unanswered
            direct = straight(runtime.connection, told)
            send = runtime.composed(enlisting(subscription, runtime.connection, direct, told))
        self._send = send if self._is_alone else routed(send, broker, waits=waits)

    def worker(self, keeper: Keeper, actor: Any = None) -> Worker:
        """Return a worker for *actor*, an instance of the class; None: for the functions."""
        handles = self._functions
        if self.stateful:
            handles = [inject(replace(self._first.callee, call=actor.receive), self._scope)]
        handle, conclude = self._chosen_of(handles)
        reporter = self._broker.reporter
        report = partial(reporter.failed, self._declared.name)
        splits = self._declared.options.on_batch_error == "split"
        make = (
            partial(BatchWorker, self._settles, splits=splits)
            if self._declared.options.batch
            else Worker
        )
        return make(
            handle=self._around(handle),
            conclude=conclude,
            decide=deciding(self._policy, self._answers, report, self._rules),
            finish=self._finishing(),
            keeper=keeper,
        )

    def actors(self) -> Callable[[], AbstractAsyncContextManager[Any]]:
        """Return what makes an actor, its constructor injected from the context."""
        constructor = self._first.constructor
        if constructor is None:
            raise DeclarationError(f"{self._declared.name} is no actor class")
        resolver = HookResolver(self._broker.context)
        planned = plan_of(constructor, replace(self._scope, resolver=resolver, dependencies=()))
        return partial(planned.bind_scope(limiter=self._scope.limiter), None)

    async def quarantine(self, delivery: Delivery[Any], reason: str) -> None:
        """Bury a delivery that has crashed its actor twice."""
        error = Quarantined(f"it has crashed its actor twice: {last_words(reason)}")
        error.add_note(reason)
        # Whatever the policy says of failures, this one is final; who waits for an answer is told.
        decide = deciding(AckPolicy.REJECT_ON_ERROR, self._answers, _unreported)
        finish = self._finishing()
        for part in parts_of(delivery):
            await finish(part, decide(part.message, error))
        # Last: whatever is wrong with the message, it is out of the way before it is described.
        self._broker.reporter.quarantined(self._declared.name, delivery.message, error)

    def decode(self, message: Message[Any], /) -> object:
        """Return the plain value of a body; of a batch, a list of them."""
        if is_batch(message):
            return [self.decode(part) for part in message.parts]
        return self._scope.codec.decode(message.body, content_type_of(message))

    async def reject(self, message: Message[Any], /) -> None:
        """Bury what a handler rejects by hand."""
        delivery = message.delivery
        if isinstance(delivery, Delivery):
            for part in parts_of(delivery):  # pyright: ignore[reportUnknownArgumentType] - isinstance can't say of what
                await self._bury(part, None)

    def _finishing(self) -> Finish:
        return finishing(self._send, self._bury, self._settles, self._broker.reporter)

    async def _leave(self, outputs: Sequence[Output], cause: Delivery[Any] | None) -> Confirmation:
        return await self._send(outputs, cause)

    @property
    def _answers(self) -> Answering | None:
        """By whom answers go to whoever waits for them; None: nobody is answered."""
        options = self._declared.options
        return None if options.no_reply or options.batch else self._broker

    def _settles(self, error: Exception | None) -> Settlement | None:
        """Say what the policy does for *error*; None also for what only the actor can answer."""
        if error is not None and concerns_actor(error, self._rules):
            return None
        return settlement_of(self._policy, error)

    @property
    def _first(self) -> Call:
        return self._declared.calls[0]

    def _chosen_of(self, handles: Sequence[Handle]) -> tuple[Handle, Conclude]:
        calls = zip(self._declared.calls, handles, self._conclusions, strict=True)
        return select(
            [
                Choice(call.filter, recorded(call.target, handle), conclude)
                for call, handle, conclude in calls
            ]
        )

    def _around(self, handle: Handle) -> Handle:
        """Put around *handle* what every message of the subscription passes, outermost last."""
        options = self._broker.options
        handle = wrapped(handle, self._middlewares)
        handle = logged(handle, self._declared.name, self._broker.logger, options.log_level)
        if self._policy is AckPolicy.ACK_FIRST:
            handle = acknowledged_first(handle)
        return wrapped(handle, self._layers)

    def _concluding(self, call: Call) -> Conclude:
        """Compose what becomes of results: they are published in the order of the decorators."""
        answers, broker = self._answers, self._broker
        # A list of results may hold exceptions, of which no encoder can be made.
        returns = Any if self._scope.batch else call.callee.returns
        try:
            declared = publishers_of(call.target)
            self._is_alone &= all(each.sender(broker) is broker for each in declared)
            publishers = [publisher.producing(returns, broker) for publisher in declared]
        except DefinitionError as error:
            raise DeclarationError(
                f"the result of {where(call.target)} can't be published: {error}"
            ) from error
        if answers is None:
            return concluding(self._policy, publishers, None)
        try:
            encode = result_encoder(returns, broker.codec)
        except DefinitionError:
            # Nobody may ever ask; and the value may be better than what is said of it.
            encode = broker.codec.encode
        return concluding(self._policy, publishers, (wrapping(encode, broker.identify), answers))


def _unreported(message: Message[Any], error: Exception, settlement: Settlement | None) -> None:
    """Say nothing: it has been said already."""
