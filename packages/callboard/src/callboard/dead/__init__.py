"""Dead letters: looked through, counted by what they have in common, sent back, or dropped.

Reading takes nothing away. What is sent back or dropped is removed from where the letters are kept,
and that is done only when the broker has what was sent back.
"""

from __future__ import annotations

from ._letter import Letter, Only
from ._letters import DeadLetters, Group, Opened, Replayed

__all__ = ["DeadLetters", "Group", "Letter", "Only", "Opened", "Replayed"]
