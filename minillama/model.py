"""The wiring of a Llama (LLaMA 2 section 2.2): layers in, logits out.

    x      = embedding(tokens)
    x      = x + wo attention(rope(wq n), rope(wk n), wv n)      n = rmsnorm(x)     } n_layers
    x      = x + w_down swiglu(w_gate m, w_up m)                 m = rmsnorm(x)     } times
    logits = output rmsnorm(x)

`forward` computes whole sequences; `forward_cached` continues sequences whose earlier keys and
values lie in a `KVCache`, in chunks of any size, with the same result. Both check the ids they are
given; below them ids are trusted (`extend_cached`, which a runner calls with checked ones).

`backward` goes the same way from the end to the beginning: every layer call saved what it needs, and
turns the gradient of its result into those of its arguments. Where a result goes two ways (the
residual stream, the input of wq, wk and wv) the gradients that come back are added. Everything
above the last norm is an *objective*: whoever brings the gradient of the logits, or that of the
hidden states to `backbone_backward`, gets those of all parameters. `LayerExtras`, of relatives, have no gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .compute.array_types import Float, Ints
from .config import ModelConfig
from .kv_cache import KVCache, LayerCache
from .layers.embedding import checked_ids
from .layers.rope import rope_table
from .ops import FAST, READS_FLOAT16, Ops
from .params import LayerExtras, LayerParams, Params, extras_of


class Rotations(NamedTuple):
    """RoPE's table and the positions of the tokens at hand."""

    cos: Float  # (S, head_dim / 2)
    sin: Float  # (S, head_dim / 2)
    positions: Ints  # (B, T)


class AttentionBlockSaved(NamedTuple):
    """What the calls of `_attention_block` saved."""

    norm: Any
    q: Any
    k: Any
    v: Any
    q_rope: Any
    k_rope: Any
    attention: Any
    wo: Any


class FFNBlockSaved(NamedTuple):
    """What the calls of `_ffn_block` saved."""

    norm: Any
    gate: Any
    up: Any
    swiglu: Any
    down: Any


class RecomputedBlock(NamedTuple):
    """A block that kept its input alone: it is run again when its gradients are asked for."""

    x: Float  # (B, T, D)
    layer: LayerParams
    extras: LayerExtras
    config: ModelConfig
    rotations: Rotations


class BackboneSaved(NamedTuple):
    """What `backbone_backward` needs: what the calls saved, in their order, opaque to all but the layers themselves."""

    config: ModelConfig
    embedding: Any  # None where the lowest block is not given tokens
    blocks: list[tuple[AttentionBlockSaved, FFNBlockSaved] | RecomputedBlock]
    final_norm: Any


class ForwardSaved(NamedTuple):
    """What `backward` needs."""

    backbone: BackboneSaved
    output: Any
    tied: bool


def _heads(x: Float, n_heads: int) -> Float:
    """Split the last axis into heads and bring them forward: (B, T, H * h) -> (B, H, T, h)."""
    return x.reshape(*x.shape[:2], n_heads, -1).swapaxes(1, 2)


def _linear(x: Float, weight: Any, bias: Any | None, ops: Ops) -> tuple[Float, Any]:
    """x W^T, and the bias of a relative of LLaMA 2 that has one."""
    y, saved = ops.linear_forward(x, weight)
    return (y if bias is None else y + bias), saved


def rotation_table(config: ModelConfig, n_positions: int, dtype: DTypeLike = np.float32) -> tuple[Float, Float]:
    """RoPE's table (cos, sin) of a model for positions 0 ... n_positions - 1."""
    return rope_table(config.head_dim, n_positions, config.rope_theta, dtype, config.rope_scaling)


def _window(config: ModelConfig, positions: Ints) -> tuple[int, ...]:
    """The last argument of attention, where a sliding window hides a key: only then need a function take one."""
    hides = config.sliding_window and int(positions.max(initial=0)) >= config.sliding_window
    return (config.sliding_window,) if hides else ()


def _attention_block(
    x: Float,
    layer: LayerParams,
    extras: LayerExtras,
    config: ModelConfig,
    rotations: Rotations,
    ops: Ops,
    kv: tuple[LayerCache, int] | None = None,
    asked: Any = slice(None),
) -> tuple[Float, AttentionBlockSaved]:
    """x + wo attention(...) at the positions `asked`; with `kv`, keys and values go through that layer of the cache."""
    normed, norm_saved = ops.rmsnorm_forward(x, layer.attention_norm, config.norm_eps)
    k, k_saved = _linear(normed, layer.wk, extras.bk, ops)
    v, v_saved = _linear(normed, layer.wv, extras.bv, ops)
    q, q_saved = _linear(normed[asked], layer.wq, extras.bq, ops)
    q, k, v = _heads(q, config.n_heads), _heads(k, config.n_kv_heads), _heads(v, config.n_kv_heads)
    if config.qk_norm:
        q, _ = ops.rmsnorm_forward(q, extras.q_norm, config.norm_eps)
        k, _ = ops.rmsnorm_forward(k, extras.k_norm, config.norm_eps)
    x, positions = x[asked], rotations.positions[asked]
    q, q_rope = ops.rope_forward(q, rotations.cos, rotations.sin, positions)  # (B, H, T, h)
    k, k_rope = ops.rope_forward(k, *rotations)  # (B, K, T, h)
    if kv is not None:
        cache, index = kv
        k, v = cache.write(index, k, v, rotations.positions, as_stored=ops.attention_forward in READS_FLOAT16)
    y, attention_saved = ops.attention_forward(q, k, v, positions, *_window(config, positions))
    y = y.swapaxes(1, 2).reshape(*x.shape[:2], -1)  # (B, T, H * h)
    y, wo_saved = _linear(y, layer.wo, extras.bo, ops)
    return x + y, AttentionBlockSaved(norm_saved, q_saved, k_saved, v_saved, q_rope, k_rope, attention_saved, wo_saved)


def _ffn_block(
    x: Float, layer: LayerParams, extras: LayerExtras, config: ModelConfig, ops: Ops
) -> tuple[Float, FFNBlockSaved]:
    """x + w_down swiglu(w_gate m, w_up m)."""
    normed, norm_saved = ops.rmsnorm_forward(x, layer.ffn_norm, config.norm_eps)
    gate, gate_saved = _linear(normed, layer.w_gate, extras.b_gate, ops)
    up, up_saved = _linear(normed, layer.w_up, extras.b_up, ops)
    hidden, swiglu_saved = ops.swiglu_forward(gate, up)
    y, down_saved = _linear(hidden, layer.w_down, extras.b_down, ops)
    return x + y, FFNBlockSaved(norm_saved, gate_saved, up_saved, swiglu_saved, down_saved)


def output_head(params: Params) -> Any:
    """The matrix that makes the logits; the embedding when it is tied."""
    return params.token_embedding if params.output is None else params.output


def _block(
    x: Float, layer: LayerParams, extras: LayerExtras, config: ModelConfig, rotations: Rotations, ops: Ops
) -> tuple[Float, tuple[AttentionBlockSaved, FFNBlockSaved]]:
    x, attention_saved = _attention_block(x, layer, extras, config, rotations, ops)
    x, ffn_saved = _ffn_block(x, layer, extras, config, ops)
    return x, (attention_saved, ffn_saved)


def backbone_forward(
    params: Params, config: ModelConfig, tokens: ArrayLike, ops: Ops = FAST, *, recompute: bool = False
) -> tuple[Float, BackboneSaved]:
    """Hidden states of whole sequences after the last norm: what a head of any kind starts from.

    Parameters
    ----------
    params, config, tokens, ops
        As in `forward`.
    recompute : bool
        Keep only the input of every block, and run the block again in the backward pass: memory
        of one block at a time, for a third more work (Chen et al. 2016, arXiv:1604.06174).

    Returns
    -------
    h : ndarray of shape (B, T, dim)
    saved : BackboneSaved

    Raises
    ------
    ValueError
        When there are no tokens, more than `max_seq_len`, or ids outside the vocabulary.
    """
    ids = checked_ids(tokens, config.vocab_size)
    batch, n_tokens = ids.shape
    if n_tokens > config.max_seq_len:
        raise ValueError(f"{n_tokens} tokens are more than the context of {config.max_seq_len}")
    x, embedding_saved = ops.embedding_forward(ids, params.token_embedding)  # (B, T, D)
    positions = np.broadcast_to(np.arange(n_tokens), (batch, n_tokens)).copy()
    rotations = Rotations(*rotation_table(config, n_tokens, x.dtype), positions)
    x, blocks = blocks_forward(x, params, config, rotations, ops, recompute=recompute)
    h, norm_saved = ops.rmsnorm_forward(x, params.final_norm, config.norm_eps)
    return h, BackboneSaved(config, embedding_saved, blocks, norm_saved)


def blocks_forward(
    x: Float, params: Params, config: ModelConfig, rotations: Rotations, ops: Ops = FAST, *, recompute: bool = False
) -> tuple[Float, list[Any]]:
    """The blocks alone, of embedded tokens (B, T, D) or of what blocks below them made; and what they saved."""
    blocks: list[Any] = []
    for layer, extras in zip(params.layers, extras_of(params)):
        block_input = x
        x, block_saved = _block(x, layer, extras, config, rotations, ops)
        blocks.append(RecomputedBlock(block_input, layer, extras, config, rotations) if recompute else block_saved)
    return x, blocks


def forward(
    params: Params, config: ModelConfig, tokens: ArrayLike, ops: Ops = FAST, *, recompute: bool = False
) -> tuple[Float, ForwardSaved]:
    """Logits of every position of whole sequences.

    Parameters
    ----------
    params : Params
    config : ModelConfig
    tokens : integer array of shape (B, T) or (T,)
    ops, recompute
        See `backbone_forward`, also for what is raised.

    Returns
    -------
    logits : ndarray of shape (B, T, vocab_size)
        Position t predicts token t + 1.
    saved : ForwardSaved
    """
    h, backbone_saved = backbone_forward(params, config, tokens, ops, recompute=recompute)
    logits, output_saved = ops.linear_forward(h, output_head(params))
    return logits, ForwardSaved(backbone_saved, output_saved, params.output is None)


# --- backward ---------------------------------------------------------------------------


def _merge_heads(x: Float) -> Float:
    """The inverse of `_heads`: (B, H, T, h) -> (B, T, H * h)."""
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)


def _attention_block_backward(
    dy: Float, saved: AttentionBlockSaved, config: ModelConfig, ops: Ops
) -> tuple[Float, dict[str, Float]]:
    """Gradients of the block's input and of its parameters."""
    d, wo = ops.linear_backward(dy, saved.wo)  # (B, T, H * h)
    dq, dk, dv = ops.attention_backward(_heads(d, config.n_heads), saved.attention)  # (B, H, T, h)
    dn, wq = ops.linear_backward(_merge_heads(ops.rope_backward(dq, saved.q_rope)), saved.q)
    dn_k, wk = ops.linear_backward(_merge_heads(ops.rope_backward(dk, saved.k_rope)), saved.k)
    dn_v, wv = ops.linear_backward(_merge_heads(dv), saved.v)
    dn += dn_k
    dn += dn_v
    dx, norm = ops.rmsnorm_backward(dn, saved.norm)
    dx += dy  # the residual stream passes the gradient on as it is
    return dx, {"attention_norm": norm, "wq": wq, "wk": wk, "wv": wv, "wo": wo}


def _ffn_block_backward(dy: Float, saved: FFNBlockSaved, ops: Ops) -> tuple[Float, dict[str, Float]]:
    d, w_down = ops.linear_backward(dy, saved.down)  # (B, T, hidden_dim)
    dgate, dup = ops.swiglu_backward(d, saved.swiglu)
    dm, w_gate = ops.linear_backward(dgate, saved.gate)
    dm_up, w_up = ops.linear_backward(dup, saved.up)
    dm += dm_up
    dx, norm = ops.rmsnorm_backward(dm, saved.norm)
    dx += dy
    return dx, {"ffn_norm": norm, "w_gate": w_gate, "w_up": w_up, "w_down": w_down}


def backbone_backward(dh: Float, saved: BackboneSaved, ops: Ops = FAST) -> Params:
    """Gradients of every parameter below the head, from those of the hidden states.

    Parameters
    ----------
    dh : ndarray of shape (B, T, dim)
        From any head: a reward model's, a value function's, or `backward`'s own.
    saved, ops
        What `backbone_forward` saved, and the table that it ran with.

    Returns
    -------
    Params
        Its `output` is None: a head's gradient is the business of the head.

    Raises
    ------
    ValueError
        When the model has what LLaMA 2 does not have (`ModelConfig.beyond_llama2`).
    """
    if saved.config.beyond_llama2:
        raise ValueError(f"gradients are those of LLaMA 2; this model has {' and '.join(saved.config.beyond_llama2)}")
    dx, final_norm = ops.rmsnorm_backward(dh, saved.final_norm)
    layers = []
    for block in reversed(saved.blocks):
        if isinstance(block, RecomputedBlock):
            _, block = _block(*block, ops)
        attention_saved, ffn_saved = block
        dx, ffn_gradients = _ffn_block_backward(dx, ffn_saved, ops)
        dx, attention_gradients = _attention_block_backward(dx, attention_saved, saved.config, ops)
        layers.append(LayerParams(**attention_gradients, **ffn_gradients))
    embedding = None if saved.embedding is None else ops.embedding_backward(dx, saved.embedding)
    return Params(embedding, tuple(reversed(layers)), final_norm, None)


def with_head_gradient(gradients: Params, dhead: Float, tied: bool) -> Params:
    """Put the gradient of the output head where it belongs: to the embedding when that is the head."""
    if not tied:
        return gradients._replace(output=dhead)
    gradients.token_embedding[...] += dhead
    return gradients


def backward(dlogits: Float, saved: ForwardSaved, ops: Ops = FAST) -> Params:
    """Gradients of every parameter, from those of the logits.

    Parameters
    ----------
    dlogits : ndarray of shape (B, T, vocab_size)
        Of whatever is made of the logits: a loss, or an objective of training.
    saved, ops
        What `forward` saved, and the table that it ran with.

    Returns
    -------
    Params
        A tree like that of the parameters; a tied table has both its gradients added.
    """
    dh, dhead = ops.linear_backward(dlogits, saved.output)
    return with_head_gradient(backbone_backward(dh, saved.backbone, ops), dhead, saved.tied)


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
    """Continue every sequence of the cache by T tokens; the cache then holds them too. Any chunks give the same logits.

    Parameters
    ----------
    tokens : integer array of shape (B, T) or (T,)
    cache : KVCache
        Unchanged if anything is raised.
    rope : (cos, sin)
        A `rotation_table` with at least as many positions as will be used.
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
    ids = checked_ids(tokens, config.vocab_size)
    if len(ids) != len(cache.lengths):
        raise ValueError(f"the cache holds {len(cache.lengths)} sequences, got tokens for {len(ids)}")
    return extend_cached(params, config, ids, cache, rope, ops, all_logits=all_logits)


def extend_cached(
    params: Params,
    config: ModelConfig,
    ids: Ints,
    cache: LayerCache,
    rope: tuple[Float, Float],
    ops: Ops,
    *,
    all_logits: bool,
) -> Float:
    """`forward_cached` for ids (B, T) that were checked."""
    n_tokens = ids.shape[1]
    cache.reserve(n_tokens)
    x, _ = ops.embedding_forward(ids, params.token_embedding)  # (B, T, D)
    rotations = Rotations(*rope, cache.positions(n_tokens))
    for i, (layer, extras) in enumerate(zip(params.layers, extras_of(params))):
        asked = slice(None) if all_logits or i + 1 < len(params.layers) else cache.ends()  # the head reads no more
        x, _ = _attention_block(x, layer, extras, config, rotations, ops, (cache, i), asked)
        x, _ = _ffn_block(x, layer, extras, config, ops)
    x, _ = ops.rmsnorm_forward(x, params.final_norm, config.norm_eps)
    logits, _ = ops.linear_forward(x, output_head(params))
    cache.advance(n_tokens)  # last, so that an interrupt leaves the cache as it was
    return logits if all_logits else logits.reshape(-1, logits.shape[-1])
