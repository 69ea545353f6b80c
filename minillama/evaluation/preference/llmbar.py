"""LLMBar as a test of judges: which share of answers known to be better a judge calls better.

LLMBar (Zeng et al. 2023, arXiv:2310.07641) has 419 pairs of answers to an instruction, one of which follows it. In
the *natural* subset the better one is also what it looks like; in the four *adversarial* ones the worse answer looks
better: it answers a neighbouring instruction (Neighbor, GPTInst), or was made so by GPT-4 (GPTOut) or by hand (Manual).
A judge that goes by length or fluency is below chance there. Files are read from a folder of the reader's:
natural.json, adv_Neighbor.json, adv_GPTInst.json, adv_GPTOut.json, adv_Manual.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from ..statistics.intervals import Interval, wilson
from .pairs import Pair, make_pair
from .prompts import Prompt
from .rows import Row, read_rows
from .votes import Vote

SUBSETS = {
    "natural": "natural.json",
    "adversarial Neighbor": "adv_Neighbor.json",
    "adversarial GPTInst": "adv_GPTInst.json",
    "adversarial GPTOut": "adv_GPTOut.json",
    "adversarial Manual": "adv_Manual.json",
}
_SYSTEMS = ("output_1", "output_2")


@dataclass(frozen=True)
class Accuracy:
    """A judge on one subset.

    Attributes
    ----------
    subset : str
    n : int
        Pairs with a verdict.
    accuracy : float
        Mean over pairs of the verdicts that were right, of both orders where both were judged; ties ½.
    interval : Interval
        Wilson's; with halves it is a little too long.
    orders_agree : float
        Share of pairs with the same verdict in both orders; NaN when they were judged in one.
    orders_interval : Interval
    ties : float
        Share of verdicts.
    first_wins : float
        Share of verdicts for the answer that stood first, ties ½.
    n_problems : int
        Verdicts that the judge could not give.
    """

    subset: str
    n: int
    accuracy: float
    interval: Interval
    orders_agree: float
    orders_interval: Interval
    ties: float
    first_wins: float
    n_problems: int


def read_llmbar(folder: str | Path) -> list[Pair]:
    """The pairs of all subsets.

    Raises
    ------
    ValueError
        When a file is missing, or a row is no pair with a label.
    """
    folder = Path(folder)
    if missing := [name for name in SUBSETS.values() if not (folder / name).is_file()]:
        raise ValueError(f"{folder} lacks {', '.join(missing)}: expected LLMBar's files {', '.join(SUBSETS.values())}")
    pairs = []
    for subset, name in SUBSETS.items():
        for n, row in enumerate(read_rows(folder / name)):
            pairs.append(_pair(row, subset, n))
    return pairs


def accuracies(pairs: Sequence[Pair], votes: Iterable[Vote]) -> list[Accuracy]:
    """A row for each subset, one for all adversarial subsets and one for all pairs.

    Parameters
    ----------
    pairs : sequence of Pair
        Whose better answer is known.
    votes : iterable of Vote
        Of one judge.
    """
    known = [pair for pair in pairs if pair.better is not None]
    given: dict[str, list[Vote]] = {pair.id: [] for pair in known}
    for vote in votes:
        if vote.pair in given:
            given[vote.pair].append(vote)
    subsets = {subset: [p for p in known if p.subset == subset] for subset in dict.fromkeys(p.subset for p in known)}
    adversarial = [pair for pair in known if pair.subset.startswith("adversarial")]
    groups = {**subsets, **({"adversarial, all": adversarial} if adversarial else {}), "all": known}
    return [_accuracy(subset, group, given) for subset, group in groups.items() if subset or len(subsets) > 1]


def _accuracy(subset: str, group: Sequence[Pair], given: dict[str, list[Vote]]) -> Accuracy:
    rights, agreeing, verdicts, n_problems = [], [], [], 0
    for pair in group:
        signs = {vote.shown: float(np.sign(vote.preference)) for vote in given[pair.id] if vote.preference is not None}
        n_problems += sum(vote.rating is None for vote in given[pair.id])
        towards = 1 if pair.better == 0 else -1
        if signs:
            rights.append(fmean((1 + towards * sign) / 2 for sign in signs.values()))
        if len(signs) == 2:
            agreeing.append(signs[0] == signs[1])
        verdicts += [sign if shown == 0 else -sign for shown, sign in signs.items()]
    nothing = float("nan")
    return Accuracy(
        subset,
        len(rights),
        fmean(rights) if rights else nothing,
        wilson(sum(rights), len(rights)),
        fmean(agreeing) if agreeing else nothing,
        wilson(sum(agreeing), len(agreeing)),
        fmean(sign == 0 for sign in verdicts) if verdicts else nothing,
        fmean((1 + sign) / 2 for sign in verdicts) if verdicts else nothing,
        n_problems,
    )


def _pair(row: Row, subset: str, n: int) -> Pair:
    label = row.values.get("label")
    if label not in (1, 2, "1", "2"):
        row.fail(f'expected a "label" of 1 or 2, found {label!r:.40}')
    prompt = Prompt(f"{subset} {n}", ({"role": "user", "content": row.text("input")},))
    return make_pair(prompt, _SYSTEMS, (row.text("output_1"), row.text("output_2")), int(label) - 1, subset)
