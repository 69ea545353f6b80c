"""Sixteen rows, one lane each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_rows(rng: np.random.Generator, R: int, C: int) -> tuple[Any, ...]:
    if C % 4:
        raise ValueError("C must be a multiple of 4")
    return (rng.integers(1, 256, (R, C)).astype(np.uint8),)


@exercise(
    title="Sixteen rows, one lane each",
    task="Reorder a matrix of bytes so that 4 columns of 16 rows lie together: what one instruction multiplies.",
    difficulty=3,
    minutes=20,
    make=make_rows,
    shapes=({"R": 16, "C": 8}, {"R": 1, "C": 4}, {"R": 16, "C": 4}, {"R": 33, "C": 12}, {"R": 50, "C": 32}),
    axes=("group", "step", "byte"),
    exact=True,
    hints=(
        "Give each index an axis of its own: row = 16 * group + lane, column = 4 * step + k. In which order do these "
        "four axes lie now, and in which order should they?",
        "Rows that are missing in the last group become zeros (np.pad). The axes of the matrix are (group, lane, "
        "step, k); wanted is (group, step, lane, k).",
        "p = np.pad(q, ((0, -len(q) % 16), (0, 0)))\n"
        "p = p.reshape(-1, 16, q.shape[1] // 4, 4)      # (group, lane, step, k)\n"
        "return p.swapaxes(1, 2).reshape(-1, q.shape[1] // 4, 64)",
    ),
    why=(
        "An instruction reads 64 bytes side by side, four of each of 16 rows; stored in just that order, every read "
        "is whole and follows the last one. Each lane sums up a row of its own, so nothing has to be added across "
        "lanes at the end. Zeros fill the last group, because a lane has to hold something and they change nothing."
    ),
)
def interleave_rows(q):
    """Reorder a matrix of bytes into what one instruction after another multiplies.

    out[g, s, 4 * n + k] = q[16 * g + n, 4 * s + k]        n = 0 ... 15, k = 0 ... 3

    The last group is filled up with rows of zeros.

    Parameters
    ----------
    q : uint8 ndarray of shape (R, C), C a multiple of 4

    Returns
    -------
    out : uint8 ndarray of shape (ceil(R / 16), C / 4, 64)
    """
    n_steps = q.shape[1] // 4
    padded = np.pad(q, ((0, -len(q) % 16), (0, 0)))
    lanes = padded.reshape(-1, 16, n_steps, 4)  # (group, lane, step, k)
    return lanes.swapaxes(1, 2).reshape(-1, n_steps, 64)


def _padded(q):
    return np.pad(q, ((0, -len(q) % 16), (0, 0)))


@interleave_rows.mistake(
    "Your function puts the 16 rows of one column together, then those of the next.",
    "That suits floats. A lane of vpdpbusd multiplies four neighbouring bytes, which must be four columns of "
    "its own row: k is the last axis.",
)
def by_column(q):
    return _padded(q).reshape(-1, 16, q.shape[1] // 4, 4).transpose(0, 2, 3, 1).reshape(-1, q.shape[1] // 4, 64)


@interleave_rows.mistake(
    "Your groups take every n-th row instead of 16 neighbours.",
    "Lane n of group g is row 16 g + n: the first reshape is (-1, 16, ...), not (16, -1, ...).",
)
def strided_rows(q):
    p = _padded(q)
    return p.reshape(16, -1, q.shape[1] // 4, 4).transpose(1, 2, 0, 3).reshape(-1, q.shape[1] // 4, 64)


@interleave_rows.mistake(
    "Your function reshapes only: 64 columns of one row lie together.",
    "Between the two reshapes the axes of lane and step have to be exchanged.",
)
def as_it_is(q):
    return _padded(q).reshape(-1, q.shape[1] // 4, 64)


@interleave_rows.mistake(
    "Your steps take columns that are far from one another.",
    "Step s takes the neighbours 4 s ... 4 s + 3: reshape the columns to (C / 4, 4), not (4, C / 4).",
)
def strided_columns(q):
    p = _padded(q).reshape(-1, 16, 4, q.shape[1] // 4)
    return p.transpose(0, 3, 1, 2).reshape(-1, q.shape[1] // 4, 64)


@interleave_rows.mistake(
    "Your function fills the last group up with copies of the last row.",
    "Rows that do not exist are zeros.",
)
def last_row_again(q):
    p = np.pad(q, ((0, -len(q) % 16), (0, 0)), mode="edge")
    return interleave_rows(p)
