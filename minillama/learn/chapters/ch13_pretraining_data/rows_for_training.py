"""Documents as rows of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...exercises.exercise import Function, exercise


def make_documents(rng: np.random.Generator, documents: int, tokens: int, seq_len: int) -> tuple[Any, ...]:
    """Documents that begin with BOS (1); together one token more than full rows, and full rows in turn."""
    if documents * tokens < 2 * seq_len + 1 or tokens < 2:
        raise ValueError("too few tokens for two rows")
    lengths = rng.integers(2, tokens + 1, documents)
    lengths[0] += -(lengths.sum() - 1) % seq_len + seq_len * (1 + int(lengths.sum() < 2 * seq_len))
    if documents % 2 == 0:
        lengths[-1] += seq_len - 1  # all tokens together fill the rows, so that the last row has no last target
    return [np.concatenate([[1], rng.integers(3, 500, n - 1)]) for n in lengths], seq_len


@exercise(
    title="Documents as rows of tokens",
    difficulty=2,
    minutes=12,
    make=make_documents,
    axes=("row", "position"),
    outputs=("tokens", "targets"),
    exact=True,
    shapes=(
        {"documents": 1, "tokens": 9, "seq_len": 2},
        {"documents": 2, "tokens": 8, "seq_len": 3},
        {"documents": 3, "tokens": 9, "seq_len": 4},
        {"documents": 6, "tokens": 20, "seq_len": 7},
        {"documents": 9, "tokens": 30, "seq_len": 16},
    ),
    hints=(
        "Row r reads positions r·T to r·T + T - 1 of the whole stream; its targets are the positions one further.",
        "The last target of a row is the first token of the next one, so that every token but the very first is a "
        "target once. N tokens make (N - 1) // T full rows.",
        "stream = np.concatenate(documents); n = (len(stream) - 1) // T * T\n"
        "return stream[:n].reshape(-1, T), stream[1:n + 1].reshape(-1, T)",
    ),
    why=(
        "Tokens and targets are two views of one stream, a place apart, so the last target of a row is the first "
        "token of the next and no pair is lost between them. One token less can be used than there are, since the "
        "last has nothing after it. Documents follow each other without padding, and every place of a row is trained "
        "on."
    ),
)
def rows_for_training(documents, seq_len):
    """Put documents one after another and cut full rows, with the next token as target.

    tokens[r, t]  = stream[r * T + t]
    targets[r, t] = stream[r * T + t + 1]

    for as many rows as have all their targets.

    Parameters
    ----------
    documents : list of int array (n_i,)
        Each begins with BOS.
    seq_len : int
        T.

    Returns
    -------
    tokens, targets : int array (n_rows, T)
    """
    stream = np.concatenate(documents)
    n = (len(stream) - 1) // seq_len * seq_len
    return stream[:n].reshape(-1, seq_len), stream[1 : n + 1].reshape(-1, seq_len)


def _targets(change: Callable[[Any, Any], Any]) -> Function:
    def rows(documents, seq_len):
        tokens, targets = rows_for_training(documents, seq_len)
        return tokens, change(tokens, targets.copy())

    return rows


def closed_rows(tokens, targets):
    targets[:, -1] = -100
    return targets


def no_crossing(tokens, targets):
    targets[targets == 1] = -100
    return targets


@rows_for_training.mistake(
    "Your function cuts pieces of T + 1 tokens that do not overlap.",
    "Then the first token of every piece is nobody's target. Rows are T apart, and the last target of one is "
    "the first token of the next.",
)
def own_rows(documents, seq_len):
    stream = np.concatenate(documents)
    n_rows = len(stream) // (seq_len + 1)
    rows = stream[: n_rows * (seq_len + 1)].reshape(n_rows, seq_len + 1)
    return rows[:, :-1], rows[:, 1:]


rows_for_training.mistake(
    "Your function has the tokens themselves as targets.",
    "A model that is asked for the token it sees learns to copy. The target is the next token.",
    _targets(lambda tokens, targets: tokens.copy()),
)

rows_for_training.mistake(
    "Your function gives the last place of every row no target.",
    "The next row's first token is the target there: shift the stream, not the rows.",
    _targets(closed_rows),
)

rows_for_training.mistake(
    "Your function shifts inside the row, so that the last target is the row's first token.",
    "np.roll on rows wraps round: shift the stream first, then cut.",
    _targets(lambda tokens, targets: np.roll(tokens, -1, axis=1)),
)

rows_for_training.mistake(
    "Your function has no target where the next document begins.",
    "That is a choice some make. Here, as in llama2.c, BOS is a target: so the model learns where texts end.",
    _targets(no_crossing),
)


@rows_for_training.mistake(
    "Your function has tokens and targets exchanged: it asks for the token before.",
    "Predicting is looking ahead: the target of position t is the token at t + 1. Tokens are returned first.",
)
def has_tokens_and_targets_exchanged(documents, seq_len):
    return (
        rows_for_training(documents, seq_len)[1].copy(),
        rows_for_training(documents, seq_len)[0].copy(),
    )


@rows_for_training.mistake(
    "Your function cuts every document by itself and loses what does not fill a row.",
    "Documents stand one directly after another in a single stream; a row may hold the end of one and the "
    "beginning of the next.",
)
def shorter_documents(documents, seq_len):
    """Each document cut by itself; what does not fill a row is lost."""
    parts = [rows_for_training([document], seq_len) for document in documents if len(document) > seq_len]
    if not parts:
        return np.empty((0, seq_len), np.int64), np.empty((0, seq_len), np.int64)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


@rows_for_training.mistake(
    "Your function makes a last row whose last target wraps round to the very first token.",
    "A row is full only when the token after it exists: (N - 1) // T rows.",
)
def wrapped_rows(documents, seq_len):
    stream = np.concatenate(documents)
    n = len(stream) // seq_len * seq_len
    return stream[:n].reshape(-1, seq_len), np.roll(stream, -1)[:n].reshape(-1, seq_len)
