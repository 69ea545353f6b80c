"""The width of the feed-forward layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....config import swiglu_hidden_dim
from ...exercises.exercise import exercise


def make_width(rng: np.random.Generator, dim: int, multiple_of: int, tenths: int) -> tuple[Any, ...]:
    if dim < 8 or 0 < tenths < 10:
        raise ValueError("dim is at least 8, and the multiplier at least 1, or 0 for none")
    return dim, multiple_of, tenths / 10 if tenths else None


@exercise(
    title="The width of the feed-forward layer",
    task="LLaMA's rule: two thirds of 4 * dim, times the multiplier if there is one, up to a multiple of multiple_of.",
    difficulty=1,
    minutes=10,
    same_as=swiglu_hidden_dim,
    make=make_width,
    shapes=(
        {"dim": 10, "multiple_of": 1, "tenths": 30},
        {"dim": 11, "multiple_of": 1, "tenths": 25},
        {"dim": 10, "multiple_of": 1, "tenths": 13},
        {"dim": 64, "multiple_of": 4, "tenths": 0},
        {"dim": 288, "multiple_of": 32, "tenths": 0},
        {"dim": 4096, "multiple_of": 256, "tenths": 0},
        {"dim": 5120, "multiple_of": 256, "tenths": 0},
        {"dim": 8192, "multiple_of": 4096, "tenths": 13},
    ),
    exact=True,
    hints=(
        "Three matrices of two thirds the width have as many numbers as two of the whole width, 4 * dim. What follows "
        "makes the width convenient for hardware.",
        "Round down after the two thirds, and again after the multiplier (when it is not None); only then round up.",
        "hidden = 2 * (4 * dim) // 3\n"
        "hidden = hidden if multiplier is None else int(multiplier * hidden)\n"
        "return multiple_of * ((hidden + multiple_of - 1) // multiple_of)",
    ),
    why=(
        "Three matrices of two thirds the width have as many numbers as the two they replace, which is where 2 / 3 "
        "comes from. A round multiple suits processors, which work on blocks. Cutting, multiplying and rounding "
        "happen in the order of Meta's code, because another order gives another width for some models."
    ),
)
def ffn_hidden_dim(dim, multiple_of, multiplier):
    """The width of the feed-forward layer by the rule of LLaMA.

    7B: 4096, 256, None gives 11008. 70B: 8192, 4096, 1.3 gives 28672. 100, 1, 1.3 gives 345.

    Parameters
    ----------
    dim, multiple_of : int
    multiplier : float or None

    Returns
    -------
    hidden_dim : int
    """
    hidden_dim = 2 * (4 * dim) // 3
    if multiplier is not None:
        hidden_dim = int(multiplier * hidden_dim)
    return multiple_of * math.ceil(hidden_dim / multiple_of)


def up_to(n, multiple_of):
    return multiple_of * math.ceil(n / multiple_of)


@ffn_hidden_dim.mistake(
    "Your function forgets the two thirds: it starts from 4 * dim.",
    "4 * dim is the width of a layer of two matrices; SwiGLU has three, each 2/3 as wide.",
)
def forgets_two_thirds(dim, multiple_of, multiplier):
    return up_to(int((multiplier or 1) * 4 * dim), multiple_of)


@ffn_hidden_dim.mistake(
    "Your function rounds down to a multiple of multiple_of.",
    "The rule rounds up: 7B has 10922, which becomes 11008.",
)
def rounds_down(dim, multiple_of, multiplier):
    return multiple_of * (int((multiplier or 1) * (8 * dim // 3)) // multiple_of)


@ffn_hidden_dim.mistake(
    "Your function rounds to the nearest multiple of multiple_of.",
    "The rule rounds up: 13B has 13653, 53 times 256 and 85 more, which becomes 54 * 256 = 13824.",
)
def rounds_to_the_nearest(dim, multiple_of, multiplier):
    return multiple_of * math.floor(int((multiplier or 1) * (8 * dim // 3)) / multiple_of + 0.5)


@ffn_hidden_dim.mistake(
    "Your function always goes to the next multiple, even where the width is one already.",
    "288 gives 768 = 24 * 32, which stays. Use (n + multiple_of - 1) // multiple_of.",
)
def always_goes_to_next_multiple(dim, multiple_of, multiplier):
    return multiple_of * (int((multiplier or 1) * (8 * dim // 3)) // multiple_of + 1)


@ffn_hidden_dim.mistake(
    "Your function multiplies after rounding up.",
    "The multiplier comes before: 70B has 21845, 28398, then 28672.",
)
def rounded_first(dim, multiple_of, multiplier):
    return int((multiplier or 1) * up_to(8 * dim // 3, multiple_of))


@ffn_hidden_dim.mistake(
    "Your function ignores the multiplier.",
    "70B has one, 1.3, and so the 28672 instead of 24576.",
)
def ignores_multiplier(dim, multiple_of, multiplier):
    return swiglu_hidden_dim(dim, multiple_of, None)


@ffn_hidden_dim.mistake(
    "Your function does not round down between the two thirds and the multiplier.",
    "Meta's code makes an integer of both steps, one after the other. It seldom matters, but a file made by "
    "that code must load.",
)
def one_floor(dim, multiple_of, multiplier):
    return up_to(int((multiplier or 1) * 8 * dim / 3), multiple_of)


@ffn_hidden_dim.mistake(
    "Your function never rounds down: it goes up from a fraction.",
    "Meta's code makes an integer of the width after each step, and rounds up from that: 7B from 10922.",
)
def never_rounds_down(dim, multiple_of, multiplier):
    return up_to((multiplier or 1) * 8 * dim / 3, multiple_of)


@ffn_hidden_dim.mistake(
    "Your function rounds two thirds of 4 * dim up instead of down.",
    "int(2 * hidden / 3) of Meta's code cuts the fraction off.",
)
def rounds_two_thirds_up(dim, multiple_of, multiplier):
    return up_to(int((multiplier or 1) * math.ceil(8 * dim / 3)), multiple_of)


@ffn_hidden_dim.mistake(
    "Your function rounds to the nearest integer after the multiplier.",
    "int(multiplier * hidden) of Meta's code cuts the fraction off: 1.3 * 26 is 33.8 and gives 33.",
)
def rounds_after_the_multiplier(dim, multiple_of, multiplier):
    return up_to(round((multiplier or 1) * (8 * dim // 3)), multiple_of)


@ffn_hidden_dim.mistake(
    "Your function rounds down before the factor 4: 4 * (2 * dim // 3).",
    "Two thirds are taken of 4 * dim, and cut off once: 2 * (4 * dim) // 3.",
)
def cuts_before_the_factor_4(dim, multiple_of, multiplier):
    return up_to(int((multiplier or 1) * 4 * (2 * dim // 3)), multiple_of)
