"""What a handler of batches takes: its messages, in the form that its annotation gives them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args, get_origin

from callboard._errors import DeclarationError
from callboard.declare._handler import where
from callboard_di import EMPTY, Plan, unaliased
from callboard_validation import caster

_LISTS: Final = (list, Sequence, MutableSequence, Collection, Iterable)


@dataclass(frozen=True)
class Elements:
    """How the bodies of a batch become one argument."""

    annotation: Any
    """The type of each, by which it is decoded: one that is not valid fails alone."""
    gather: Callable[[list[Any]], Any] | None = None
    """Makes the argument of all of them; None: the list is it."""


def elements_of(planned: Plan[Any]) -> Elements:
    """Return what a handler wants to have made of the messages of a batch.

    Raises:
        DeclarationError: It takes no list of messages.
    """
    if not planned.body:
        return Elements(Any)
    first = planned.body[0]
    elements = None if planned.spread else _elements(first.annotation)
    if elements is None:
        raise DeclarationError(
            f"{where(planned.call)} handles batches, so that it takes one list of messages, such as"
            " list[int], Sequence[int], tuple[int, ...] or RootModel[list[int]], not"
            f" {', '.join(str(each.annotation) for each in planned.body)}"
        )
    return elements if first.cast else Elements(Any)


def _elements(annotation: Any) -> Elements | None:
    annotation = unaliased(annotation)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if any(origin is plain for plain in (EMPTY, Any, object)):
        return Elements(Any)
    if origin is Annotated:
        return _with_marks(*arguments)
    if origin is tuple:
        alike = not arguments or arguments[1:] == (...,)
        return Elements(arguments[0] if arguments else Any, tuple) if alike else None
    if any(origin is kind for kind in _LISTS):
        return Elements(arguments[0] if arguments else Any)
    if getattr(annotation, "__pydantic_root_model__", False):
        root = _elements(annotation.model_fields["root"].annotation)
        return root and Elements(root.annotation, caster(annotation))
    return None


def _with_marks(plain: Any, *marks: Any) -> Elements | None:
    """Return the same with what *marks* ask of the whole, such as a length."""
    elements = _elements(plain)
    if elements is None:
        return None
    # The elements have been validated, and might not stand it twice.
    whole: Any = tuple[Any, ...] if elements.gather is tuple else list[Any]
    if elements.gather not in (None, tuple):
        whole = plain
    kind: Any = Annotated
    return Elements(elements.annotation, caster(kind[(whole, *marks)]))
