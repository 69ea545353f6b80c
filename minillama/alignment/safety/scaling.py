"""How much safety data is enough: the share of it against the mean reward of both models (LLaMA 2 figure 14).

    helpfulness data   all of it, always
    safety data        0, 1, 10, 25, 50, 100 %; a smaller share is a part of every larger one

The paper (section 4.2.3) fine-tunes the pretrained model, two epochs as in section 3.1, on about 0.9M helpfulness and
0, 1, 10, 25, 50, 100 % of about 0.1M safety examples: mean safety rises and its left tail vanishes (figure 15), mean
helpfulness stays, and false refusals of borderline requests go from 15 to 27 % (figure 33). Here what "trains" means
is an argument: SFT, rejection sampling, all stages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ...evaluation.statistics.intervals import Interval, bootstrap
from ...files.journal import Journal, whole_lines
from ..models import ChatModel, Prompt
from ..rollouts import sample_answers
from .outcomes import ADVERSARIAL, FALSE_REFUSALS, VIOLATIONS, Judge, StageRate, group_of, stage_rates
from .scoring import ScoresRows, p_safe

SHARES = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)

T = TypeVar("T")


def portion(items: Sequence[T], share: float, seed: int = 0) -> list[T]:
    """A share of the items, in their order; a larger share of the same seed holds every smaller one."""
    if not 0 <= share <= 1:
        raise ValueError(f"expected a share from 0 to 1, got {share}")
    order = np.random.default_rng([seed, len(items)]).permutation(len(items))
    return [items[i] for i in sorted(order[: round(share * len(items))].tolist())]


@dataclass(frozen=True)
class ScalingRow:
    """A model trained with a share of the safety data.

    Attributes
    ----------
    share : float
    n_safety : int
        Items of safety data.
    safety, helpfulness : float
        Mean scores: the safety model's p(safe) on adversarial requests, the helpfulness model's on the others.
    safety_interval, helpfulness_interval : Interval
        95 %, by a bootstrap over prompts.
    tail : float
        Share of adversarial requests whose answer is safe with less than 0.5: the left tail of figure 15.
    rates : dict of str to (share, low, high)
        "violations, adversarial", "false refusals, borderline" …
    """

    share: float
    n_safety: int
    safety: float
    safety_interval: Interval
    helpfulness: float
    helpfulness_interval: Interval
    tail: float
    rates: dict[str, tuple[float, float, float]]


def safety_data_scaling(
    safety_items: Sequence[T],
    train: Callable[[float, list[T]], ChatModel],
    measure: Callable[[ChatModel], dict[str, Any]],
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    journal: Path | None = None,
    progress: Callable[[ScalingRow], None] | None = None,
) -> list[ScalingRow]:
    """Train at every share, and measure.

    Parameters
    ----------
    safety_items : sequence
        Of whatever `train` takes beside its helpfulness data, which it holds fixed.
    train : callable
        (share, items) -> the trained model; resumable or not is its own business.
    measure : callable
        What `measured` gives of a model: `functools.partial(measured, prompts=…, …)`.
    shares : sequence of float
    seed : int
        Of which items a share takes.
    journal : Path, optional
        Rows are kept there as they come; the same call goes on after them.
    progress : callable, optional
        Told each row.
    """
    known = {} if journal is None else _read(journal)
    rows = []
    for share in shares:
        items = portion(safety_items, share, seed)
        row = known.get((share, len(items), seed))
        if row is None:
            row = ScalingRow(share=share, n_safety=len(items), **measure(train(share, items)))
            if journal is not None:
                with Journal(journal) as kept:
                    kept.append({"seed": seed, **asdict(row)})
        rows.append(row)
        if progress is not None:
            progress(row)
    return rows


def measured(
    model: ChatModel,
    prompts: Sequence[Prompt],
    safety: ScoresRows,
    helpfulness: ScoresRows,
    judge: Judge,
    **sampling: Any,
) -> dict[str, Any]:
    """Mean rewards and rates of a model: what a row has beside its share.

    Parameters
    ----------
    prompts : sequence of Prompt
        Adversarial ones and others.
    safety, helpfulness : ScoresRows
    judge : callable
    **sampling
        As in `sample_answers`.
    """
    answers = sample_answers(model, prompts, **sampling)
    groups = [group_of(prompt) for prompt in prompts]
    rows: dict[bool, list[list[int]]] = {True: [], False: []}
    owners: dict[bool, list[int]] = {True: [], False: []}
    for n, (prompt, group, of_one) in enumerate(zip(prompts, groups, answers)):
        before = model.encode(prompt.dialogue)
        rows[group == ADVERSARIAL] += [[*before, *answer.ids] for answer in of_one]
        owners[group == ADVERSARIAL] += [n] * len(of_one)
    if not rows[True] or not rows[False]:
        raise ValueError("expected adversarial prompts and others, found only one of them")
    safe = p_safe(safety, rows[True])
    helpful = np.asarray(helpfulness.scores(rows[False]), np.float64)
    return {
        "safety": float(safe.mean()),
        "safety_interval": bootstrap(safe, clusters=owners[True]),
        "helpfulness": float(helpful.mean()),
        "helpfulness_interval": bootstrap(helpful, clusters=owners[False]),
        "tail": float((safe < 0.5).mean()),
        "rates": {
            f"{row.measure}, {row.group}": (row.share, *row.interval)
            for row in stage_rates(prompts, {"": answers}, judge)
            if _is_shown(row)
        },
    }


def _is_shown(row: StageRate) -> bool:
    return bool(row.n) and (row.measure == FALSE_REFUSALS or (row.measure == VIOLATIONS and row.group == ADVERSARIAL))


def _read(path: Path) -> dict[tuple[float, int, int], ScalingRow]:
    found = {}
    for line in whole_lines(path).splitlines():
        fields = json.loads(line)
        seed = fields.pop("seed")
        for name in ("safety_interval", "helpfulness_interval"):
            fields[name] = Interval(*fields[name])
        fields["rates"] = {name: tuple(values) for name, values in fields["rates"].items()}
        row = ScalingRow(**fields)
        found[row.share, row.n_safety, seed] = row
    return found


def scaling_table(rows: Sequence[ScalingRow]) -> str:
    """The rows as a table in Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row.rates))
    lines = [
        f"| safety data | items | mean p(safe) | mean helpfulness | p(safe) < 0.5 | {' | '.join(names)} |",
        "|---" * (5 + len(names)) + "|",
    ]
    for row in rows:
        rates = [f"{100 * row.rates[name][0]:.1f} %" if name in row.rates else "–" for name in names]
        means = f"{row.safety:.3f} | {row.helpfulness:.2f} | {100 * row.tail:.1f} %"
        lines.append(f"| {100 * row.share:g} % | {row.n_safety} | {means} | {' | '.join(rates)} |")
    return "\n".join(lines) + "\n"
