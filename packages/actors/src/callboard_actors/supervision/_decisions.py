"""What is to be done about an exception: the user's rules first, then a few of our own. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, TypeAlias

from callboard_actors._errors import (
    ActorCrash,
    Escalate,
    ForeignCancellation,
    SpecError,
    StopActor,
)


class Decision(Enum):
    """What is to be done about an exception; the later ones are the graver ones."""

    RESUME = "resume"
    """The actor keeps its state and goes on with the next message; this one has failed.

    Where there is no actor to go on (its start failed, or it has ended), it means RESTART.
    """
    RESTART = "restart"
    """The actor loses its state and is started anew, if its restart type agrees."""
    STOP = "stop"
    """The actor ends and is not restarted, whatever its restart type."""
    ESCALATE = "escalate"
    """The supervisor gives up at once, with the exception as the cause."""


Rule: TypeAlias = tuple[type[Exception] | Callable[[Exception], bool], Decision]
"""Which exceptions, by type or predicate, and what is to be done about them."""

_BUILT_IN: Final[Sequence[Rule]] = (
    (StopActor, Decision.STOP),
    (Escalate, Decision.ESCALATE),
    (ActorCrash, Decision.RESTART),
    (ForeignCancellation, Decision.RESTART),
)
_GRAVITY: Final = [*Decision]


def decision(error: BaseException, rules: Sequence[Rule] = ()) -> Decision:
    """Return what is to be done about *error* when it has left an actor.

    The first of *rules* that fits decides; without one, `StopActor` stops, `Escalate` escalates,
    and everything else restarts. A group for which there is no rule is decided by its parts: the
    gravest decision holds.
    """
    said = _said(error, rules)
    return Decision.RESTART if said is None else said


def concerns_actor(error: Exception, rules: Sequence[Rule] = ()) -> bool:
    """Whether *error*, raised while a message was handled, is more than a failure of that message.

    It is if one of *rules* says so, or if it was made for it: `ActorCrash`, `StopActor`,
    `Escalate`, `ForeignCancellation`. What a rule resumes is a failure of the message.
    """
    return _said(error, rules) not in (None, Decision.RESUME)


def check_rules(rules: Sequence[Rule]) -> None:
    """Refuse what is no rule.

    Raises:
        SpecError: One of *rules* is no pair of exceptions and `Decision`.
    """
    for rule in rules:
        if not _is_rule(rule):
            message = (
                f"decide= has {rule!r}; give pairs of an exception type, or a function of the"
                " exception, and a Decision"
            )
            raise SpecError(message)


def _is_rule(rule: object) -> bool:
    match rule:
        case (object() as concerned, Decision()):
            return callable(concerned)
        case _:
            return False


def _said(error: BaseException, rules: Sequence[Rule]) -> Decision | None:
    if isinstance(error, Exception):
        for concerned, then in (*rules, *_BUILT_IN):
            if isinstance(error, concerned) if isinstance(concerned, type) else concerned(error):
                return then
    if not isinstance(error, BaseExceptionGroup):
        return None
    # isinstance cannot say of what it is a group.
    group: BaseExceptionGroup[BaseException] = error  # pyright: ignore[reportUnknownVariableType] - as above
    of_parts = (_said(part, rules) for part in group.exceptions)
    found = [said for said in of_parts if said is not None]
    return max(found, key=_GRAVITY.index, default=None)
