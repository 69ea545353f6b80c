"""A judge over all pairs, in both orders or in a drawn one; what was judged before is not judged again.

Only what it could not judge is tried once more each time: the fault may have been in a reader's own file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from .judges import Judge, verdict_of
from .pairs import Pair, first_shown
from .votes import Vote, VoteLog

Orders = Literal["both", "drawn"]
Progress = Callable[[int, int], None]
"""Called with the votes that are there and all that there will be."""
_AT_A_TIME = 32  # votes that one write to the disk keeps


def judge_pairs(
    judge: Judge,
    pairs: Sequence[Pair],
    log: VoteLog | None = None,
    *,
    orders: Orders = "both",
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Vote]:
    """The votes of a judge.

    Parameters
    ----------
    judge : Judge
    pairs : sequence of Pair
    log : VoteLog, optional
        Where they are kept; those that are there already are taken from it.
    orders : "both" or "drawn"
        Each pair in both orders, or once in an order drawn with `seed`.

    Returns
    -------
    list of Vote
        In the order of the pairs; of both orders, first the pair's own.

    Raises
    ------
    ValueError
        When the log has a person's votes.
    """
    if log is not None and any(vote.is_person for vote in log.votes):
        raise ValueError(f"{log.rater} is a person who has voted already: give the judge another name")
    asked = list(_asked(judge, pairs, orders, seed))
    known = {} if log is None else {vote.key: vote for vote in log.votes}
    judged = {key for key, vote in known.items() if vote.problem is None}
    missing = [(pair, shown) for pair, shown in asked if (pair.id, shown) not in judged]
    for at in range(0, len(missing), _AT_A_TIME):
        votes = []
        for pair, shown in missing[at : at + _AT_A_TIME]:
            votes.append(vote_of(judge, pair, shown))
            if progress is not None:
                progress(len(asked) - len(missing) + at + len(votes), len(asked))
        if log is not None:
            log.append(*(vote for vote in votes if vote != known.get(vote.key)))
        known.update((vote.key, vote) for vote in votes)
    return [known[pair.id, shown] for pair, shown in asked]


def vote_of(judge: Judge, pair: Pair, shown: int) -> Vote:
    """One verdict, with answer `shown` of the pair first."""
    try:
        rating = verdict_of(judge.compare(pair.dialogue, pair.answers[shown], pair.answers[1 - shown]))
    except ValueError as error:  # a ContextFullError is one
        return Vote(pair.id, judge.name, shown, None, problem=str(error) or type(error).__name__)
    return Vote(pair.id, judge.name, shown, rating)


def _asked(judge: Judge, pairs: Sequence[Pair], orders: Orders, seed: int) -> Iterator[tuple[Pair, int]]:
    if orders not in ("both", "drawn"):
        raise ValueError(f'orders should be "both" or "drawn", got {orders!r}')
    for pair in pairs:
        for shown in (0, 1) if orders == "both" else (first_shown(pair, judge.name, seed),):
            yield pair, shown
