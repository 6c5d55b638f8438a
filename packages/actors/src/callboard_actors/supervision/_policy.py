"""What a supervisor was told: which children go together, and when it ends by itself. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from callboard_actors._errors import SpecError
from callboard_actors.supervision._child import ChildSpec
from callboard_actors.supervision._restarts import check_limit
from callboard_actors.supervision._slot import Slot

Strategy: TypeAlias = Literal["one_for_one", "rest_for_one", "one_for_all", "dynamic"]
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The options of a supervisor.

    Raises:
        SpecError: One of them is unknown, or makes no sense.
    """

    name: str
    strategy: Strategy
    intensity: float
    period: float
    auto_shutdown: AutoShutdown

    def __post_init__(self) -> None:
        owner = f"supervisor {self.name!r}"
        check_limit(owner, self.intensity, self.period)
        if self.strategy not in get_args(Strategy):
            known = ", ".join(get_args(Strategy))
            raise SpecError(f"{owner} has strategy={self.strategy!r}; choose of {known}")
        if self.auto_shutdown not in get_args(AutoShutdown):
            known = ", ".join(get_args(AutoShutdown))
            raise SpecError(f"{owner} has auto_shutdown={self.auto_shutdown!r}; choose of {known}")

    @property
    def groups(self) -> bool:
        """Whether a child may be restarted because of another one."""
        return self.strategy in {"rest_for_one", "one_for_all"}

    def check(self, specs: Sequence[ChildSpec]) -> None:
        """Refuse children that it cannot start with.

        Raises:
            SpecError: Two have the same id, one must not be here, or a dynamic supervisor has any.
        """
        ids = [spec.id for spec in specs]
        if len(set(ids)) < len(ids):
            message = f"supervisor {self.name!r} has two children of one id: {', '.join(ids)}"
            raise SpecError(message)
        if ids and self.strategy == "dynamic":
            message = f"supervisor {self.name!r} is dynamic; give {ids} to its start_child"
            raise SpecError(message)
        for spec in specs:
            self.check_child(spec)

    def check_child(self, spec: ChildSpec) -> None:
        """Refuse a child that cannot be here.

        Raises:
            SpecError: It is significant where nothing is, or a supervisor that shuts down by
                itself, and permanent, so that it would start again.
        """
        if spec.significant and self.auto_shutdown == "never":
            message = (
                f"supervisor {self.name!r} has a significant child {spec.id!r}, but"
                " auto_shutdown='never'; give it 'any_significant' or 'all_significant'"
            )
            raise SpecError(message)

    def group(self, slot: Slot, slots: Iterable[Slot]) -> list[Slot]:
        """Return which of *slots* are to be restarted with *slot*, in the order of their start."""
        if not self.groups:
            return [slot]
        all_slots = list(slots)
        return all_slots if self.strategy == "one_for_all" else all_slots[all_slots.index(slot) :]

    def ends_with(self, slot: Slot, slots: Collection[Slot]) -> bool:
        """Whether the supervisor shuts down, now that *slot* has ended by itself for good."""
        if not slot.spec.significant or self.auto_shutdown == "never":
            return False
        left = any(other.spec.significant and not other.is_over for other in slots)
        return self.auto_shutdown == "any_significant" or not left
