"""What can go wrong when dependencies are planned, and when a plan runs.

InjectionError
├── PlanError         a declaration that cannot be planned
├── UnknownName       a resolver's word for a name that it does not know; becomes a PlanError
├── MissingValue      a context value that is absent now
└── SwallowedError    a dependency that ate its handler's exception
"""

from __future__ import annotations


class InjectionError(Exception):
    """Root of the errors of this package."""


class PlanError(InjectionError):
    """A function cannot be planned: its declaration has to be changed.

    The message names the function, where it stands, and the parameter.
    """


class UnknownName(InjectionError, LookupError):
    """Raised by a `Resolver` for a context path that leads nowhere.

    Planning turns it into a `PlanError` that names the function and the parameter.
    """


class MissingValue(InjectionError):
    """A value is absent for this message, and there is neither a default nor an initial.

    Attributes:
        path: Where it was looked for, one name after the other.
        parameter: The parameter that wanted it.
    """

    def __init__(self, where: str, *, path: tuple[str, ...], parameter: str) -> None:
        super().__init__(f"{where} got no value: no {'.'.join(path)!r} is there; give it a default")
        self.path = path
        self.parameter = parameter


class SwallowedError(InjectionError):
    """A generator dependency caught the handler's exception and did not raise it again.

    The message would count as handled though it was not. The exception itself is the cause.
    """
