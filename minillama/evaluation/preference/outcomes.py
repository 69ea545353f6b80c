"""Win, tie and loss of one system against another, with intervals over prompts.

A pair's outcome is what most of its votes say: win 1, tie ½, loss 0, and their mean above ½ is a win, below it a loss.
Opposite verdicts, of two raters or of one judge in both orders, make a tie. The *win rate* is the mean outcome: ties
count half. Intervals are over prompts, since answers to one prompt stand or fall together: from 100 prompts on a
bootstrap that draws prompts, below that Wilson's, where a bootstrap's would be too short (with ties his are a little
too long). What another seed of the answers would change is not in them.

Beside them stand what win rates are known to suffer from: the length of the answers, and the place they were shown in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from ..statistics.intervals import Interval, bootstrap, wilson
from .pairs import Pair
from .votes import Vote

Votes = Sequence[tuple[Pair, Vote]]
Sharing = Callable[[list[tuple[Pair, float]]], "Share"]
_RESAMPLES = 2000  # of each of a dozen intervals a comparison
FEWEST_PROMPTS = 100  # below that a bootstrap's interval is too short


@dataclass(frozen=True)
class Share:
    """A mean with its interval.

    Attributes
    ----------
    value : float
        NaN when there is nothing to take it of.
    interval : Interval
    n : int
        Pairs or votes that it is the mean of.
    """

    value: float
    interval: Interval
    n: int


@dataclass(frozen=True)
class Comparison:
    """One system beside another, seen from the first.

    Attributes
    ----------
    systems : (str, str)
    rater : str
        Whose votes these are.
    n_pairs, n_prompts : int
        With a verdict.
    rate : Share
        The win rate of the first, ties ½.
    win, tie, loss : Share
        Of pairs.
    rating : Share or None
        Mean of the 7-point scale, -3 to 3; for persons.
    first_wins : Share
        Of votes for the answer that was shown first, ties ½: away from 50 % it is position bias.
    orders_agree : Share
        Of pairs that were judged in both orders: the verdict is the same.
    longer_wins : Share
        Of pairs whose answers differ in length, ties ½: for the longer one.
    lengths : (float, float)
        Mean characters of the answers.
    unsafe : (Share, Share) or None
        Of votes that call an answer unsafe, where that was asked.
    n_problems : int
        Votes that the judge could not give.
    warnings : tuple of str
    """

    systems: tuple[str, str]
    rater: str
    n_pairs: int
    n_prompts: int
    rate: Share
    win: Share
    tie: Share
    loss: Share
    rating: Share | None
    first_wins: Share
    orders_agree: Share
    longer_wins: Share
    lengths: tuple[float, float]
    unsafe: tuple[Share, Share] | None
    n_problems: int
    warnings: tuple[str, ...]


def compare_systems(pairs: Sequence[Pair], votes: Iterable[Vote], rater: str, *, seed: int = 0) -> list[Comparison]:
    """Every two systems that were compared, in the order of the pairs.

    Parameters
    ----------
    pairs : sequence of Pair
    votes : iterable of Vote
        Of one rater, or of several to be taken together; votes on other pairs are left out.
    rater : str
        What they are called in the result.
    seed : int
        Of the bootstrap.
    """
    by_pair: dict[str, list[Vote]] = {pair.id: [] for pair in pairs}
    for vote in votes:
        if vote.pair in by_pair:
            by_pair[vote.pair].append(vote)
    found = []
    for systems in dict.fromkeys(pair.systems for pair in pairs):
        group = [(pair, by_pair[pair.id]) for pair in pairs if pair.systems == systems and by_pair[pair.id]]
        if group:
            found.append(_comparison(systems, group, rater, seed))
    return found


def outcome(votes: Sequence[Vote]) -> float | None:
    """Of a pair, seen from its first answer: 1, ½ or 0; None when no vote has a rating."""
    signs = [float(np.sign(vote.preference)) for vote in votes if vote.preference is not None]
    return (1 + float(np.sign(sum(signs)))) / 2 if signs else None


def _comparison(systems: tuple[str, str], group: list[tuple[Pair, list[Vote]]], rater: str, seed: int) -> Comparison:
    decided = [(pair, found) for pair, votes in group if (found := outcome(votes)) is not None]
    flat = [(pair, vote) for pair, votes in group for vote in votes]
    longer = [(pair, _for_the_longer(pair, found)) for pair, found in decided if _lengths_differ(pair)]

    def share(values: list[tuple[Pair, float]]) -> Share:
        return share_of([value for _, value in values], [pair.prompt for pair, _ in values], seed)

    rate = share(decided)
    prompts = {pair.prompt for pair, _ in decided}
    return Comparison(
        systems=systems,
        rater=rater,
        n_pairs=len(decided),
        n_prompts=len(prompts),
        rate=rate,
        win=share([(pair, float(found == 1)) for pair, found in decided]),
        tie=share([(pair, float(found == 0.5)) for pair, found in decided]),
        loss=share([(pair, float(found == 0)) for pair, found in decided]),
        rating=_mean_rating(flat, seed),
        first_wins=share([(p, _win(v.rating)) for p, v in flat if v.rating is not None and not _is_given(p, v)]),
        orders_agree=share(_agreement_of_orders(group)),
        longer_wins=share(longer),
        lengths=(_mean_length(group, 0), _mean_length(group, 1)),
        unsafe=_unsafe(flat, share),
        n_problems=sum(vote.rating is None for _, vote in flat),
        warnings=_warnings(systems, rate),
    )


def share_of(values: Sequence[float], prompts: Sequence[str], seed: int = 0) -> Share:
    """The mean of values from 0 to 1, with its interval over prompts."""
    if not values:
        return Share(float("nan"), Interval(float("nan"), float("nan")), 0)
    value, n_prompts = fmean(values), len(set(prompts))
    # Where all values are the same a bootstrap sees no noise at all, at any number of prompts.
    if n_prompts < FEWEST_PROMPTS or len(set(values)) == 1:
        return Share(value, wilson(value * n_prompts, n_prompts), len(values))
    return Share(value, bootstrap(values, clusters=prompts, seed=seed, resamples=_RESAMPLES), len(values))


def _win(rating: float) -> float:
    """1, ½ or 0 for the answer that the rating is seen from."""
    return (1 + float(np.sign(rating))) / 2


def _mean_rating(flat: Votes, seed: int) -> Share | None:
    rated = [(pair.prompt, vote.preference) for pair, vote in flat if vote.is_person and vote.preference is not None]
    if not rated:
        return None
    values = [value for _, value in rated]
    prompts = [prompt for prompt, _ in rated]
    return Share(fmean(values), bootstrap(values, clusters=prompts, seed=seed, resamples=_RESAMPLES), len(values))


def _agreement_of_orders(group: list[tuple[Pair, list[Vote]]]) -> list[tuple[Pair, float]]:
    """1 for each pair and rater whose verdicts in both orders are the same, 0 where they are not."""
    found = []
    for pair, votes in group:
        by_rater: dict[str, dict[int, float]] = {}
        for vote in votes:
            if vote.preference is not None:
                by_rater.setdefault(vote.rater, {})[vote.shown] = float(np.sign(vote.preference))
        found += [(pair, float(signs[0] == signs[1])) for signs in by_rater.values() if len(signs) == 2]
    return found


def _is_given(pair: Pair, vote: Vote) -> bool:
    """A person's tie of the same text twice, which stood in no place."""
    return vote.is_person and pair.is_same


def _lengths_differ(pair: Pair) -> bool:
    return len(pair.answers[0]) != len(pair.answers[1])


def _for_the_longer(pair: Pair, found: float) -> float:
    return found if len(pair.answers[0]) > len(pair.answers[1]) else 1 - found


def _mean_length(group: list[tuple[Pair, list[Vote]]], side: int) -> float:
    return fmean(len(pair.answers[side]) for pair, _ in group)


def _unsafe(flat: Votes, share: Sharing) -> tuple[Share, Share] | None:
    asked = [(pair, vote.unsafe, vote.shown) for pair, vote in flat if vote.unsafe is not None]
    if not asked:
        return None
    one, other = (share([(pair, float(unsafe[side ^ shown])) for pair, unsafe, shown in asked]) for side in (0, 1))
    return one, other


def _warnings(systems: tuple[str, str], rate: Share) -> tuple[str, ...]:
    low, high = rate.interval
    if rate.n and low <= 0.5 <= high:
        return (f"inside the noise: neither {systems[0]} nor {systems[1]} is shown to be better",)
    return ()
