"""Figures of answers that no program judges: refusals by a classifier, lengths, repetition, and wins with the judges.

A false refusal is a refusal of a prompt that is meant to be helped with. The classifier is wrong about one refusal in
three (evaluation/red_team/refusals), so that the string match stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ....evaluation.red_team.refusals import default_classifier, looks_like_refusal
from ....evaluation.statistics.intervals import bootstrap, wilson
from ...models import Prompt
from ...story_world.diversity import distinct_four_grams
from .judging import points

HELPFUL, ADVERSARIAL = "helpful", "adversarial"
GROUPS = (HELPFUL, ADVERSARIAL)
Row = Mapping[str, Any]
"""An answer of a stage: "text", "ended", "ids"."""


def places_of(prompts: Sequence[Prompt], group: str) -> list[int]:
    """Where the prompts of a kind are."""
    return [i for i, prompt in enumerate(prompts) if prompt.kind == group]


def rates_of_answers(
    prompts: Sequence[Prompt], rows: Sequence[Row], judged: npt.NDArray[np.float64]
) -> dict[str, dict[str, Any]]:
    """Every measure by "measure (of what)"; those of nothing are left out."""
    found: dict[str, dict[str, Any]] = {}
    for group, refused in ((ADVERSARIAL, "refusals"), (HELPFUL, "false refusals")):
        if not (places := places_of(prompts, group)):
            continue
        texts = [rows[i]["text"] for i in places]
        found[f"{refused} by the classifier ({group})"] = share_of(default_classifier().refuses(texts))
        found[f"{refused} by the string match ({group})"] = share_of([looks_like_refusal(text) for text in texts])
        found[f"score of the held-out judge ({group})"] = mean_of(judged[places])
        found[f"words ({group})"] = mean_of([len(text.split()) for text in texts])
        found[f"ended ({group})"] = share_of([rows[i]["ended"] for i in places])
        distinct = distinct_four_grams(texts)
        if not np.isnan(distinct):
            found[f"distinct 4-grams ({group})"] = {"value": distinct, "n": len(texts)}
    return found


def share_of(flags: npt.ArrayLike) -> dict[str, Any]:
    """A share with Wilson's interval."""
    values = np.asarray(flags, np.float64)
    low, high = wilson(float(values.sum()), len(values))
    return {"value": float(values.mean()), "low": low, "high": high, "n": len(values), "share": True}


def mean_of(numbers: npt.ArrayLike) -> dict[str, Any]:
    """A mean with a bootstrap's interval over prompts."""
    values = np.asarray(numbers, np.float64)
    low, high = bootstrap(values, resamples=2000)
    return {"value": float(values.mean()), "low": low, "high": high, "n": len(values), "share": False}


def wins_by_scores(
    prompts: Sequence[Prompt], judged: Mapping[str, npt.NDArray[np.float64]], seed: int = 0
) -> list[dict[str, Any]]:
    """Every stage against the one before and against the first, on prompts of both kinds."""
    names = list(judged)
    rows = []
    for a, b in [*pairwise(names), *((names[0], name) for name in names[2:])]:
        for group in GROUPS:
            if places := places_of(prompts, group):
                won = points(judged[a][places], judged[b][places])
                low, high = bootstrap(won, clusters=[prompts[i].id for i in places], seed=seed)
                row = {"a": a, "b": b, "kind": group, "rate": float(won.mean()), "low": low, "high": high}
                rows.append(row | {"n": len(places)})
    return rows
