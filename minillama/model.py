"""The wiring of a Llama (LLaMA 2 section 2.2): layers in, logits out.

    x      = embedding(tokens)
    x      = x + wo attention(rope(wq n), rope(wk n), wv n)      n = rmsnorm(x)     } n_layers
    x      = x + w_down swiglu(w_gate m, w_up m)                 m = rmsnorm(x)     } times
    logits = output rmsnorm(x)

`forward` computes whole sequences; `forward_cached` continues sequences whose earlier keys and
values lie in a `KVCache`, in chunks of any size, with the same result.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .config import ModelConfig
from .kv_cache import KVCache
from .layers.rope import rope_table
from .ops import FAST, Ops
from .params import LayerParams, Params

Float = NDArray[np.floating]
Ints = NDArray[np.integer]


class Rotations(NamedTuple):
    """RoPE's table and the positions of the tokens at hand."""

    cos: Float  # (S, head_dim / 2)
    sin: Float  # (S, head_dim / 2)
    positions: Ints  # (B, T)


class ForwardCache(NamedTuple):
    """What the backward pass needs: the cache of every layer call, in the order of the calls."""

    embedding: Any
    blocks: list[list[Any]]
    final_norm: Any
    output: Any


def as_tokens(tokens: ArrayLike) -> NDArray[np.int64]:
    """Token ids as an int64 array (B, T); one sequence (T,) becomes a batch of one.

    Raises
    ------
    ValueError
        When they are not integers, not of one or two dimensions, or none.
    """
    array = np.asarray(tokens)
    if array.size == 0:
        raise ValueError("there are no tokens: the model needs at least one (BOS starts an empty text)")
    if array.ndim not in (1, 2) or array.dtype.kind not in "iu":
        raise ValueError(f"tokens must be integers of shape (T,) or (B, T), got {array.dtype} of shape {array.shape}")
    return np.ascontiguousarray(np.atleast_2d(array), np.int64)


def _heads(x: Float, n_heads: int) -> Float:
    """Split the last axis in heads and bring them forward: (B, T, H * h) -> (B, H, T, h)."""
    return x.reshape(*x.shape[:2], n_heads, -1).swapaxes(1, 2)


def _attention_block(
    x: Float, layer: LayerParams, config: ModelConfig, rotations: Rotations, ops: Ops, kv: tuple[KVCache, int] | None
) -> tuple[Float, list[Any]]:
    """x + wo attention(...); with `kv`, keys and values go through that layer of the cache."""
    n, norm_cache = ops.rmsnorm_forward(x, layer.attention_norm, config.norm_eps)
    q, q_cache = ops.linear_forward(n, layer.wq)
    k, k_cache = ops.linear_forward(n, layer.wk)
    v, v_cache = ops.linear_forward(n, layer.wv)
    q, q_rope = ops.rope_forward(_heads(q, config.n_heads), *rotations)  # (B, H, T, h)
    k, k_rope = ops.rope_forward(_heads(k, config.n_kv_heads), *rotations)  # (B, K, T, h)
    v = _heads(v, config.n_kv_heads)
    if kv is not None:
        cache, index = kv
        k, v = cache.write(index, k, v, rotations.positions)  # (B, K, S, h)
    y, attention_cache = ops.attention_forward(q, k, v, rotations.positions)
    y = y.swapaxes(1, 2).reshape(*x.shape[:2], -1)  # (B, T, H * h)
    y, wo_cache = ops.linear_forward(y, layer.wo)
    return x + y, [norm_cache, q_cache, k_cache, v_cache, q_rope, k_rope, attention_cache, wo_cache]


def _ffn_block(x: Float, layer: LayerParams, config: ModelConfig, ops: Ops) -> tuple[Float, list[Any]]:
    """x + w_down swiglu(w_gate m, w_up m)."""
    m, norm_cache = ops.rmsnorm_forward(x, layer.ffn_norm, config.norm_eps)
    gate, gate_cache = ops.linear_forward(m, layer.w_gate)
    up, up_cache = ops.linear_forward(m, layer.w_up)
    hidden, swiglu_cache = ops.swiglu_forward(gate, up)
    y, down_cache = ops.linear_forward(hidden, layer.w_down)
    return x + y, [norm_cache, gate_cache, up_cache, swiglu_cache, down_cache]


def output_head(params: Params) -> Any:
    """The matrix that turns the last hidden state into logits; the embedding when it is tied."""
    return params.token_embedding if params.output is None else params.output


def forward(params: Params, config: ModelConfig, tokens: ArrayLike, ops: Ops = FAST) -> tuple[Float, ForwardCache]:
    """Logits of every position of whole sequences.

    Parameters
    ----------
    params : Params
    config : ModelConfig
    tokens : integer array of shape (B, T) or (T,)
    ops : Ops

    Returns
    -------
    logits : ndarray of shape (B, T, vocab_size)
        Position t predicts token t + 1.
    cache : ForwardCache

    Raises
    ------
    ValueError
        When there are no tokens, more than `max_seq_len`, or ids outside the vocabulary.
    """
    ids = as_tokens(tokens)
    batch, n_tokens = ids.shape
    if n_tokens > config.max_seq_len:
        raise ValueError(f"{n_tokens} tokens are more than the context of {config.max_seq_len}")
    x, embedding_cache = ops.embedding_forward(ids, params.token_embedding)  # (B, T, D)
    positions = np.broadcast_to(np.arange(n_tokens), (batch, n_tokens)).copy()
    rotations = Rotations(*rope_table(config.head_dim, n_tokens, config.rope_theta, x.dtype), positions)
    blocks = []
    for layer in params.layers:
        x, attention_cache = _attention_block(x, layer, config, rotations, ops, None)
        x, ffn_cache = _ffn_block(x, layer, config, ops)
        blocks.append(attention_cache + ffn_cache)
    x, norm_cache = ops.rmsnorm_forward(x, params.final_norm, config.norm_eps)
    logits, output_cache = ops.linear_forward(x, output_head(params))
    return logits, ForwardCache(embedding_cache, blocks, norm_cache, output_cache)


def forward_cached(
    params: Params,
    config: ModelConfig,
    tokens: ArrayLike,
    cache: KVCache,
    rope: tuple[Float, Float],
    ops: Ops = FAST,
    *,
    all_logits: bool = False,
) -> Float:
    """Continue every sequence of the cache by T tokens; the cache then holds them too.

    Parameters
    ----------
    tokens : integer array of shape (B, T) or (T,)
        B as in the cache. Any chunking of a prompt gives the same logits.
    cache : KVCache
        Unchanged if anything is raised.
    rope : (cos, sin)
        A `rope_table` with at least as many positions as will be used.
    all_logits : bool
        Logits of all T positions, not of the last alone.

    Returns
    -------
    logits : ndarray of shape (B, vocab_size), or (B, T, vocab_size) with `all_logits`

    Raises
    ------
    ContextFullError
        When the tokens do not fit.
    ValueError
        When there are no tokens or ids outside the vocabulary.
    """
    ids = as_tokens(tokens)
    n_tokens = ids.shape[1]
    if len(ids) != len(cache.lengths):
        raise ValueError(f"the cache holds {len(cache.lengths)} sequences, got tokens for {len(ids)}")
    cache.reserve(n_tokens)
    x, _ = ops.embedding_forward(ids, params.token_embedding)  # (B, T, D)
    rotations = Rotations(*rope, cache.lengths[:, None] + np.arange(n_tokens))
    for i, layer in enumerate(params.layers):
        x, _ = _attention_block(x, layer, config, rotations, ops, (cache, i))
        x, _ = _ffn_block(x, layer, config, ops)
    x = x if all_logits else x[:, -1:]
    x, _ = ops.rmsnorm_forward(x, params.final_norm, config.norm_eps)
    logits, _ = ops.linear_forward(x, output_head(params))
    cache.lengths += n_tokens  # last, so that an interrupt leaves the cache as it was
    return logits if all_logits else logits[:, 0]
