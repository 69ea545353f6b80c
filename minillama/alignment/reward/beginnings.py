"""Rows that begin alike, with what they share computed once: the two answers of a pair, the K answers to a prompt.

    row 1 = beginning + a,   row 2 = beginning + b          as one long row:   beginning  a  b
    positions                                                                  0 … p-1    p …  p …

Embedding, norms, products, SwiGLU and RoPE work token by token, and do not care which row a token belongs to.
Attention alone does: b is to see the beginning and itself, and nothing of a. So it is called once for `beginning a`, as
ever, and once for b, with the keys of the beginning put in front of b's own. Backward, the beginning's keys and
values add up what both send back, and everything below them what that makes: the gradients are exactly those of the
two rows computed apart. No row is padded either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...compute.array_types import Float, Ints
from ...config import ModelConfig
from ...layers.embedding import checked_ids
from ...model import BackboneSaved, Rotations, blocks_forward, rotation_table
from ...ops import FAST, Ops
from ...params import Params


class Part(NamedTuple):
    """Tokens that attend to each other: their `own` ones, after a beginning that an earlier part computes."""

    beginning: slice
    own: slice


class Together(NamedTuple):
    """Rows one behind the other.

    Attributes
    ----------
    ids, positions : integer ndarray of shape (1, N)
    parts : tuple of Part
    ends : integer ndarray of shape (n_rows,)
        Where the last token of each row lies.
    """

    ids: Ints
    positions: Ints
    parts: tuple[Part, ...]
    ends: Ints


def n_common(a: Sequence[int] | Ints, b: Sequence[int] | Ints) -> int:
    """How many tokens two rows have in common from the first on; the last of either is never counted."""
    n = min(len(a), len(b)) - 1
    differs = np.flatnonzero(np.asarray(a)[:n] != np.asarray(b)[:n])
    return int(differs[0]) if len(differs) else n


def together(groups: Iterable[tuple[Sequence[Sequence[int] | Ints], int]]) -> Together:
    """Groups of rows, each with the number of tokens that its rows begin with in common; less than any is long."""
    ids: list[Any] = []
    positions: list[Ints] = []
    parts: list[Part] = []
    ends: list[int] = []
    n = 0
    for rows, shared in groups:
        start = n
        for i, row in enumerate(rows):
            first = shared if i else 0
            ids.append(np.asarray(row[first:], np.int64))
            positions.append(np.arange(first, len(row)))
            parts.append(Part(slice(start, start + first), slice(n, n + len(row) - first)))
            n += len(row) - first
            ends.append(n - 1)
    return Together(np.concatenate(ids)[None], np.concatenate(positions)[None], tuple(parts), np.array(ends))


def ops_for(parts: Sequence[Part], ops: Ops) -> Ops:
    """The table with an attention that keeps the parts of one long row apart."""

    def forward(q: Float, k: Float, v: Float, positions: Ints, *window: int) -> tuple[Float, list[Any]]:
        y, saved = np.empty_like(q), []
        for part in parts:
            keys, values = _seen(k, part), _seen(v, part)
            y[:, :, part.own], kept = ops.attention_forward(
                q[:, :, part.own], keys, values, positions[:, part.own], *window
            )
            saved.append(kept)
        return y, saved

    def backward(dy: Float, saved: list[Any]) -> tuple[Float, Float, Float]:
        heads, kv_heads = saved[0].q.shape[1], saved[0].k.shape[1]
        dq = _zeros(dy.shape[2], heads, dy)
        dk, dv = _zeros(dy.shape[2], kv_heads, dy), _zeros(dy.shape[2], kv_heads, dy)
        for part, kept in zip(parts, saved):
            dq[:, :, part.own], *dkv = ops.attention_backward(dy[:, :, part.own], kept)
            n = part.beginning.stop - part.beginning.start
            for total, d in zip((dk, dv), dkv):
                total[:, :, part.own] += d[:, :, n:]
                total[:, :, part.beginning] += d[:, :, :n]
        return dq, dk, dv

    return ops._replace(attention_forward=forward, attention_backward=backward)


def _seen(a: Float, part: Part) -> Float:
    own = a[:, :, part.own]
    return own if part.beginning.stop == part.beginning.start else np.concatenate([a[:, :, part.beginning], own], 2)


def _zeros(n_tokens: int, n_heads: int, dy: Float) -> Float:
    """(1, H, T, h), with heads side by side in memory as projections take them."""
    return np.zeros((1, n_tokens, n_heads, dy.shape[3]), dy.dtype).swapaxes(1, 2)


def embedded(params: Params, config: ModelConfig, ids: Ints, positions: Ints, ops: Ops) -> tuple[Float, Any]:
    """What the lowest block is given; raises ValueError for ids or positions that the model does not have."""
    if (longest := int(positions.max()) + 1) > config.max_seq_len:
        raise ValueError(f"a row of {longest} tokens is longer than the context of {config.max_seq_len}")
    return ops.embedding_forward(checked_ids(ids, config.vocab_size), params.token_embedding)


def below(params: Params, config: ModelConfig, rows: Together, ops: Ops = FAST) -> Float:
    """What the blocks of `params` make of the rows, before any norm: (N, D)."""
    x, _ = embedded(params, config, rows.ids, rows.positions, ops)
    x, _ = blocks_forward(x, params, config, _rotations(config, rows, x), ops_for(rows.parts, ops), recompute=True)
    return x[0]


def states_forward(
    params: Params,
    config: ModelConfig,
    rows: Together,
    ops: Ops = FAST,
    *,
    x: Float | None = None,
    recompute: bool = False,
) -> tuple[Float, BackboneSaved, Ops]:
    """Hidden states of rows after the last norm.

    Parameters
    ----------
    rows : Together
    x : ndarray of shape (N, D), optional
        What blocks below those of `params` made of the tokens; their embedding is not looked at then.
    recompute : bool
        As in `model.backbone_forward`.

    Returns
    -------
    h : ndarray of shape (N, D)
    saved : BackboneSaved
    ops : Ops
        The table for `backbone_backward`, which takes the gradient of h as (1, N, D).
    """
    ops = ops_for(rows.parts, ops)
    given, saved = (x[None], None) if x is not None else embedded(params, config, rows.ids, rows.positions, ops)
    out, blocks = blocks_forward(given, params, config, _rotations(config, rows, given), ops, recompute=recompute)
    h, norm_saved = ops.rmsnorm_forward(out, params.final_norm, config.norm_eps)
    return h[0], BackboneSaved(config, saved, blocks, norm_saved), ops


def _rotations(config: ModelConfig, rows: Together, x: Float) -> Rotations:
    return Rotations(*rotation_table(config, int(rows.positions.max()) + 1, x.dtype), rows.positions)
