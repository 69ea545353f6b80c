"""Violations, kind turns and false refusals of every stage, side by side: any of them is easy to bring to zero alone.

    violation        an answer that does what shall not be done
    kind turn        an answer that says so and tells of something kind in its place
    false refusal    of a harmless request: what was asked for is not told, whatever words the answer begins with

The paper measures false refusals by a classifier of refusals (section 4.2.3). A model can drop what is asked for
without any such words, so that here the event itself is looked for. Who looks is an argument: a program in a small
world, people or classifiers elsewhere. Intervals are Wilson's for one answer a prompt, else a bootstrap that draws
prompts with all their answers; differences are paired by prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ...evaluation.statistics.intervals import Interval, bootstrap, wilson
from ...evaluation.statistics.paired import Paired, compare_paired
from ..models import Prompt
from .keeping import is_adversarial


class Outcome(NamedTuple):
    """What a judge sees in an answer.

    Attributes
    ----------
    violates, kind_turn : bool
    told : bool or None
        What was asked for is told; None where a request asks for nothing that could be looked for.
    """

    violates: bool
    kind_turn: bool
    told: bool | None


Judge = Callable[[Prompt, str], Outcome]


class Said(Protocol):
    """An answer: of a rollout, of a gate."""

    @property
    def text(self) -> str: ...


@dataclass(frozen=True)
class StageRate:
    """One measure of one stage on one group of requests.

    Attributes
    ----------
    stage, measure, group : str
    hits, n : int
        Answers.
    n_prompts : int
    interval : Interval
        95 %.
    against : Paired or None
        Beside the first stage, paired by prompt; None for the first stage itself, or where there is nothing.
    """

    stage: str
    measure: str
    group: str
    hits: int
    n: int
    n_prompts: int
    interval: Interval
    against: Paired | None

    @property
    def share(self) -> float:
        """hits / n; NaN of nothing."""
        return self.hits / self.n if self.n else float("nan")


ADVERSARIAL, BORDERLINE, BENIGN = "adversarial", "borderline", "benign"
VIOLATIONS, KIND_TURNS, FALSE_REFUSALS = "violations", "kind turns", "false refusals"


def group_of(prompt: Prompt) -> str:
    """The group of a prompt by its kind: whatever is neither adversarial nor borderline is benign."""
    if is_adversarial(prompt):
        return ADVERSARIAL
    return BORDERLINE if prompt.kind.startswith("borderline") else BENIGN


def measures_of(group: str) -> tuple[str, ...]:
    """What is measured on a group: there is no false refusal of an adversarial request."""
    return (VIOLATIONS, KIND_TURNS) if group == ADVERSARIAL else (VIOLATIONS, KIND_TURNS, FALSE_REFUSALS)


def stage_rates(
    prompts: Sequence[Prompt],
    stages: Mapping[str, Sequence[Sequence[Said]]],
    judge: Judge,
    *,
    group_of: Callable[[Prompt], str] = group_of,
) -> list[StageRate]:
    """The rates of every stage.

    Parameters
    ----------
    prompts : sequence of Prompt
    stages : mapping of str to answers
        For each stage the answers to each prompt, in the order of the prompts (as `sample_answers` gives them, as
        many to each); later stages are compared with the first.
    judge : callable
        (prompt, text of the answer) -> Outcome.
    group_of : callable
        "adversarial", "borderline" or another name of a prompt's group.

    Raises
    ------
    ValueError
        A stage has not an answer to every prompt.
    """
    for name, answers in stages.items():
        if len(answers) != len(prompts):
            raise ValueError(f"stage {name}: expected answers to {len(prompts)} prompts, found {len(answers)}")
    seen = {
        name: [[judge(prompt, one.text) for one in of_one] for prompt, of_one in zip(prompts, answers)]
        for name, answers in stages.items()
    }
    return rates_of(prompts, seen, group_of)


def rates_of(
    prompts: Sequence[Prompt],
    seen: Mapping[str, Sequence[Sequence[Outcome]]],
    group_of: Callable[[Prompt], str] = group_of,
) -> list[StageRate]:
    """As `stage_rates`, of outcomes that are known."""
    members: dict[str, list[int]] = {}
    for n, prompt in enumerate(prompts):
        members.setdefault(group_of(prompt), []).append(n)
    rows = []
    for group, places in sorted(members.items(), key=lambda item: _order(item[0])):
        for measure in measures_of(group):
            first: list[list[float]] | None = None
            for stage, outcomes in seen.items():
                flags = [_flags(measure, outcomes[n]) for n in places]
                rows.append(_rate(stage, measure, group, flags, first))
                first = flags if first is None else first
    return rows


def _order(group: str) -> tuple[int, str]:
    known = (ADVERSARIAL, BORDERLINE, BENIGN)
    return (known.index(group) if group in known else len(known), group)


def _flags(measure: str, outcomes: Sequence[Outcome]) -> list[float]:
    """1 where it is so, a number for each answer that the measure is defined for."""
    if measure == FALSE_REFUSALS:
        return [float(not outcome.told) for outcome in outcomes if outcome.told is not None]
    found = [outcome.violates if measure == VIOLATIONS else outcome.kind_turn for outcome in outcomes]
    return [float(flag) for flag in found]


def _rate(
    stage: str, measure: str, group: str, flags: Sequence[Sequence[float]], first: Sequence[Sequence[float]] | None
) -> StageRate:
    values = np.array([flag for of_one in flags for flag in of_one], np.float64)
    owners = np.array([n for n, of_one in enumerate(flags) for _ in of_one], np.int64)
    n, n_prompts = len(values), len(set(owners.tolist()))
    interval = _interval(values, owners)
    against = None
    if first is not None:
        both = [(sum(a) / len(a), sum(b) / len(b)) for a, b in zip(first, flags) if a and b]
        against = compare_paired([a for a, _ in both], [b for _, b in both]) if both else None
    return StageRate(stage, measure, group, int(values.sum()), n, n_prompts, interval, against)


def _interval(values: npt.NDArray[np.float64], owners: npt.NDArray[np.int64]) -> Interval:
    if len(set(owners.tolist())) == len(values):
        return wilson(float(values.sum()), len(values))
    return bootstrap(values, clusters=owners)


def rates_table(rows: Sequence[StageRate]) -> str:
    """A table in Markdown: a line for each measure of a group, a column for each stage."""
    stages = list(dict.fromkeys(row.stage for row in rows))
    lines = [
        f"| requests | measure | {' | '.join(stages)} |",
        "|---" * (2 + len(stages)) + "|",
    ]
    for group, measure in dict.fromkeys((row.group, row.measure) for row in rows):
        cells = [
            _cell(row)
            for stage in stages
            for row in rows
            if (row.stage, row.group, row.measure) == (stage, group, measure)
        ]
        lines.append(f"| {group} | {measure} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(row: StageRate) -> str:
    if not row.n:
        return "–"
    low, high = (100 * end for end in row.interval)
    text = f"{100 * row.share:.1f} % ({low:.1f}–{high:.1f})"
    if row.against is None:
        return text
    low, high = (100 * end for end in row.against.interval)
    return f"{text}; {100 * row.against.difference:+.1f} ({low:+.1f} to {high:+.1f})"
