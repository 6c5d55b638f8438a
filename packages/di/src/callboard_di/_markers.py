"""Markers: how a parameter says where its value comes from.

Each can be a parameter's default (`order: Order = Depends(load)`) or stand in its annotation
(`order: Annotated[Order, Depends(load)]`, beside which an ordinary default may stand).
Made by functions that return `Any`, since the default of an `int` has to pass for an `int`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

EMPTY: Final[Any] = inspect.Parameter.empty
"""No value was given; `None` is a value."""


class NoCast:
    """Leave this parameter's value as it is: `count: Annotated[int, NoCast()]`, or `NoCast[int]`."""

    __slots__ = ()

    def __class_getitem__(cls, kind: Any) -> Any:
        return Annotated[kind, cls()]


@dataclass(eq=False, slots=True)
class Dependency:
    """What `Depends` makes: call this, and inject what it returns or yields."""

    call: Callable[..., object]
    use_cache: bool = True
    cast: bool = True
    sync_to_thread: bool = False
    # A `Callee`, read at declaration, while the names that its annotations use can still be found.
    callee: object = field(default=None, init=False, repr=False)


@dataclass(eq=False, frozen=True, slots=True)
class ContextValue:
    """What `Context`, `Header` and `Path` make: look this up for each message."""

    real_name: str
    within: tuple[str, ...] | None = None  # None: the name is a dotted path of its own
    default: Any = EMPTY
    initial: Callable[[], object] | None = None
    cast: bool = False

    def path(self, parameter: str) -> tuple[str, ...]:
        """Return where to look; *parameter* names the value if the marker does not."""
        name = self.real_name or parameter
        return tuple(name.split(".")) if self.within is None else (*self.within, name)


def Depends(  # noqa: N802 - reads as the marker that it makes
    call: Callable[..., object],
    *,
    use_cache: bool = True,
    cast: bool = True,
    sync_to_thread: bool = False,
) -> Any:
    """Inject what *call* returns, or yields.

    *call* may be a function, a class, a callable object, sync or async, or a generator function.
    What stands after a generator's `yield` runs after the handler, last opened first;
    the handler's exception is raised at the `yield`, and has to leave the generator again:
    one that ends instead is a `SwallowedError`, so that no failure passes for success.

    Args:
        call: Planned like a handler; its own parameters may have markers. A parameter without
            one takes the value of the handler's body parameter of this name, or its default.
        use_cache: Call once per message, wherever it is wanted; False calls for this parameter.
        cast: Cast the value to the annotation of the parameter that receives it.
        sync_to_thread: Run a sync *call* in a worker thread rather than inline: for one that
            blocks. An async *call* is not concerned.
    """
    return Dependency(call, use_cache, cast, sync_to_thread)


def Context(  # noqa: N802 - reads as the marker that it makes
    real_name: str = "",
    *,
    default: Any = EMPTY,
    initial: Callable[[], object] | None = None,
    cast: bool = False,
) -> Any:
    """Inject the value that the context has for this message.

    Args:
        real_name: Where it stands, `"message.headers.trace"`: the dots lead through attributes
            and items. Empty: the parameter's name.
        default: Taken if the value is absent. A value that is false or None is not absent.
        initial: Called if the value is absent and there is no default; what it returns is stored
            in the context, and so is made once and shared by later messages.
        cast: Cast the value to the parameter's annotation. The default is not cast.
    """
    return ContextValue(real_name, None, default, initial, cast)


def Header(  # noqa: N802 - reads as the marker that it makes
    real_name: str = "", *, default: Any = EMPTY, cast: bool = True
) -> Any:
    """Inject the header *real_name*, or that of the parameter's name; dots are part of it.

    *default* is taken, and not cast, if the message has no such header.
    """
    return ContextValue(real_name, ("message", "headers"), default, None, cast)


def Path(  # noqa: N802 - reads as the marker that it makes
    real_name: str = "", *, default: Any = EMPTY, cast: bool = True
) -> Any:
    """Inject what a field of the address's template matched: `level` of `logs.{level}`.

    The field is *real_name*, or that of the parameter's name. *default* is taken, and not cast,
    if the address has no such field.
    """
    return ContextValue(real_name, ("message", "path"), default, None, cast)
