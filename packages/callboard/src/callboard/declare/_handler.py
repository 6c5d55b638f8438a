"""What a decorator leaves in the place of a function: the function, and what is known of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, update_wrapper
from operator import attrgetter
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from callboard._errors import DeclarationError
from callboard.declare._recorded import Recorded
from callboard_di import Callee, PlanError, read

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
PUBLISHERS = "__callboard_publishers__"
"""Where a function notes what it publishes to, once it is a handler or an actor class."""


class ActorClass(Protocol):
    """A class whose instances receive messages and keep a state between them.

    `on_start` and `on_stop(reason)` are called where they exist.
    """

    @property
    def receive(self) -> Callable[..., Any]:
        """Takes a message; an async method."""
        ...


def _attribute(name: str) -> Any:
    """Return a property that is another attribute; checkers go by its annotation."""
    return property(attrgetter(name))


class Handler(Recorded, Generic[P, R_co]):
    """A subscribed function, or one that publishes. It stays what it was.

    Calling it calls the function. Its signature, hints and documentation are the function's, and so
    is its kind: `inspect.iscoroutinefunction` and whoever asks it see the function's code. It is
    bound to an instance, copied and pickled as the function would be.
    """

    __name__: str
    __qualname__: str
    # Not a method that calls the function: some ask this too whether it is a coroutine function.
    __call__: Callable[P, R_co] = _attribute("function")

    def __init__(self, function: Callable[P, R_co]) -> None:
        named, code = _named(function), _with_code(function)
        self.__qualname__ = named.__qualname__
        self.__name__ = self.__qualname__.rpartition(".")[2]
        # First of all, since it takes over what others have noted on the function: a decorator
        # between two of ours, made with `functools.wraps`, brings along what the inner one noted.
        update_wrapper(self, function)
        for name in ("__code__", "__defaults__", "__kwdefaults__", "__annotations__"):
            setattr(self, name, getattr(code, name, None))
        setattr(self, PUBLISHERS, [*vars(self).get(PUBLISHERS, ())])
        self.function = function
        self.callee = signature_of(function)
        self.called = where(function)
        self.recorder = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {where(self.function)}>"

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Return a bound method, if the function would be one."""
        binds = instance is not None and inspect.isfunction(self.function)
        return MethodType(self, instance) if binds else self

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Be found by name again, like a function; what has no name of its own is made again."""
        if isinstance(self.function, FunctionType | staticmethod):
            return self.__qualname__
        return type(self), (self.function,)


def handler_of(function: Callable[P, R]) -> Handler[P, R]:
    """Return *function* itself where it is a handler already, else a new one around it."""
    if isinstance(function, Handler):
        return function  # pyright: ignore[reportUnknownVariableType] - isinstance can't say of what
    return Handler(function)


def signature_of(function: Callable[..., Any]) -> Callee:
    """Read what *function* takes and returns, while the names in its annotations can be found.

    Raises:
        DeclarationError: It can't be read.
    """
    try:
        return read(function)
    except PlanError as error:
        raise DeclarationError(str(error)) from error


def refuse_unbound(handler: Handler[..., Any]) -> None:
    """Refuse a method that was decorated in the body of its class: nobody would give its `self`.

    It is known by the name of its parameter, as everywhere: whether a decorator above this one
    makes something else of the function, such as a `staticmethod`, can't be seen from here.

    Raises:
        DeclarationError: It is one.
    """
    owner, first = handler.__qualname__.rpartition(".")[0], handler.callee.parameters[:1]
    in_a_class = owner and not owner.endswith("<locals>")
    if in_a_class and first and first[0].name in ("self", "cls"):
        raise DeclarationError(
            f"{where(handler.function)} is a method, and nobody gives it {first[0].name!r}: subscribe"
            f" the method of an instance, `subscriber(...)(instance.{handler.__name__})`, or decorate"
            " the class, with `async def receive(self, message)` in it, or make it a @staticmethod"
        )


def receive_of(actor: type) -> Callee:
    """Read the `receive` of an actor class.

    Raises:
        DeclarationError: It has none that takes a message, or a hook that can't be called.
    """
    _check_hooks(actor)
    receive = getattr(actor, "receive", None)
    if not inspect.iscoroutinefunction(receive):
        raise DeclarationError(
            f"the actor class {where(actor)} needs `async def receive(self, message)`"
        )
    # Bound to nothing in particular: the signature without `self`, before there is an actor.
    callee = signature_of(MethodType(receive, actor))
    if not callee.parameters:
        raise DeclarationError(
            f"`receive` of the actor class {where(actor)} needs a parameter for the message"
        )
    return callee


def _check_hooks(actor: type) -> None:
    for name, arguments in (("on_start", ("self",)), ("on_stop", ("self", "reason"))):
        hook = getattr(actor, name, None)
        if hook is None:
            continue
        try:
            inspect.signature(hook).bind(*arguments)
            fits = inspect.iscoroutinefunction(hook)
        except TypeError:
            fits = False
        if not fits:
            raise DeclarationError(
                f"`{name}` of the actor class {where(actor)} has to be"
                f" `async def {name}({', '.join(arguments)})`"
            )


def where(target: Callable[..., Any]) -> str:
    """Name *target* for an error: `'on_order' (orders.py:14)`."""
    plain = _named(inspect.unwrap(target))
    name = plain.__qualname__.rpartition("<locals>.")[2]
    # Of a class, only the source says where it stands, and this may run in an event loop.
    code = getattr(getattr(plain, "receive", plain), "__code__", None)
    return repr(name) + (f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else "")


def _with_code(target: object) -> Any:
    """Return the function that runs when *target* is called: a partial's, an object's `__call__`."""
    named = _named(target)
    return named.__call__ if inspect.isclass(named) else getattr(named, "__func__", named)


def _named(target: object) -> Any:
    """Return what gives *target* its name: the function in a partial, the class of an object."""
    while isinstance(target, partial):
        function: object = target.func  # pyright: ignore[reportUnknownMemberType] - of whatever
        target = function
    return target if hasattr(target, "__qualname__") else type(target)
