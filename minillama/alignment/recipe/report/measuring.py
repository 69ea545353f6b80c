"""Figures of stages from judged answers: rates with intervals, and how often the judge prefers the later stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ....evaluation.statistics.intervals import bootstrap
from ...story_world import Judgement, Rate, Request
from ...story_world.rates import rates_of

SAME = 1e-9  # two judgements that differ by no more are a tie


def rates_of_stage(
    requests: Sequence[Request], texts: Sequence[str], judged: Sequence[Judgement]
) -> dict[str, dict[str, Any]]:
    """Every measure by "measure (of what)"; those of nothing are left out."""
    found = rates_of(requests, texts, judged)
    return {f"{rate.measure} ({rate.of})": _figure(rate) for rate in found if rate.n}


def _figure(rate: Rate) -> dict[str, Any]:
    return {"value": rate.value, "low": rate.low, "high": rate.high, "n": rate.n, "share": rate.k is not None}


def wins_between(
    requests: Sequence[Request], judged: Mapping[str, Sequence[Judgement]], seed: int = 0
) -> list[dict[str, Any]]:
    """Every stage against the one before and against the first, on benign and on adversarial requests.

    Benign answers are compared by helpfulness, those to adversarial requests by safety.
    """
    names = list(judged)
    couples = [*pairwise(names), *((names[0], name) for name in names[2:])]
    rows = []
    for a, b in couples:
        for kind in ("benign", "adversarial"):
            places = [i for i, r in enumerate(requests) if r.is_adversarial == (kind == "adversarial")]
            if places:
                worth = (lambda one: one.s) if kind == "adversarial" else (lambda one: one.h)
                points = np.array([_point(worth(judged[a][i]), worth(judged[b][i])) for i in places])
                owners = [requests[i].id for i in places]
                low, high = bootstrap(points, clusters=owners, seed=seed)
                rows.append(
                    {"a": a, "b": b, "kind": kind, "rate": float(points.mean()), "low": low, "high": high}
                    | {"n": len(points)}
                )
    return rows


def _point(before: float, now: float) -> float:
    return 0.5 if abs(now - before) <= SAME else float(now > before)
