"""Batches for validation: every document on its own, and the bytes of text that its targets stand for.

A loss per token depends on the tokenizer; bits per byte do not:

    bits per byte = sum of losses (nats) / ln 2 / bytes of the text of the predicted tokens

The bytes are exactly those that decoding the predicted tokens gives: of a document that is cut, only its
beginning counts, the space that SentencePiece puts in front of a text does not, and EOS has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..layers.cross_entropy import IGNORED
from .shards.reading import TokenShards


class ValidationBatches(NamedTuple):
    """What `validation_batches` returns."""

    batches: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
    """Pairs of tokens and targets, each (rows, length of the longest in it)."""
    n_bytes: int
    """Bytes of text that all targets together stand for."""


def validation_batches(
    shards: TokenShards, seq_len: int, batch_size: int, documents: Iterable[int] | None = None
) -> ValidationBatches:
    """Rows that each begin with a document's BOS, cut at `seq_len` targets and padded at the end.

    Documents of about the same length share a batch. Padding is token 0 with target -100; attention looks
    back only, so it changes nothing before it.

    Parameters
    ----------
    shards : TokenShards
    seq_len : int
        The most tokens in a row.
    batch_size : int
        The most rows in a batch.
    documents : iterable of int, optional
        Which documents (`Batches.held_out`); all by default.

    Returns
    -------
    ValidationBatches
        int64 arrays, 16 bytes a token, all in memory.

    Raises
    ------
    ValueError
        When no document has a token to predict.
    """
    if seq_len < 1 or batch_size < 1:
        raise ValueError(f"seq_len and batch_size must be at least 1, got {seq_len} and {batch_size}")
    rows, n_bytes = [], 0
    for i in range(shards.n_documents) if documents is None else documents:
        length = min(shards.document_length(int(i)), seq_len + 1)
        begin = int(shards.document_starts[i])
        row = shards.tokens(begin, begin + length).astype(np.int64)
        if row.size > 1:
            rows.append(row)
            n_bytes += _target_bytes(shards, row)
    if not rows:
        raise ValueError("no document has two tokens: there is nothing to predict")
    rows.sort(key=len)
    return ValidationBatches(
        [_padded(rows[begin : begin + batch_size]) for begin in range(0, len(rows), batch_size)], n_bytes
    )


def _target_bytes(shards: TokenShards, row: NDArray[np.int64]) -> int:
    """Bytes of all tokens of a document's beginning but the first, which nothing predicts."""
    first = 1 if shards.bos_id is not None else 0  # where the text begins
    later = shards.token_bytes[row[first + 1 :], 1].sum(dtype=np.int64)
    return int(later) + (int(shards.token_bytes[row[1], 0]) if first == 1 else 0)


def _padded(rows: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    length = max(row.size for row in rows) - 1
    tokens = np.zeros((len(rows), length), np.int64)
    targets = np.full((len(rows), length), IGNORED, np.int64)
    for n, row in enumerate(rows):
        tokens[n, : row.size - 1] = row[:-1]
        targets[n, : row.size - 1] = row[1:]
    return tokens, targets
