"""Fix a data race."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from ...exercises.exercise import exercise
from .inputs import in_threads


def make_gradient(rng: np.random.Generator, n_tokens: int, vocab_size: int, dim: int) -> tuple[Any, ...]:
    """Ids that repeat, and in larger vocabularies some that never occur: among these the last one."""
    ids = rng.integers(0, max(1, vocab_size - 1), n_tokens)
    return ids, rng.normal(size=(n_tokens, dim)).astype(np.float32), vocab_size


def scatter(ids, rows, vocab_size):
    out = np.zeros((vocab_size, rows.shape[1]), np.float64)
    np.add.at(out, ids, rows)
    return out.astype(rows.dtype)


def torch_scatter(ids, rows, vocab_size):
    """The gradient of an embedding, by autograd."""
    import torch

    table = torch.zeros((vocab_size, rows.shape[1]), dtype=torch.float64, requires_grad=True)
    looked_up = torch.nn.functional.embedding(torch.tensor(ids), table)
    looked_up.backward(torch.tensor(rows, dtype=torch.float64))
    assert table.grad is not None
    return table.grad.numpy()


@njit(parallel=True)
def _add(ids, rows, out):
    for j in prange(rows.shape[1]):  # column j of the result belongs to one thread
        for t in range(len(ids)):
            out[ids[t], j] += rows[t, j]


@exercise(
    title="Fix a data race",
    task="Add each row to the place that its id names, on several threads, without losing a single one.",
    difficulty=3,
    minutes=25,
    reference=scatter,
    make=make_gradient,
    shapes=(
        {"n_tokens": 2, "vocab_size": 2, "dim": 1},
        {"n_tokens": 1, "vocab_size": 1, "dim": 3},
        {"n_tokens": 7, "vocab_size": 4, "dim": 3},
        {"n_tokens": 30, "vocab_size": 9, "dim": 5},
        {"n_tokens": 20000, "vocab_size": 3, "dim": 4},
    ),
    axes=("id", "dim"),
    observe=in_threads,
    oracle=torch_scatter,
    atol=1e-5,
    hints=(
        "Two threads may hold rows of the same id. What can be shared out instead of the tokens, so that every place "
        "of the result belongs to one thread?",
        "Two ways. Share out the columns: each thread goes through all tokens, for its columns alone. Or give every "
        "thread a table of its own, and add the tables when all are done.",
        "@njit(parallel=True)\ndef add(ids, rows, out):\n    for j in prange(rows.shape[1]):\n"
        "        for t in range(len(ids)):\n            out[ids[t], j] += rows[t, j]",
    ),
    why=(
        "Two threads collide only where they can write to the same number, so the work is cut where that is "
        "impossible: each column of the result belongs to one thread. Every thread then reads all ids, which costs "
        "little beside the rows. Cut by tokens, the work would need a copy of the table for each thread, or atomic "
        "additions."
    ),
)
def scatter_add_parallel(ids, rows, vocab_size):
    """Add row t of `rows` to row ids[t] of the result: the gradient of an embedding.

    out[v] = sum of rows[t] over all t with ids[t] == v

    This kernel has a data race, and now and then an addition is lost:

        @njit(parallel=True)
        def add(ids, rows, out):
            for t in prange(len(ids)):
                for j in range(rows.shape[1]):
                    out[ids[t], j] += rows[t, j]

    Two threads that hold the same id read the same old number, and both write back theirs. Write
    one that shares the work out in another way. The check runs it again and again for a moment and
    compares; a race shows itself by chance, so a pass proves less here than it does elsewhere.

    Parameters
    ----------
    ids : int64 ndarray of shape (n_tokens,)
        0 ... vocab_size - 1, with many repeats.
    rows : float32 ndarray of shape (n_tokens, dim)
    vocab_size : int

    Returns
    -------
    out : float32 ndarray of shape (vocab_size, dim)
        Zeros where an id never occurs.
    """
    out = np.zeros((vocab_size, rows.shape[1]), np.float32)
    _add(ids, rows, out)
    return out


@scatter_add_parallel.mistake(
    "Your function keeps one row of each id, the last one.",
    "`out[ids] += rows` reads out[ids] once, adds, and writes: of equal ids only the last write remains. "
    "That is a lost update without any threads. A loop, or np.add.at, adds every one.",
)
def last_wins(ids, rows, vocab_size):
    out = np.zeros((vocab_size, rows.shape[1]), rows.dtype)
    out[ids] += rows
    return out


@scatter_add_parallel.mistake(
    "Your function keeps what one thread has added and loses the other's.",
    "Private tables have to be added at the end, not copied over one another: out += table.",
)
def last_thread_wins(ids, rows, vocab_size):
    out = np.zeros((vocab_size, rows.shape[1]), rows.dtype)
    for part in np.array_split(np.arange(len(ids)), 2):
        own = scatter(ids[part], rows[part], vocab_size)
        seen = np.unique(ids[part])
        out[seen] = own[seen]
    return out


@scatter_add_parallel.mistake(
    "Your function leaves out the last tokens, those that do not share out evenly in fours.",
    "The last part goes to the end of the tokens: ids[start:] or min(stop, len(ids)).",
)
def without_rest(ids, rows, vocab_size):
    n = len(ids) // 4 * 4
    return scatter(ids[:n], rows[:n], vocab_size)


@scatter_add_parallel.mistake(
    "Your function adds as many rows as the largest id asks for.",
    "Ids that do not occur have a row of zeros: the result has vocab_size rows.",
)
def adds_as_many_rows_as_largest_id(ids, rows, vocab_size):
    return scatter(ids, rows, int(ids.max()) + 1)


@scatter_add_parallel.mistake(
    "Your function takes the mean of the rows of an id.",
    "A token that occurs three times has three gradients, and they add up.",
)
def mean_of_rows(ids, rows, vocab_size):
    counts = np.bincount(ids, minlength=vocab_size)[:, None]
    return (scatter(ids, rows, vocab_size) / np.maximum(counts, 1)).astype(rows.dtype)


@scatter_add_parallel.mistake(
    "Your function adds every row on two threads: all is there twice.",
    "Each part has to begin where the one before it ends; or the columns are shared out AND the tokens too.",
)
def adds_every_row_on_two_threads(ids, rows, vocab_size):
    return 2 * scatter(ids, rows, vocab_size)
