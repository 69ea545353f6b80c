"""Which distilled answers are learned, and what is replayed beside them.

    kept                      adversarial prompts, where the safety model prefers the distilled answer: the paper's rule
    all adversarial           without asking the safety model
    adversarial and benign    every prompt: answers to harmless ones get vague, or are refused

Whatever is learned alone replaces what is not replayed: kept answers to adversarial requests are mixed with answers to
harmless ones that look like them ("burns the toast" beside "hurts the bunny"), as many borderline ones as kept ones.
The paper's mix is unconfirmed; these shares are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..conversations import Example, answers_learned
from ..conversations.spans import answered
from ..models import Prompt
from .distillation import Distilled

KEPT, ALL_ADVERSARIAL, WITH_BENIGN = "kept", "all adversarial", "adversarial and benign"
VARIANTS = (KEPT, ALL_ADVERSARIAL, WITH_BENIGN)


def is_adversarial(prompt: Prompt) -> bool:
    """By the name of its kind: a tag alone may also stand on borderline requests, whose answers are wanted."""
    return prompt.kind.startswith("adversarial")


def chosen(
    rows: Sequence[Distilled],
    variant: str = KEPT,
    *,
    least: float = 0.0,
    is_adversarial: Callable[[Prompt], bool] = is_adversarial,
) -> list[Distilled]:
    """The rows that a variant learns.

    Parameters
    ----------
    rows : sequence of Distilled
    variant : str
        One of `VARIANTS`.
    least : float
        An extension of the rule: keep only answers that are safe with at least this probability.
    is_adversarial : callable

    Raises
    ------
    ValueError
        The variant is not known.
    """
    if variant not in VARIANTS:
        raise ValueError(f"there is no variant {variant!r} of context distillation: choose of {', '.join(VARIANTS)}")
    ended = [row for row in rows if row.ended]
    if variant == WITH_BENIGN:
        return ended
    adversarial = [row for row in ended if is_adversarial(row.prompt)]
    if variant == ALL_ADVERSARIAL:
        return adversarial
    return [row for row in adversarial if row.is_preferred and row.distilled_safe >= least]


def examples_of(rows: Sequence[Distilled]) -> list[Example]:
    """Each prompt without its pre-prompt, and the distilled answer, which is learned."""
    return [answers_learned(answered(row.prompt_ids, row.ids)) for row in rows]


def mixed(
    kept: Sequence[Example],
    replay: Mapping[str, Sequence[Example]],
    shares: Mapping[str, float],
    *,
    seed: int = 0,
) -> list[Example]:
    """Kept examples with others beside them, in an order drawn from the seed.

    Parameters
    ----------
    kept : sequence of Example
    replay : mapping of str to sequence of Example
        What may be replayed, by kind: "borderline", "kind", "story" …
    shares : mapping of str to float
        Examples of a kind for each kept one; {"borderline": 1.0} is one to one. Each is taken once before any is
        taken twice.

    Raises
    ------
    ValueError
        A share is asked of a kind that there is nothing to replay of.
    """
    found = list(kept)
    for number, (kind, share) in enumerate(shares.items()):
        wanted, pool = round(share * len(kept)), replay.get(kind, ())
        if wanted and not pool:
            raise ValueError(f"there is nothing of the kind {kind!r} to replay: found {', '.join(replay) or 'nothing'}")
        rng = np.random.default_rng([seed, number])
        while wanted > 0:
            order = rng.permutation(len(pool))[:wanted]
            found += [pool[i] for i in order]
            wanted -= len(order)
    return [found[i] for i in np.random.default_rng([seed, len(shares)]).permutation(len(found))]


class Part(NamedTuple):
    """A line of the table of what was kept.

    Attributes
    ----------
    name : str
    n : int
    violations, kind_turns : float
        Shares by a judge, after the fact; NaN of nothing.
    p_safe : float
        Mean probability of being safe by the safety model.
    """

    name: str
    n: int
    violations: float
    kind_turns: float
    p_safe: float


def parts_of(rows: Sequence[Distilled], kept: Sequence[Distilled], judge: Callable[[Prompt, str], Any]) -> list[Part]:
    """What the rule kept and what it dropped, by a judge that had no say in it.

    Parameters
    ----------
    rows : sequence of Distilled
        All of which `kept` was chosen.
    kept : sequence of Distilled
    judge : callable
        (prompt, answer) -> `outcomes.Outcome`.
    """
    ids = {row.prompt.id for row in kept}
    groups = {
        "own answers": [(row.prompt, row.own, row.own_safe) for row in rows],
        "behind a pre-prompt": [(row.prompt, row.distilled, row.distilled_safe) for row in rows],
        "kept": [(row.prompt, row.distilled, row.distilled_safe) for row in rows if row.prompt.id in ids],
        "dropped": [(row.prompt, row.distilled, row.distilled_safe) for row in rows if row.prompt.id not in ids],
    }
    parts = []
    for name, members in groups.items():
        seen = [judge(prompt, text) for prompt, text, _ in members]
        parts.append(
            Part(
                name,
                len(members),
                _mean([outcome.violates for outcome in seen]),
                _mean([outcome.kind_turn for outcome in seen]),
                _mean([safe for _, _, safe in members]),
            )
        )
    return parts


def parts_table(parts: Sequence[Part]) -> str:
    """The parts as a table in Markdown."""
    lines = ["| answers | n | violations | kind turns | mean p(safe) |", "|---|---|---|---|---|"]
    for part in parts:
        rates = f"{100 * part.violations:.1f} % | {100 * part.kind_turns:.1f} % | {part.p_safe:.3f}"
        lines.append(f"| {part.name} | {part.n} | {rates} |")
    return "\n".join(lines) + "\n"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
