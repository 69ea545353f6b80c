"""What all votes on a set of pairs say: comparisons, agreement of raters, a ranking, accuracy where it is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from .agreement import Agreement, agreement_of_votes
from .llmbar import Accuracy, accuracies
from .outcomes import FEWEST_PROMPTS, Comparison, compare_systems, outcome
from .pairs import Pair
from .ranking import Ranking, rank_systems
from .rating import SCALE
from .votes import ALL_PERSONS, Vote

_DIRECTIONS = (-1, 0, 1)


@dataclass(frozen=True)
class Results:
    """Of a set of pairs.

    Attributes
    ----------
    n_pairs, n_prompts, n_same : int
        `n_same` pairs have the same text twice.
    n_votes : {rater: votes}
    comparisons : tuple of Comparison
        For each rater, and for all persons together where there are several.
    agreement : {what was compared: Agreement}
        AC2 of persons on the seven points, and of every two raters on win, tie and loss.
    rankings : {rater: Ranking}
        Of three systems or more.
    accuracy : {rater: tuple of Accuracy}
        Where the better answer of pairs is known.
    problems : tuple of str
        Why something is missing, and what judges could not judge.
    """

    n_pairs: int
    n_prompts: int
    n_same: int
    n_votes: Mapping[str, int]
    comparisons: tuple[Comparison, ...]
    agreement: Mapping[str, Agreement]
    rankings: Mapping[str, Ranking]
    accuracy: Mapping[str, tuple[Accuracy, ...]]
    problems: tuple[str, ...]


def results_of(pairs: Sequence[Pair], votes: Sequence[Vote], *, seed: int = 0) -> Results:
    """Everything that the votes say about the pairs; votes on other pairs are left out.

    Parameters
    ----------
    pairs : sequence of Pair
    votes : sequence of Vote
        Of any number of raters, persons and judges.
    seed : int
        Of the bootstraps.
    """
    known = {pair.id for pair in pairs}
    groups = _by_rater([vote for vote in votes if vote.pair in known])
    comparisons = [c for rater, given in groups.items() for c in compare_systems(pairs, given, rater, seed=seed)]
    problems = [
        f"{rater} could not judge {len(failed)} times, first: {failed[0]}"
        for rater, given in groups.items()
        if (failed := [vote.problem for vote in given if vote.problem])
    ]
    several = len({pair.systems for pair in pairs}) > 1
    return Results(
        n_pairs=len(pairs),
        n_prompts=len({pair.prompt for pair in pairs}),
        n_same=sum(pair.is_same for pair in pairs),
        n_votes={rater: len(given) for rater, given in groups.items()},
        comparisons=tuple(comparisons),
        agreement=_agreements(pairs, groups, seed, problems),
        rankings=_rankings(pairs, groups, seed, problems) if several else {},
        accuracy=_accuracy(pairs, groups),
        problems=tuple(problems),
    )


def as_json(value: Any) -> Any:
    """Results as plain data: what is not a number is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return as_json(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if hasattr(value, "_asdict"):
        return as_json(value._asdict())
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _by_rater(votes: Sequence[Vote]) -> dict[str, list[Vote]]:
    """The votes of each rater, judges first; and of all persons where there are several."""
    ordered = sorted(votes, key=lambda vote: (vote.is_person, vote.rater))
    groups: dict[str, list[Vote]] = {}
    for vote in ordered:
        groups.setdefault(vote.rater, []).append(vote)
    persons = [vote for vote in ordered if vote.is_person]
    if len({vote.rater for vote in persons}) > 1:
        groups[ALL_PERSONS] = persons
    return groups


def _agreements(
    pairs: Sequence[Pair], groups: Mapping[str, Sequence[Vote]], seed: int, problems: list[str]
) -> dict[str, Agreement]:
    # Ties of the same text twice were never shown: raters would seem to agree on what they have not seen.
    prompts = {pair.id: pair.prompt for pair in pairs if not pair.is_same}
    asked: dict[str, tuple[Sequence[Vote], Sequence[float]]] = {}
    if ALL_PERSONS in groups:
        asked[f"{ALL_PERSONS}, seven points"] = groups[ALL_PERSONS], sorted(SCALE)
    raters = [rater for rater in groups if rater != ALL_PERSONS]
    for n, one in enumerate(raters):
        for other in raters[n + 1 :]:
            asked[f"{one} and {other}, win, tie or loss"] = [*groups[one], *groups[other]], _DIRECTIONS
    found = {}
    for name, (votes, categories) in asked.items():
        try:
            found[name] = agreement_of_votes(votes, prompts, categories, seed=seed)
        except ValueError as error:
            problems.append(f"no AC2 of {name}: {error}")
            continue
        if found[name].n_items < FEWEST_PROMPTS:
            n = found[name].n_items
            problems.append(
                f"AC2 of {name}: {n} pairs, below {FEWEST_PROMPTS} the interval of a bootstrap is too short"
            )
    return found


def _rankings(
    pairs: Sequence[Pair], groups: Mapping[str, Sequence[Vote]], seed: int, problems: list[str]
) -> dict[str, Ranking]:
    found = {}
    for rater, votes in groups.items():
        by_pair: dict[str, list[Vote]] = {}
        for vote in votes:
            by_pair.setdefault(vote.pair, []).append(vote)
        outcomes = {pair: value for pair, given in by_pair.items() if (value := outcome(given)) is not None}
        try:
            if outcomes:
                found[rater] = rank_systems(pairs, outcomes, seed=seed)
        except ValueError as error:
            problems.append(f"no ranking by {rater}: {error}")
    return found


def _accuracy(pairs: Sequence[Pair], groups: Mapping[str, Sequence[Vote]]) -> dict[str, tuple[Accuracy, ...]]:
    if not any(pair.better is not None for pair in pairs):
        return {}
    return {rater: tuple(accuracies(pairs, votes)) for rater, votes in groups.items() if rater != ALL_PERSONS}
