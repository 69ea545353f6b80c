"""A statement about one failing case, and what becomes of it when the other failing cases are asked.

A factor of 2 in one case may be sqrt(head_dim), or n_heads, or chance. Only what every case says is said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

_PLAIN = ("2", "ln 2", "pi", "e", "log2(e)")
CONSTANTS = {
    f"{sign}{text}" for name in _PLAIN for text in (name, f"1 / {name}", f"1 / ({name})") for sign in ("", "-")
}


@dataclass(frozen=True)
class Statement:
    """Something true of a wrong result.

    Attributes
    ----------
    template : str
        The sentence, with {name} where a name of the number stands.
    claim : str
        What another case has to say to agree; by default the sentence with its numbers left out.
    number : float, optional
        A factor or a difference: the same in every case, or with the same name in all.
    names : tuple of (name, how it is shown)
        What the number is in the sizes of the case: ("1 / sqrt(head_dim)", " = 1 / sqrt(head_dim)").
    of_one_case : bool
        It names what other cases may not have: the case is said with it.
    """

    template: str
    claim: str = ""
    number: float | None = None
    names: tuple[tuple[str, str], ...] = ()
    of_one_case: bool = False

    def __post_init__(self) -> None:
        if not self.claim:
            object.__setattr__(self, "claim", re.sub(r"\d[\d.e+-]*", "#", self.template))

    @property
    def text(self) -> str:
        return self.template.replace("{name}", self.names[0][1] if self.names else "")


def held(statement: Statement, others: Sequence[Sequence[Statement]]) -> Statement | None:
    """The statement, with those names that fit in all cases; None if another case does not agree."""
    names, is_same = statement.names, True
    for statements in others:
        twin = next((other for other in statements if other.claim == statement.claim), None)
        if twin is None:
            return None
        known = {name for name, _ in twin.names}
        names = tuple(pair for pair in names if pair[0] in known)
        if statement.number is not None and twin.number is not None:
            is_same &= math.isclose(statement.number, twin.number, rel_tol=2e-3)
    if not is_same and not names:
        return None
    if is_same:  # a size that was the same, too, may be it by chance
        names = tuple(pair for pair in names if pair[0] in CONSTANTS)
    return replace(statement, names=names)
