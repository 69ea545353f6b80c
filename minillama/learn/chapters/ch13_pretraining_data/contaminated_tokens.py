"""LLaMA 2's contamination test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_tokens(rng: np.random.Generator, segments: int, first: int, budget: int) -> tuple[Any, ...]:
    """A sample of segments of which the document has copies: exact, too short, with differences in it."""
    if first < 2 or budget < 1:
        raise ValueError("a match begins with at least two equal tokens, and may have a difference")
    tokens = iter(rng.permutation(30_000)[:9000].tolist())
    sample: list[int] = []
    document: list[int] = []
    for n in range(segments):
        kind = n % 6
        length = (first + 1, first, 2 * first, first + budget + 5, first + 2 * budget + 4, first + 2)[kind]
        part = [next(tokens) for _ in range(length)]
        copy = list(part)
        changed: list[int] = []
        if kind == 2:
            changed = [first - 1]  # too early: neither what is before nor what is after is long enough
        elif kind == 3:
            changed = [first, *range(first + 2, first + 1 + budget)][:budget]
        elif kind == 4:
            changed = [first + 2 * d for d in range(budget + 1)]
        for place in changed:
            copy[place] = next(tokens)
        sample += [next(tokens), *part]
        apart = 1 if n == 0 and segments > 4 else 2  # a copy in the same place, too
        document += [*(next(tokens) for _ in range(apart)), *(copy if kind != 5 else copy[1::2] + copy[::2])]
    sample += [next(tokens) for _ in range(budget + 1)]
    document += [next(tokens) for _ in range(budget + 2)]
    if segments > 1:
        sample, document = more_matches(tokens, sample, document, first)
    if segments % 2 and segments > 1:  # few different tokens, so that matches of all kinds occur by chance
        sample += rng.integers(30_000, 30_003, 30).tolist()
        document += rng.integers(30_000, 30_003, 60).tolist()
    return np.array(sample), np.array(document), first, budget


def more_matches(
    tokens: Iterator[int], sample: list[int], document: list[int], first: int
) -> tuple[list[int], list[int]]:
    """Matches at both ends of sample and document, and some that are found in part before they are found as a whole."""

    def new(n: int) -> list[int]:
        return [next(tokens) for _ in range(n)]

    begin, twice, late = new(first + 5), new(2 * first + 1), new(first + 3)
    front, one_end, other_end, gap = new(first + 1), new(first + 1), new(first + 1), new(first)
    copy, late_copy = begin.copy(), late.copy()
    copy[first + 2], late_copy[first] = next(tokens), next(tokens)
    parts = [*twice[: first + 1], *new(first), *twice, *gap, *late[: first + 1], *gap, *late_copy, *gap]
    return (
        [*begin, *new(first + 3), *sample, *twice, *new(first), *late, *front, *other_end, next(tokens), *one_end],
        [*copy, next(tokens), *front, next(tokens), *document, *parts, *one_end, *gap, *other_end],
    )


@exercise(
    title="LLaMA 2's contamination test",
    task="Mark the tokens of a sample in matches of more than `first` tokens, up to `budget` of which differ.",
    difficulty=3,
    minutes=25,
    make=make_tokens,
    shapes=(
        {"segments": 1, "first": 2, "budget": 1},
        {"segments": 2, "first": 3, "budget": 1},
        {"segments": 3, "first": 2, "budget": 2},
        {"segments": 4, "first": 4, "budget": 2},
        {"segments": 5, "first": 3, "budget": 1},
        {"segments": 6, "first": 5, "budget": 2},
        {"segments": 6, "first": 10, "budget": 4},
    ),
    exact=True,
    hints=(
        "Three loops: where the match begins in the sample, where in the document, and how far it goes.",
        "Going along, an equal token makes the match end here. A different one costs a unit of the budget; among the "
        "first tokens, or when the budget is used up, it stops the walk. So a match never ends with a difference.",
        "length = differences = 0\n"
        "for k in range(min(len(sample) - i, len(document) - j)):\n"
        "    if sample[i + k] == document[j + k]: length = k + 1\n"
        "    else: differences += 1; stop if k < first or differences > budget\n"
        "if length > first: mark i to i + length - 1",
    ),
    why=(
        "Every pair of places is followed as long as the rules allow, and the length is noted only where tokens "
        "agree, so that no match ends in a difference. A budget that begins behind the first tokens finds copies with "
        "a changed word and lets no short accident in. Marks are set after the walk, since only its length tells "
        "whether the match counts."
    ),
)
def contaminated_tokens(sample, document, first, budget):
    """Mark the contaminated tokens of a sample, by the test of LLaMA 2 (appendix A.6).

    A match of length L is a pair of places i, j such that sample[i + k] and document[j + k] are equal
    for k = 0 ... L - 1, except for at most `budget` values of k, none of which is below `first`, and
    none of which is L - 1. A token is contaminated when it lies in a match of more than `first` tokens.

    Parameters
    ----------
    sample, document : int array (n,), (m,)
    first, budget : int
        10 and 4 in the paper.

    Returns
    -------
    list of bool
        One for each token of the sample.
    """
    marked = [False] * len(sample)
    for i in range(len(sample)):
        for j in range(len(document)):
            length = differences = 0
            for k in range(min(len(sample) - i, len(document) - j)):
                if sample[i + k] == document[j + k]:
                    length = k + 1
                else:
                    differences += 1
                    if k < first or differences > budget:
                        break
            if length > first:
                marked[i : i + length] = [True] * length
    return marked


def _match(sample: Any, document: Any, i: int, j: int, strict: int, budget: int, trailing: bool = False) -> int:
    """Length of the match from sample[i] and document[j]."""
    length = differences = 0
    for k in range(min(len(sample) - i, len(document) - j)):
        if sample[i + k] == document[j + k]:
            length = k + 1
        else:
            differences += 1
            if k < strict or differences > budget:
                break
            length = k + 1 if trailing else length
    return length


def contaminated(
    *,
    strict: Callable[[int], int] = lambda first: first,
    allowed: Callable[[int], int] = lambda budget: budget,
    least: int = 1,
    trailing: bool = False,
    holes: bool = False,
    in_place: bool = False,
) -> Any:
    """The test with its parts exchanged, for mistakes."""

    def found(sample: Any, document: Any, first: int, budget: int) -> list[bool]:
        covered = [False] * len(sample)
        for i in range(len(sample)):
            for j in range(len(document)):
                if in_place and i != j:
                    continue
                length = _match(sample, document, i, j, strict(first), allowed(budget), trailing)
                if length >= first + least:
                    for k in range(length):
                        covered[i + k] |= not holes or bool(sample[i + k] == document[j + k])
        return covered

    return found


contaminated_tokens.mistake(
    "Your function allows differences among the first tokens of a match.",
    "A match begins with `first` equal tokens; only after them may some differ.",
    contaminated(strict=lambda first: 0),
)

contaminated_tokens.mistake(
    "Your function allows no difference right behind the first tokens.",
    "k = 0 ... first - 1 must be equal; the token at k = first may differ.",
    contaminated(strict=lambda first: first + 1),
)

contaminated_tokens.mistake(
    "Your function allows no differences at all.",
    "Up to `budget` tokens after the first ones may differ: numbers, names and spelling change in copies.",
    contaminated(allowed=lambda budget: 0),
)

contaminated_tokens.mistake(
    "Your function allows one difference too few.",
    "`budget` differences are allowed: it is the one after them that ends the match.",
    contaminated(allowed=lambda budget: budget - 1),
)

contaminated_tokens.mistake(
    "Your function lets a match end with differences.",
    "The last token of a match must be equal: the length grows with equal tokens only.",
    contaminated(trailing=True),
)

contaminated_tokens.mistake(
    "Your function takes matches of exactly `first` tokens.",
    "More than `first` are asked for: length > first.",
    contaminated(least=0),
)

contaminated_tokens.mistake(
    "Your function leaves the tokens out that differ inside a match.",
    "A token counts when it lies inside a match, equal or not.",
    contaminated(holes=True),
)

contaminated_tokens.mistake(
    "Your function compares equal positions only.",
    "The copy stands anywhere in the document: all pairs of beginnings have to be tried.",
    contaminated(in_place=True),
)


@contaminated_tokens.mistake(
    "Your function marks every token that occurs in the document.",
    "Single tokens occur in all texts. They must lie in one match, in the same order.",
)
def any_token(sample, document, first, budget):
    seen = set(np.asarray(document).tolist())
    return [int(token) in seen for token in sample]
