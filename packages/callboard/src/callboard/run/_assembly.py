"""What the workers of a subscription are made of: composed once, when it starts.

Nothing here runs for a message. To see what does, read `_worker.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from anyio import CapacityLimiter

from callboard._errors import ControlFlow, DeclarationError, Quarantined
from callboard.declare._handler import where
from callboard.declare._options import BrokerOptions, Inherited, RouterOptions
from callboard.declare._policy import AckPolicy, settlement_of
from callboard.declare._publisher import Publisher, publishers_of
from callboard.declare._resolver import HookResolver, MessageResolver
from callboard.declare._subscriber import Call, PlacedSubscriber
from callboard.events import (
    HandlerDecided,
    HandlerFailed,
    MessageQuarantined,
    NoDeadLetters,
    about,
)
from callboard.handle._batch import BatchWorker
from callboard.handle._dead_letter import dead_lettering
from callboard.handle._envelope import content_type_of, result_encoder, wrapping
from callboard.handle._finish import Finish, finishing, settling, telling
from callboard.handle._instruments import heard
from callboard.handle._layers import acknowledged_first, logged, recorded
from callboard.handle._outcome import (
    Answering,
    Conclude,
    Produce,
    concluding,
    deciding,
    judging,
)
from callboard.handle._output import enlisting, routed, straight
from callboard.handle._parts import is_batch, parts_of
from callboard.handle._pipeline import Choice, Scope, inject, plan_of, select, wrapped
from callboard.handle._producing import producing
from callboard.handle._unconfirmed import Keeper
from callboard.handle._worker import Worker
from callboard.instruments import Handle, Output, Send
from callboard.run._surroundings import Started
from callboard.watch._printable import last_words
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


class Assembly:
    """Makes the workers of one subscription, and the actors that they hand messages to.

    It is the `Binding` of the subscription's messages too: it decodes and rejects them by hand.
    """

    def __init__(self, placed: PlacedSubscriber, inherited: Inherited, started: Started) -> None:
        if not placed.declaration.calls:
            raise DeclarationError(
                f"the subscriber of {placed.source!r} decorates nothing: put it over a handler"
            )
        self._name = placed.name
        self._calls, self._options = placed.declaration.calls, placed.declaration.options
        self._policy = inherited.ack_policy
        self._rules = inherited.supervision.decide
        self._instruments = started.instruments.at(placed.name, placed.source)
        self.hear = self._instruments.on_outcome(started.around.events)
        self._around = around = started.around
        outwards: list[RouterOptions | BrokerOptions] = [*placed.scopes, around.options]
        self._middlewares = [*chain.from_iterable(each.middlewares for each in reversed(outwards))]
        dependencies = [each.dependencies for each in reversed(outwards)]
        self._scope = Scope(
            resolver=MessageResolver(around.context, has_middlewares=bool(self._middlewares)),
            codec=around.options.codec,
            overrides=around.overrides,
            limiter=CapacityLimiter(self._options.max_workers),
            dependencies=[*chain(*dependencies, self._options.dependencies)],
            batch=self._options.batch,
        )
        self._started = started
        self._send: Send
        self._is_alone = True
        """Whether all that its handlers return leaves by their own broker."""
        self._to_dead_letters = dead_lettering(
            self._name,
            inherited.dead_letter,
            partial(around.out.letter, placed.source),
            self._leave,
            around.events,
        )
        self._settle = settling(self._to_dead_letters)
        judge = judging(self.settles, self._answers)
        self._unpublished = telling(self._name, judge, around.events)
        if (
            inherited.dead_letter is None
            and not started.adapter.features(placed.source).keeps_rejected
        ):
            around.events(NoDeadLetters(self._name))
        self._conclusions = [self._concluding(call) for call in self._calls]
        self._functions = (
            [] if self.stateful else [inject(call.callee, self._scope) for call in self._calls]
        )

    @property
    def stateful(self) -> bool:
        """Whether an actor class takes the messages, rather than functions."""
        return self._first.constructor is not None

    def open(self, subscription: Subscription) -> None:
        """Compose the way out of what comes by *subscription*, which may publish it itself."""
        started, told = self._started, self._around.out.unanswered
        send, waits = started.send, False
        if isinstance(subscription, Transactional) and subscription.transactional:
            waits = True
            direct = straight(started.connection, told)
            enlist = enlisting(subscription, started.connection, direct, told)
            send = started.instruments.around_send(enlist)
        self._send = send if self._is_alone else routed(send, self._around.out, waits=waits)

    def worker(self, keeper: Keeper, actor: Any = None) -> Worker:
        """Return a worker for *actor*, an instance of the class; None: for the functions."""
        handles = self._functions
        if self.stateful:
            handles = [inject(replace(self._first.callee, call=actor.receive), self._scope)]
        handle, conclude = self._chosen_of(handles)
        splits = self._options.on_batch_error == "split"
        make = partial(BatchWorker, self.settles, splits=splits) if self._options.batch else Worker
        return make(
            handle=self._enclosed(handle),
            conclude=conclude,
            decide=deciding(self._policy, self._answers, self._report, self._rules),
            finish=self._finishing(keeper),
            keeper=keeper,
        )

    def actors(self) -> Callable[[], AbstractAsyncContextManager[Any]]:
        """Return what makes an actor, its constructor injected from the context."""
        constructor = self._first.constructor
        if constructor is None:
            raise DeclarationError(f"{self._name} is no actor class")
        resolver = HookResolver(self._around.context)
        planned = plan_of(constructor, replace(self._scope, resolver=resolver, dependencies=()))
        return partial(planned.bind_scope(limiter=self._scope.limiter), None)

    async def quarantine(self, keeper: Keeper, delivery: Delivery, reason: str) -> None:
        """Bring to the dead letters what has crashed its actor twice."""
        error = Quarantined(f"it has taken its actor down twice: {last_words(reason)}")
        error.add_note(reason)
        # Whatever the policy says of failures, this one is final; who waits for an answer is told.
        decide = deciding(AckPolicy.REJECT_ON_ERROR, self._answers, _unreported)
        finish = self._finishing(keeper)
        for part in parts_of(delivery):
            part.message.binding = keeper
            await finish(part, decide(part.message, error))
        keeper.end()
        # Last: whatever is wrong with the message, it is out of the way before it is described.
        told = MessageQuarantined(self._name, *about(delivery.message), error)
        self._around.events(told)

    def decode(self, message: Message, /) -> object:
        """Return the plain value of a body; of a batch, a list of them."""
        if is_batch(message):
            return [self.decode(part) for part in message.parts]
        return self._scope.codec.decode(message.body, content_type_of(message))

    async def reject(self, message: Message, /) -> None:
        """Bring to the dead letters what a handler rejects by hand."""
        delivery = message.delivery
        if isinstance(delivery, Delivery):
            for part in parts_of(delivery):  # pyright: ignore[reportUnknownArgumentType] - isinstance can't say of what
                await self._to_dead_letters(part, None)

    def _finishing(self, keeper: Keeper) -> Finish:
        finish = finishing(self._send, self._settle, self._unpublished, keeper)
        return heard(finish, self.hear)

    def _report(self, message: Message, error: Exception, settlement: Settlement | None) -> None:
        kind = HandlerDecided if isinstance(error, ControlFlow) else HandlerFailed
        self._around.events(kind(self._name, *about(message), error, settlement))

    async def _leave(self, outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        return await self._send(outputs, cause)

    @property
    def _answers(self) -> Answering | None:
        """By whom answers go to whoever waits for them; None: nobody is answered."""
        options = self._options
        return None if options.no_reply or options.batch else self._around.out

    def settles(self, error: Exception | None, /) -> Settlement | None:
        """Say what the policy does for *error*; None also for what only the actor can answer."""
        if error is not None and concerns_actor(error, self._rules):
            return None
        return settlement_of(self._policy, error)

    @property
    def _first(self) -> Call:
        return self._calls[0]

    def _chosen_of(self, handles: Sequence[Handle]) -> tuple[Handle, Conclude]:
        calls = zip(self._calls, handles, self._conclusions, strict=True)
        return select(
            [
                Choice(call.filter, recorded(call.target, handle), conclude)
                for call, handle, conclude in calls
            ]
        )

    def _enclosed(self, handle: Handle) -> Handle:
        """Put around *handle* what every message of the subscription passes, outermost last."""
        options = self._around.options
        handle = wrapped(handle, self._middlewares)
        handle = logged(handle, self._name, self._around.logger, options.log_level)
        if self._policy is AckPolicy.ACK_FIRST:
            handle = acknowledged_first(handle)
        return self._instruments.around_handle(handle)

    def _concluding(self, call: Call) -> Conclude:
        """Compose what becomes of results: they are published in the order of the decorators."""
        answers, around, is_heard = self._answers, self._around, self.hear is not None
        # A list of results may hold exceptions, of which no encoder can be made.
        returns = Any if self._scope.batch else call.callee.returns
        try:
            publishers = [self._producing(each, returns) for each in publishers_of(call.target)]
        except DefinitionError as error:
            raise DeclarationError(
                f"the result of {where(call.target)} can't be published: {error}"
            ) from error
        if answers is None:
            return concluding(self._policy, publishers, None, is_heard=is_heard)
        try:
            encode = result_encoder(returns, around.options.codec)
        except DefinitionError:
            # Nobody may ever ask; and the value may be better than what is said of it.
            encode = around.options.codec.encode
        answer = wrapping(encode, around.out.identify), answers
        return concluding(self._policy, publishers, answer, is_heard=is_heard)

    def _producing(self, publisher: Publisher[Any], returns: object) -> Produce:
        home, target = self._around.home(publisher)
        self._is_alone &= home.out is self._around.out
        codec, identify = home.options.codec, home.out.identify
        return producing(publisher.options, target, returns, codec, identify, home.out)


def _unreported(message: Message, error: Exception, settlement: Settlement | None) -> None:
    """Say nothing: it has been said already."""
