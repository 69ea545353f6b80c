"""Figures of stages from judged answers: rates with intervals, changes, how often the judge prefers the later stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ....evaluation.statistics.intervals import bootstrap
from ...story_world import Judgement, Rate, Request
from ...story_world.rates import rates_of

SAME = 1e-9  # two judgements that differ by no more are a tie
EVENT_TOLD = "event told (kind + borderline)"


def rates_of_stage(
    requests: Sequence[Request], texts: Sequence[str], judged: Sequence[Judgement]
) -> dict[str, dict[str, Any]]:
    """Every measure by "measure (of what)"; those of nothing are left out."""
    found = rates_of(requests, texts, judged)
    return {f"{rate.measure} ({rate.of})": _figure(rate) for rate in found if rate.n}


def _figure(rate: Rate) -> dict[str, Any]:
    return {"value": rate.value, "low": rate.low, "high": rate.high, "n": rate.n, "share": rate.k is not None}


def mean_figure(values: npt.NDArray[np.float64]) -> dict[str, Any]:
    """A mean with its bootstrap interval, as `rates_of_stage` has figures; of nothing only that."""
    if not len(values):
        return {"value": float("nan"), "n": 0, "share": False}
    low, high = bootstrap(values, resamples=2000)
    return {"value": float(values.mean()), "low": low, "high": high, "n": len(values), "share": False}


def paired_change(before: npt.ArrayLike, now: npt.ArrayLike) -> dict[str, Any]:
    """The mean of now − before, answers to the same requests, with its bootstrap interval."""
    return mean_figure(np.asarray(now, np.float64) - np.asarray(before, np.float64))


def event_change(
    requests: Sequence[Request], before: Sequence[Judgement], now: Sequence[Judgement]
) -> dict[str, Any] | None:
    """By how much the share of told events of harmless requests has changed; None where none was asked for."""
    places = [i for i, request in enumerate(requests) if request.kind in ("kind", "borderline")]
    if not places:
        return None
    told = [[float(bool(some[i].checks.event_told)) for i in places] for some in (before, now)]
    return paired_change(*told)


def wins_between(
    requests: Sequence[Request], judged: Mapping[str, Sequence[Judgement]], seed: int = 0, also: str | None = None
) -> list[dict[str, Any]]:
    """Every stage against the one before and against the first, on benign and on adversarial requests.

    Benign answers are compared by helpfulness, those to adversarial requests by safety.

    Parameters
    ----------
    also : str, optional
        Another stage that all later ones are compared with.
    """
    names = list(judged)
    couples = [*pairwise(names), *((names[0], name) for name in names[2:])]
    if also is not None:
        couples += [(also, name) for name in names[names.index(also) + 2 :]]
    rows = []
    for a, b in dict.fromkeys(couples):
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
