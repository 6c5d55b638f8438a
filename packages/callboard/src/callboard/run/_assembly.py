"""What the workers of a subscription are made of: composed once, when it starts.

Nothing here runs for a message. To see what does, read `_worker.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from anyio import CapacityLimiter
from anyio.lowlevel import current_token

from callboard._errors import (
    DeclarationError,
    IgnoredException,
    Quarantined,
    StopConsume,
    Suppressed,
)
from callboard.declare._handler import where
from callboard.declare._options import (
    BrokerOptions,
    Inherited,
    PublisherOptions,
    RouterOptions,
    nearest,
)
from callboard.declare._policy import AckPolicy, settlement_of
from callboard.declare._publisher import Publisher, publishers_of
from callboard.declare._resolver import ActorResolver, MessageResolver
from callboard.declare._retry import HALTED, Retry, Verdict, judged
from callboard.declare._subscriber import Call, PlacedSubscriber
from callboard.events import (
    FailureHandled,
    HandlerDecided,
    HandlerFailed,
    MessageEnded,
    MessageHalted,
    MessageHeld,
    MessageQuarantined,
    MessageRetried,
    RetriesPlanned,
    about,
)
from callboard.handle._batch import BatchWorker
from callboard.handle._circuit import Circuit
from callboard.handle._dead_letter import Whose, dead_lettering
from callboard.handle._envelope import result_encoder, unencoded, wrapping
from callboard.handle._fence import ATTEMPT, Threads, timed
from callboard.handle._finish import Finish, finishing, settling, telling
from callboard.handle._held_back import HeldBack, flushing
from callboard.handle._instruments import heard
from callboard.handle._layers import Pace, acknowledged_first, logged, minded, recorded
from callboard.handle._once import Once
from callboard.handle._outcome import (
    Answering,
    Conclude,
    Judge,
    Produce,
    Verdicts,
    concluding,
    deciding,
)
from callboard.handle._output import enlisting, routed, straight
from callboard.handle._own import Parsing, Reader, Viewing, own
from callboard.handle._parts import parts_of
from callboard.handle._passage import enclosed, leaving, publishing
from callboard.handle._pipeline import Choice, Scope, Selection, inject, plan_of, told_apart
from callboard.handle._producing import producing
from callboard.handle._put_off import PutOff, putting_off
from callboard.handle._share import Share
from callboard.handle._unconfirmed import Keeper
from callboard.handle._worker import Worker
from callboard.instruments import Handle, Output, Send
from callboard.run._host import soon
from callboard.run._surroundings import Started
from callboard.watch._printable import last_words
from callboard_actors import concerns_actor
from callboard_brokers import (
    UNDECODED,
    Confirmation,
    Delivery,
    Message,
    Settlement,
    Subscription,
    Transactional,
)
from callboard_di import Callee
from callboard_validation import DefinitionError


class Assembly:
    """Makes the workers of one subscription, and the actors that they hand messages to.

    It is the `Binding` of the subscription's messages too: it decodes and rejects them by hand.
    """

    def __init__(self, placed: PlacedSubscriber, inherited: Inherited, started: Started) -> None:
        self._name, self._declaration = placed.name, placed.declaration
        self._calls, self._options = placed.declaration.calls, placed.declaration.options
        self._policy, self._retry = inherited.ack_policy, inherited.retry
        self._verdicts: Verdicts = partial(judged, self._policy, self._retry)
        self._rules = inherited.supervision.decide
        self.circuit: Circuit | None = None
        """What keeps its messages from their handlers; None: nothing does."""
        if (breaker := self._options.breaker) is not None:
            self._check_keeps("breaker")
            self.circuit = Circuit(self._name, breaker, started.around.events, (*self._rules,))
            self._verdicts = self.circuit.judging(self._verdicts)
        self.share = self._make_share()
        """What keeps messages that have failed before from starving the others; None: none come."""
        if self.circuit is not None or self.share is not None:
            self._verdicts = putting_off(self._verdicts)
        self._instruments = started.instruments.at(placed.name, placed.source)
        self.hear = self._instruments.on_outcome(started.around.events)
        self._around = around = started.around
        outwards: list[RouterOptions | BrokerOptions] = [*placed.scopes, around.options]
        self._chain = around.chain(placed.scopes, self._options.middlewares, self._options.codec)
        enclosed(_nothing, self._chain, ())  # a function that makes nothing of it is refused now
        dependencies = [each.dependencies for each in reversed(outwards)]
        self._layers = [self._options, *outwards]
        parser, self._reader = nearest("parser", self._layers), Reader(self._layers)
        self._parse = own(parser) if parser else None
        workers = self._options.max_workers
        self._pace = None if self._options.rate is None else Pace(self._options.rate)
        self.threads = self._make_threads(workers)
        """Those of calls that have timed out; None: none can."""
        self._scope = Scope(
            resolver=MessageResolver(around.context, _presets(placed)),
            codec=self._reader.codec,
            decodes=self._reader.decode is not None,
            serializer=around.options.validates,
            casts=around.options.apply_types and around.options.serializer is not None,
            injects=around.options.apply_types,
            overrides=around.overrides,
            limiter=CapacityLimiter(workers if self.threads is None else 2 * workers),
            dependencies=[*chain(*dependencies, self._options.dependencies)],
            batch=self._options.batch,
        )
        self._started = started
        self._send: Send
        self._is_alone = not self._options.outbox
        """Whether all that follows from its messages leaves by their own broker."""
        self.to_dead_letters = dead_lettering(
            Whose(self._name, around.version),
            inherited.dead_letter,
            around.out.post(placed.source),
            self._leave,
            around.events,
        )
        self._settle = settling(self.to_dead_letters)
        if self._chain.leaves:
            self._settle = leaving(self._settle, self._judge)
        judge = deciding(self._verdicts, self._answers, _unreported, self._rules)
        self._unpublished = telling(self._name, judge, around.events)
        self.loses_rejected = (
            inherited.dead_letter is None
            and not started.adapter.features(placed.source).keeps_rejected
        )
        """Whether what it rejects is kept nowhere."""
        if self._retry is not None:
            self._check_retry(self._retry)
            around.events(RetriesPlanned(self._name, self._retry.total))
        self._conclusions = [self._concluding(call) for call in self._calls]
        self._replaced = [self._concluding(call, replaced=True) for call in self._calls]
        self._once = [
            Once(self._name, self._options.idempotent, around.logger, each.callee.returns)
            for each in self._calls
            if self._options.idempotent is not None
        ]
        self._functions = (
            [] if self.stateful else [self._injected(each.callee, each) for each in self._calls]
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
        send = send if self._is_alone else routed(send, self._around.out, waits=waits)
        self._send = publishing(send)

    def worker(self, keeper: Keeper, actor: Any = None) -> Worker:
        """Return a worker for *actor*, an instance of the class; None: for the functions."""
        handles = self._functions
        if self.stateful:
            callee = replace(self._first.callee, call=actor.receive)
            handles = [self._injected(callee, self._first)]
        held = self._held_back()
        choices = self._choices(handles, held)
        handle, conclude = choices[0].handle, choices[0].conclude
        making: list[Callable[[Handle], Handle]] = []
        if (selection := Selection(choices)).is_needed:
            handle, conclude = selection.handle, selection.conclude
            making.append(selection.around)
        if self._parse is not None:
            each = Parsing(self._parse)
            conclude = each.concluding(conclude)
            making.append(each.around)
        splits = self._options.on_batch_error == "split"
        batches = partial(BatchWorker, self.settles, self._verdicts, splits=splits)
        make = batches if self._options.batch else Worker
        return make(
            handle=self._enclosed(handle, making),
            conclude=conclude,
            decide=self._judge if held is None else held.deciding(self._judge),
            finish=self._finishing(keeper),
            keeper=keeper,
        )

    def actors(self) -> Callable[[], AbstractAsyncContextManager[Any]]:
        """Return what makes an actor, its constructor injected from the context."""
        constructor = self._first.constructor
        if constructor is None:
            raise DeclarationError(f"{self._name} is no actor class")
        resolver = ActorResolver(self._around.context)
        planned = plan_of(constructor, replace(self._scope, resolver=resolver, dependencies=()))
        return partial(planned.bind_scope(limiter=self._scope.limiter), None)

    async def quarantine(self, keeper: Keeper, delivery: Delivery, reason: str) -> None:
        """Bring to the dead letters what has crashed its actor twice."""
        error = Quarantined(f"it has taken its actor down twice: {last_words(reason)}")
        error.add_note(reason)
        # Whatever the policy says of failures, this one is final; who waits for an answer is told.
        final = partial(judged, AckPolicy.REJECT_ON_ERROR, None)
        decide = deciding(final, self._answers, _unreported)
        finish = self._finishing(keeper)
        keeper.unconfirmed.failed.pop(delivery, None)  # an answer did not get out; it is made anew
        for part in parts_of(delivery):
            part.message.binding = keeper
            await finish(part, decide(part.message, error))
        keeper.end()
        # Last: whatever is wrong with the message, it is out of the way before it is described.
        told = MessageQuarantined(self._name, *about(delivery.message), error)
        self._around.events(told)

    def decode(self, message: Message, as_: Any = UNDECODED, /) -> object:
        """Return the value of a body; of a batch, a list of them."""
        return self._reader.read(message, as_)

    async def reject(self, message: Message, /) -> None:
        """Bring to the dead letters what a handler rejects by hand."""
        delivery = message.delivery
        if (attempt := ATTEMPT.get()) is not None:
            attempt.is_rejected = True
        if isinstance(delivery, Delivery):
            for once in self._once:
                once.rejected(delivery)  # pyright: ignore[reportUnknownArgumentType] - as below
            for part in parts_of(delivery):  # pyright: ignore[reportUnknownArgumentType] - isinstance can't say of what
                await self.to_dead_letters(part, None)
                part.call(Settlement.REJECT)

    def _make_share(self) -> Share | None:
        retry, options = self._retry, self._options
        if retry is None and self._policy is not AckPolicy.NACK_ON_ERROR:
            return None
        given = None if retry is None else retry.on_exhausted
        ends = given in {"dead_letter", "drop"} or (
            given is None and self._policy is not AckPolicy.NACK_ON_ERROR
        )
        return Share(options.retry_share, options.max_workers, ends=ends)

    def _check_keeps(self, option: str) -> None:
        if self._policy in (AckPolicy.ACK_FIRST, AckPolicy.MANUAL):
            raise DeclarationError(
                f"{self._name} has {option}= with ack_policy={self._policy.name}, which leaves"
                " nothing to try again; take the default, ACK or NACK_ON_ERROR"
            )

    def _check_retry(self, retry: Retry) -> None:
        self._check_keeps("retry")
        if retry.delayed and not retry.relaxed and self._options.ordered_by != "none":
            raise DeclarationError(
                f"{self._name} has retry= with delayed=, which later messages of a key pass; allow"
                " that by ordered_by='none' or Retry(relaxed=True)"
            )

    def _finishing(self, keeper: Keeper) -> Finish:
        defers = not self._chain.leaves
        finish = finishing(self._send, self._settle, self._unpublished, keeper, defers=defers)
        return heard(finish, self.hear)

    @property
    def _judge(self) -> Judge:
        return deciding(self._verdicts, self._answers, self._report, self._rules)

    def _report(self, message: Message, error: Exception, verdict: Verdict) -> None:
        settlement, delay, attempt, *_ = verdict
        if isinstance(error, PutOff):
            return
        kind: type[MessageEnded] = MessageHalted if verdict is HALTED else HandlerFailed
        if verdict.stays is not None and verdict is not HALTED:
            kind = MessageHeld
        if isinstance(error, Suppressed) and error.failure is not None:
            kind, error = FailureHandled, error.failure
        elif isinstance(error, IgnoredException):
            kind = HandlerDecided
            if isinstance(error, StopConsume):
                self._started.retire(self._declaration)
        facts = self._name, *about(message), error, settlement
        if attempt is not None and delay is not None:
            self._around.events(MessageRetried(*facts, attempt, delay))
            return
        self._around.events(kind(*facts))

    async def _leave(self, outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
        return await self._send(outputs, cause)

    def _held_back(self) -> HeldBack | None:
        if not self._options.outbox:
            return None
        # What is known to be done is not handled again, so that nothing of it may be lost.
        return HeldBack(flushing(self._leave, self._unpublished) if self._once else None)

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

    def tries_again(self, delivery: Delivery, error: Exception, /) -> bool:
        """Whether what has failed with *error* is handled again, perhaps by the actor's successor."""
        try:
            if concerns_actor(error, self._rules):
                return True
            return self._verdicts(delivery.message, error).settlement is Settlement.NACK
        except Exception:  # noqa: BLE001 - a rule of the user's: the actor whom it is for crashes by it
            return True

    @property
    def _first(self) -> Call:
        return self._calls[0]

    def _make_threads(self, most: int) -> Threads | None:
        if self._retry is None or self._retry.timeout is None:
            return None
        wake = partial(soon, current_token().native_token)
        return Threads(self._name, most, self._around.events, wake)

    def _injected(self, callee: Callee, call: Call) -> Handle:
        if self.threads is not None:
            callee = self.threads.watched(callee)
        return inject(callee, self._scope_of(call))

    def _scope_of(self, call: Call) -> Scope:
        """Return what a handler finds around it that has a decoder or dependencies of its own."""
        reader = Reader([call, *self._layers])
        return replace(
            self._scope,
            codec=reader.codec,
            decodes=reader.decode is not None,
            dependencies=[*self._scope.dependencies, *call.dependencies],
        )

    def _view(self, call: Call) -> Viewing | None:
        if call.parser is None and call.decoder is None and call.codec is None:
            return None
        return Viewing(Reader([call, *self._layers]), call.parser)

    def _choices(self, handles: Sequence[Handle], held: HeldBack | None) -> Sequence[Choice]:
        choices: list[Choice] = []
        for number, (call, handle) in enumerate(zip(self._calls, handles, strict=True)):
            handle, conclude = recorded(call.target, handle), self._conclusions[number]  # noqa: PLW2901 - the same, with more around it
            if held is not None:
                handle = held.around(handle)  # noqa: PLW2901 - likewise
            if self._once:
                handle = self._once[number].around(handle)  # noqa: PLW2901 - likewise
            if self._chain.middlewares:
                handle, conclude = told_apart(handle, conclude, self._replaced[number])  # noqa: PLW2901 - likewise
            if held is not None:
                conclude = held.concluding(conclude)
            if self._chain.leaves:
                conclude = minded(conclude, self._verdicts, self._report)
            choices.append(Choice(call.filter, handle, conclude, self._view(call)))
        return choices

    def _enclosed(self, handle: Handle, making: Sequence[Callable[[Handle], Handle]]) -> Handle:
        """Put around *handle* what every message of the subscription passes, outermost last."""
        options, retry = self._around.options, self._retry
        if retry is not None and retry.timeout is not None and self.threads is not None:
            handle = timed(handle, retry.timeout, self.threads)
        handle = enclosed(handle, self._chain, self._rules, making)
        handle = logged(handle, self._name, self._around.logger, options.log_level)
        if self._policy is AckPolicy.ACK_FIRST:
            handle = acknowledged_first(handle)
        handle = self._instruments.around_handle(handle)
        if self._pace is not None:
            handle = self._pace.around(handle)
        if self.share is not None:
            handle = self.share.around(handle)
        return handle if self.circuit is None else self.circuit.around(handle)

    def _concluding(self, call: Call, *, replaced: bool = False) -> Conclude:
        """Compose what becomes of results: they are published in the order of the decorators.

        One that a middleware has *replaced* is of no type that the handler has said.
        """
        answers, around = self._answers, self._around
        is_heard = self.hear is not None or self._chain.leaves
        # A list of results may hold exceptions, of which no encoder can be made.
        is_open = self._scope.batch or replaced or not self._scope.casts
        returns = Any if is_open else call.callee.returns
        try:
            publishers = [
                self._producing(
                    each, replace(each.options, schema=Any) if replaced else each.options, returns
                )
                for each in publishers_of(call.target)
            ]
        except DefinitionError as error:
            raise DeclarationError(
                f"the result of {where(call.target)} can't be published: {error}"
            ) from error
        if answers is None:
            return concluding(self._policy, publishers, None, is_heard=is_heard)
        through = self._chain.by(call.codec)
        try:
            encode = result_encoder(returns, through.codec, through.serializer)
        except DefinitionError:
            # Nobody may ever ask; and the value may be better than what is said of it.
            encode = through.encode
        draft = through.draft(encode)
        wrap = wrapping(unencoded if draft is not None else encode, around.out.identify)
        answer = wrap, answers, draft
        return concluding(self._policy, publishers, answer, is_heard=is_heard)

    def _producing(
        self, publisher: Publisher[Any], options: PublisherOptions, returns: object
    ) -> Produce:
        home, placed = self._around.home(publisher)
        is_ours = home.out is self._around.out
        self._is_alone &= is_ours
        codec = nearest("codec", [options, *placed.scopes, home.options])
        through = (self._chain if is_ours else home.chain()).by(codec)
        return producing(options, placed.target, returns, home.out.identify, home.out, through)


async def _nothing(message: Message) -> object:
    """Stand for a handler."""
    return message


def _presets(placed: PlacedSubscriber) -> Mapping[str, Callable[[Message], object]]:
    """Return what handlers find by name that is made of the message, or of their subscriber."""
    return {
        "handler_": lambda _: placed.declaration,
        "log_context": lambda message: {
            "address": message.address,
            "message_id": message.message_id or "",
        },
    }


def _unreported(message: Message, error: Exception, verdict: Verdict) -> None:
    """Say nothing: it has been said already."""
