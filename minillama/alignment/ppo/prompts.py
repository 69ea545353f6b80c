"""Which prompts an iteration answers: as many of every kind as the mix says.

What PPO learns of one kind of request it pays for with others: a batch without harmless requests teaches that refusing
is free. So the mix is a setting, and every batch has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..models import Prompt


def quotas(kinds: Sequence[str], n: int, mix: Mapping[str, float] | None = None) -> dict[str, int]:
    """How many of `n` prompts are of each kind: by largest remainders, so that they add up.

    Parameters
    ----------
    kinds : sequence of str
        Those that there are.
    mix : mapping of str to float, optional
        Shares by kind, which need not add up to 1; the same for all by default.

    Raises
    ------
    ValueError
        When the mix names a kind that is not there, or its shares are no shares.
    """
    given = dict.fromkeys(sorted(set(kinds)), 1.0) if not mix else dict(mix)
    if missing := sorted(set(given) - set(kinds)):
        raise ValueError(
            f"the mix asks for prompts of the kind {missing[0]!r}; there are {', '.join(sorted(set(kinds)))}"
        )
    total = sum(given.values())
    if not total > 0 or min(given.values()) < 0:
        raise ValueError(f"the shares of a mix are not negative and not all 0; got {given}")
    exact = {kind: n * share / total for kind, share in given.items()}
    found = {kind: int(value) for kind, value in exact.items()}
    by_remainder = sorted(exact, key=lambda kind: (found[kind] - exact[kind], kind))
    for kind in by_remainder[: n - sum(found.values())]:
        found[kind] += 1
    return found


def draw_prompts(
    prompts: Sequence[Prompt], n: int, mix: Mapping[str, float] | None, seed: Sequence[int]
) -> list[Prompt]:
    """`n` different prompts, as many of every kind as the mix says: a function of the seed.

    Raises
    ------
    ValueError
        When there are fewer of a kind than asked for.
    """
    by_kind: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_kind.setdefault(prompt.kind, []).append(prompt)
    chosen: list[Prompt] = []
    for place, (kind, quota) in enumerate(sorted(quotas(list(by_kind), n, mix).items())):
        there = by_kind[kind]
        if quota > len(there):
            raise ValueError(f"a batch takes {quota} prompts of the kind {kind!r}, there are {len(there)}: add some, "
                             "or take a smaller batch or share")  # fmt: skip
        drawn = np.random.default_rng([*seed, place]).choice(len(there), quota, replace=False)
        chosen += [there[i] for i in drawn]
    return chosen
