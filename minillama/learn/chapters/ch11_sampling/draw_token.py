"""Throw the dice."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise

DRAWS = 6000


def make_draw(rng: np.random.Generator, V: int, zeros: int) -> tuple[Any, ...]:
    """A distribution with one frequent token, not the first, and some that are impossible; and a seed."""
    if V - zeros < 3 or zeros < 1:
        raise ValueError("three tokens have to be possible, one impossible")
    p = 0.2 + rng.random(V)
    p[rng.permutation(np.arange(1, V))[:zeros]] = 0
    p[np.flatnonzero(p)[1]] += 0.6 * p.sum()
    return p / p.sum(), int(rng.integers(1 << 30))


def _integer(token):
    number = np.asarray(token).item()
    if type(number) is not int:
        raise TypeError(f"the function should return an integer, returned {token!r}")
    return number


class Highest(np.random.Generator):
    """A generator whose dice show the largest number below 1."""

    def random(self, size=None, *args, **options):
        return np.nextafter(1.0, 0.0) if size is None else np.full(size, np.nextafter(1.0, 0.0))


def observe_draw(function, args):
    """Frequencies over many draws, how many draws were impossible, whether a seed repeats them, and the highest dice.

    Of ten times 0.1 the cumulative sum ends below 1: the dice may show more.
    """
    probabilities, seed = args
    highest = _integer(function(np.full(10, 0.1), Highest(np.random.PCG64(seed))))
    tokens = []
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        tokens.append(_integer(function(probabilities, rng)))
    again = np.random.default_rng(seed)
    repeated = all(int(function(probabilities, again)) == token for token in tokens[:50])
    ids = np.array(tokens)
    inside = (ids >= 0) & (ids < len(probabilities))
    impossible = int((~inside).sum() + (probabilities[ids[inside]] == 0).sum())
    return (
        np.bincount(ids[inside], minlength=len(probabilities)) / DRAWS,
        np.array(impossible),
        repeated,
        0 <= highest < 10,
    )


@exercise(
    title="Throw the dice",
    task="Draw a token: token i with probability p[i], with random numbers from the given generator alone.",
    difficulty=2,
    minutes=15,
    make=make_draw,
    observe=observe_draw,
    outputs=("frequencies", "impossible draws", "repeatable", "below V for the highest dice"),
    rtol=0.0,
    atol=0.1,  # five standard deviations of the difference of two samples
    shapes=(
        {"V": 4, "zeros": 1},
        {"V": 5, "zeros": 2},
        {"V": 8, "zeros": 2},
        {"V": 12, "zeros": 6},
    ),
    axes=("token",),
    hints=(
        "Lay the probabilities end to end on a line from 0 to 1 and throw a dart, u = rng.random(). On which "
        "token's piece does it land?",
        "np.cumsum(probabilities) are the right ends of the pieces. np.searchsorted finds the first one that "
        "lies beyond u (side='right': a piece of length 0 is never hit).",
        "ends = np.cumsum(probabilities)           # the last one may be just below 1\n"
        "return int(np.searchsorted(ends, rng.random() * ends[-1], side='right'))",
    ),
    why=(
        "Laid end to end, the probabilities cut the line from 0 to 1 in pieces, and a uniform number falls into each "
        "as often as it is long. The cumulative sum holds their ends, and a binary search finds the piece. A number "
        "on a border belongs to the piece after it, so that no piece of length 0 is ever hit."
    ),
)
def draw_token(probabilities, rng):
    """Draw a token: i with probability probabilities[i].

    Parameters
    ----------
    probabilities : float64 ndarray of shape (V,)
        They sum to 1, but for rounding: ten times 0.1 is less. Some are 0.
    rng : numpy.random.Generator
        The only source of random numbers: the same seed gives the same tokens.

    Returns
    -------
    token : int
        Below V, and of a probability above 0.
    """
    ends = np.cumsum(probabilities)
    return int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))  # the last end may be just below 1


OTHER = np.random.default_rng(12345)


@draw_token.mistake(
    "Your function always takes the most probable token.",
    "That is greedy decoding: a token with p = 0.1 should come up once in ten draws.",
)
def always_takes_most_probable_token(probabilities, rng):
    return int(np.argmax(probabilities))


@draw_token.mistake(
    "Your function is off by one: it returns the token before the one that was hit.",
    "The cumulative sum at i is the right end of token i: the first end beyond u is the token itself.",
)
def draw_below(probabilities, rng):
    return draw_token(probabilities, rng) - 1


@draw_token.mistake(
    "Your function compares with each token's own probability, not with the cumulative sum.",
    "Pieces lie end to end: compare u with np.cumsum(probabilities).",
)
def draw_own_probability(probabilities, rng):
    return int(np.argmax(probabilities >= rng.random() * probabilities.max()))


@draw_token.mistake(
    "Your function draws all possible tokens equally often.",
    "Which tokens are possible is not all: each has its own probability.",
)
def draw_uniform(probabilities, rng):
    return int(rng.choice(np.flatnonzero(probabilities)))


@draw_token.mistake(
    "Your function draws any token, whatever its probability.",
    "Probabilities have to enter: token i comes up with p[i].",
)
def draw_any(probabilities, rng):
    return int(rng.integers(len(probabilities)))


@draw_token.mistake(
    "Your function starts a new generator with the same seed in every call: always the same token.",
    "Use the generator that is given; it moves on with every draw.",
)
def draw_same_seed(probabilities, rng):
    return draw_token(probabilities, np.random.default_rng(0))


@draw_token.mistake(
    "Your function has the right frequencies, but uses random numbers of its own.",
    "With the generator that is given, the same seed gives the same text: call its methods, not np.random's.",
)
def draw_other_generator(probabilities, rng):
    return draw_token(probabilities, OTHER)


@draw_token.mistake(
    "Your function may return V, which is no token.",
    "The cumulative sum may end below 1, and the dice may lie between: multiply the dice by its last number.",
)
def draws_beyond_the_last(probabilities, rng):
    return int(np.searchsorted(np.cumsum(probabilities), rng.random(), side="right"))
