"""Where two models part."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise

TOLERANCE, POWER_OF_2 = 1e-3, 2.0**-10


def make_states(rng: np.random.Generator, n: int, T: int, D: int, first: int, nan: int) -> tuple[Any, ...]:
    """Two lists of n states that agree up to rounding, and differ from state `first` on; never, if it is n.

    Then an error is exactly the tolerance, all of it in powers of 2.
    """
    if first > n or nan > 1:
        raise ValueError("first is at most n, nan is 0 or 1")
    ours, theirs = [], []
    for i in range(n):
        size = 10.0 ** (3 * (i - 1))  # the stream grows; the first states are small
        right = size * rng.normal(size=(T, D))
        off = np.abs(rng.normal(size=(T, D))) * size * (0.03 * (i + 1) if i >= first and i < n - 1 else 1e-5)
        theirs.append(right.astype(np.float32))
        ours.append((right - off).astype(np.float32))
    if first == n:
        border = np.float32(2.0 ** np.ceil(np.log2(np.abs(theirs[-1]).max() + 1)))
        theirs[-1][0, 0], ours[-1][0, 0] = border, border * np.float32(1 - POWER_OF_2)
        return ours, theirs, POWER_OF_2
    if nan and first < n:
        ours[first][-1, -1] = np.nan
    return ours, theirs, TOLERANCE


@exercise(
    title="Where two models part",
    task="Compare two lists of hidden states, layer by layer: the error of each, and the first that is not within "
    "tolerance.",
    difficulty=2,
    minutes=15,
    make=make_states,
    shapes=(
        {"n": 2, "T": 1, "D": 3, "first": 1, "nan": 0},
        {"n": 1, "T": 1, "D": 2, "first": 1, "nan": 0},
        {"n": 4, "T": 2, "D": 5, "first": 1, "nan": 0},
        {"n": 4, "T": 3, "D": 4, "first": 0, "nan": 0},
        {"n": 5, "T": 2, "D": 3, "first": 5, "nan": 0},
        {"n": 5, "T": 3, "D": 8, "first": 2, "nan": 1},
    ),
    axes=("layer",),
    outputs=("error", "first"),
    rtol=1e-4,
    atol=1e-9,
    hints=(
        "The stream is hundreds of times larger at the end than at the start: an error means something only compared "
        "with the size of the state.",
        "error = max |ours - theirs| / max |theirs|, over the whole state. A NaN compares as False with everything: "
        "ask whether the error is within tolerance, not whether it is outside.",
        "errors = np.array([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs)])\n"
        "bad = np.flatnonzero(~(errors <= tolerance))\n"
        "return errors, int(bad[0]) if len(bad) else -1",
    ),
    why=(
        "Numbers in the stream grow with depth, so only a share of the largest can be compared from one state to the "
        "next. The first state that is off names the block to look at, because all later ones inherit the error. A "
        'comparison with NaN is always false, which is why the test is "not within" and not "above".'
    ),
)
def layer_errors(ours, theirs, tolerance):
    """Compare two lists of hidden states and find where they part.

    error[i] = max |ours[i] - theirs[i]| / max |theirs[i]|

    Parameters
    ----------
    ours, theirs : list of float32 ndarray of shape (T, D)
        The residual stream after the embedding, after block 0, after block 1 ...
        A state of ours may hold NaN: that is not within any tolerance.
    tolerance : float
        The largest error that is within it.

    Returns
    -------
    error : ndarray of shape (n,)
    first : int
        Index of the first state whose error is not within `tolerance`; -1 if there is none. An
        error of exactly `tolerance` is within it.
    """
    errors = np.array([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs)])
    bad = np.flatnonzero(~(errors <= tolerance))  # NaN is not within any tolerance
    return errors, int(bad[0]) if len(bad) else -1


def largest(a):
    return np.max(np.abs(a))


def errors_by(error, bad=lambda errors, tolerance: ~(errors <= tolerance), pick=lambda hits: hits[0]):
    """A function of the exercise's signature from an error measure, a test and a choice."""

    def run(ours, theirs, tolerance):
        errors = np.array([error(a, b) for a, b in zip(ours, theirs)])
        hits = np.flatnonzero(bad(errors, tolerance))
        return errors, int(pick(hits)) if len(hits) else -1

    return run


def relative(a, b):
    return largest(a - b) / largest(b)


layer_errors.mistake(
    "Your errors are absolute.",
    "Divide by the largest number of their state: what is small beside 1000 is large beside 0.001.",
    errors_by(lambda a, b: largest(a - b)),
)

layer_errors.mistake(
    "Your function overlooks NaN.",
    "NaN > tolerance is False. A layer is bad unless its error is within tolerance: ~(errors <= tolerance).",
    errors_by(relative, bad=lambda errors, tolerance: errors > tolerance),
)


@layer_errors.mistake(
    "Your function names the layer with the largest error.",
    "Errors grow from layer to layer; the cause is in the first that is outside of the tolerance.",
)
def errors_worst(ours, theirs, tolerance):
    errors, first = layer_errors(ours, theirs, tolerance)
    return errors, -1 if first < 0 else int(np.argmax(errors))


layer_errors.mistake(
    "Your function names the last layer that differs.",
    "The cause is in the first one.",
    errors_by(relative, pick=lambda hits: hits[-1]),
)

layer_errors.mistake(
    "Your differences are signed: the largest of ours - theirs, without the absolute value.",
    "A number that is too small is wrong as well: np.abs first.",
    errors_by(lambda a, b: np.max(a - b) / largest(b)),
)

layer_errors.mistake(
    "Your function divides each difference by its own number.",
    "A number near 0 then has a huge relative error although nothing is wrong. Divide the largest difference "
    "by the largest number.",
    errors_by(lambda a, b: np.max(np.abs(a - b) / np.abs(b))),
)

layer_errors.mistake(
    "Your errors are averages.",
    "One wrong position among hundreds vanishes in an average. Take the largest difference.",
    errors_by(lambda a, b: np.mean(np.abs(a - b)) / largest(b)),
)


@layer_errors.mistake(
    "Your function counts layers from 1.",
    "The index in the lists is wanted, from 0 on; -1 if there is no such state.",
)
def counts_layers_from_1(ours, theirs, tolerance):
    return (layer_errors(ours, theirs, tolerance)[0], layer_errors(ours, theirs, tolerance)[1] + 1 or -1)


layer_errors.mistake(
    "Your function takes an error of exactly the tolerance for too large.",
    "The tolerance is the largest error that is within it: errors <= tolerance.",
    errors_by(relative, bad=lambda errors, tolerance: ~(errors < tolerance)),
)

layer_errors.mistake(
    "Your errors divide one average by another.",
    "One wrong position among hundreds vanishes in an average. Take the largest difference and the largest number.",
    errors_by(lambda a, b: np.mean(np.abs(a - b)) / np.mean(np.abs(b))),
)

layer_errors.mistake(
    "Your errors divide the length of the difference by the length of the state.",
    "One wrong number among thousands vanishes in a sum of squares. Take the largest difference and the largest "
    "number.",
    errors_by(lambda a, b: np.linalg.norm(a - b) / np.linalg.norm(b)),
)


@layer_errors.mistake(
    "Your function names state 0 where no state is outside of the tolerance.",
    "argmax of nothing but False is 0. Ask first whether there is one, and return -1 if not.",
)
def names_state_0_where_none_is_bad(ours, theirs, tolerance):
    errors, first = layer_errors(ours, theirs, tolerance)
    return errors, max(first, 0)
