"""One block."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ....layers.attention import attention_forward
from ....layers.rope import rope_table
from ....layers.swiglu import swiglu_forward
from ....ops import REFERENCE as ops
from ....params import LayerParams
from ...exercises.exercise import exercise
from ..ch05_rope.variants import half, interleaved
from .inputs import EPS
from .shared import rmsnorm
from .variants import normalised


def make_block(rng: np.random.Generator, B: int, T: int, H: int, K: int, head_dim: int, hidden: int) -> tuple[Any, ...]:
    if head_dim % 2 or H % K:
        raise ValueError("head_dim must be even, and K a divisor of H")
    wide = H * head_dim
    D = wide if H < 3 else wide - 2  # the heads together may be wider than the model

    def matrix(n_out: int, n_in: int) -> Any:
        return (1.5 * rng.normal(size=(n_out, n_in)) / math.sqrt(n_in)).astype(np.float32)

    def weight() -> Any:
        return rng.uniform(0.5, 2, D).astype(np.float32)

    layer = LayerParams(
        attention_norm=weight(),
        wq=matrix(wide, D),
        wk=matrix(K * head_dim, D),
        wv=matrix(K * head_dim, D),
        wo=matrix(D, wide),
        ffn_norm=weight(),
        w_gate=matrix(hidden, D),
        w_up=matrix(hidden, D),
        w_down=matrix(D, hidden),
    )
    x = rng.normal(size=(B, T, D)).astype(np.float32)
    return x, layer, *rope_table(head_dim, T + 3, 100.0), H, K, EPS


def torch_block(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    """Meta's model.py in float64: complex numbers for RoPE, PyTorch's own attention."""
    import torch
    import torch.nn.functional as F

    x, cos, sin = (torch.tensor(a, dtype=torch.float64) for a in (x, cos, sin))
    w = LayerParams(*(torch.tensor(a, dtype=torch.float64) for a in layer))
    n_tokens, dim = x.shape[1:]
    turn = torch.complex(cos[:n_tokens], sin[:n_tokens])

    def heads(a, count):
        return a.unflatten(-1, (count, -1)).transpose(1, 2)

    def rotated(a):
        pairs = torch.view_as_complex(a.unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * turn).flatten(-2)

    n = F.rms_norm(x, (dim,), w.attention_norm, eps)
    q, k, v = rotated(heads(n @ w.wq.T, n_heads)), rotated(heads(n @ w.wk.T, n_kv_heads)), heads(n @ w.wv.T, n_kv_heads)
    k, v = (a.repeat_interleave(n_heads // n_kv_heads, dim=1) for a in (k, v))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    h = x + y @ w.wo.T
    m = F.rms_norm(h, (dim,), w.ffn_norm, eps)
    return (h + (F.silu(m @ w.w_gate.T) * (m @ w.w_up.T)) @ w.w_down.T).numpy()


def heads(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1).swapaxes(1, 2)  # (B, n_heads, T, head_dim)


@exercise(
    title="One block",
    task="Attention and feed-forward layer, each on a normalised copy of the stream, each added to the stream.",
    difficulty=3,
    minutes=30,
    make=make_block,
    shapes=(
        {"B": 1, "T": 2, "H": 2, "K": 1, "head_dim": 2, "hidden": 3},
        {"B": 1, "T": 1, "H": 1, "K": 1, "head_dim": 2, "hidden": 1},
        {"B": 2, "T": 3, "H": 4, "K": 2, "head_dim": 4, "hidden": 7},
        {"B": 3, "T": 5, "H": 3, "K": 3, "head_dim": 6, "hidden": 16},
        {"B": 2, "T": 9, "H": 6, "K": 2, "head_dim": 8, "hidden": 96},
    ),
    axes=("batch", "position", "dim"),
    oracle=torch_block,
    atol=2e-5,
    hints=(
        "All layers exist already: the starter says how to import them. What is left is their order, and the two "
        "additions.",
        "Heads: (B, T, H * head_dim) -> reshape (B, T, H, head_dim) -> swapaxes(1, 2). After attention the same way "
        "back. RoPE turns q and k, not v. wo comes before the addition.",
        "n = rmsnorm(x, layer.attention_norm)\n"
        "h = x + attention(rope(heads(n @ wq.T)), rope(heads(n @ wk.T)), heads(n @ wv.T)) @ wo.T\n"
        "m = rmsnorm(h, layer.ffn_norm)             # of h, not of x\n"
        "return h + swiglu(m @ w_gate.T, m @ w_up.T) @ w_down.T",
    ),
    why=(
        "Attention carries things from token to token, the feed-forward layer works on each token alone, and both "
        "read a norm of the stream and add to it. Queries and keys are rotated because positions decide who is looked "
        "at; values are not, because they are what is handed over. Before wo the heads go back behind the position, "
        "so that its columns meet the numbers that they were trained for."
    ),
)
def transformer_block(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    """One block of a Llama, for whole sequences that start at position 0.

    h = x + wo attention(rope(wq n), rope(wk n), wv n)      n = rmsnorm(x, attention_norm)
    y = h + w_down (silu(w_gate m) * (w_up m))              m = rmsnorm(h, ffn_norm)

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, D)
    layer : minillama.params.LayerParams
        layer.attention_norm (D,), layer.wq (n_heads * head_dim, D), layer.wk and layer.wv
        (n_kv_heads * head_dim, D), layer.wo (D, n_heads * head_dim), layer.ffn_norm (D,),
        layer.w_gate and layer.w_up (hidden_dim, D), layer.w_down (D, hidden_dim).
        The heads together may be wider or narrower than D.
        Rows of wq and wk are in Meta's order: RoPE turns neighbouring pairs.
    cos, sin : float32 ndarray of shape (S, head_dim / 2)
        RoPE's table, S >= T.
    n_heads, n_kv_heads : int
    eps : float

    Returns
    -------
    y : ndarray of shape (B, T, D)
    """
    positions = np.broadcast_to(np.arange(x.shape[1]), x.shape[:2])  # (B, T)
    n = rmsnorm(x, layer.attention_norm, eps)
    q, _ = ops.rope_forward(heads(n @ layer.wq.T, n_heads), cos, sin, positions)
    k, _ = ops.rope_forward(heads(n @ layer.wk.T, n_kv_heads), cos, sin, positions)
    v = heads(n @ layer.wv.T, n_kv_heads)
    y, _ = ops.attention_forward(q, k, v, positions)
    h = x + y.swapaxes(1, 2).reshape(*x.shape[:2], -1) @ layer.wo.T
    m = rmsnorm(h, layer.ffn_norm, eps)
    y, _ = ops.swiglu_forward(m @ layer.w_gate.T, m @ layer.w_up.T)
    return h + y @ layer.w_down.T


def uncut(x, n_heads):
    return x.reshape(len(x), n_heads, x.shape[1], -1)  # the right shape, and the halves of a token mixed with tokens


def attention(
    n,
    layer,
    cos,
    sin,
    n_heads,
    n_kv_heads,
    *,
    rotate_v=False,
    rotate=True,
    turn=interleaved,
    swap=True,
    out=True,
    cut=heads,
):
    """wo attention(...) of the normalised n, with a part of it exchanged."""
    positions = np.broadcast_to(np.arange(n.shape[1]), n.shape[:2])
    q, k, v = (cut(n @ w.T, h) for w, h in ((layer.wq, n_heads), (layer.wk, n_kv_heads), (layer.wv, n_kv_heads)))
    if rotate:
        q, k = (turn(a, cos, sin, positions) for a in (q, k))
    if rotate_v:
        v = interleaved(v, cos, sin, positions)
    y, _ = attention_forward(q, k, v, positions)
    y = (y.swapaxes(1, 2) if swap else y).reshape(*n.shape[:2], -1)
    return y @ layer.wo.T if out else y


def ffn(m, layer):
    return swiglu_forward(m @ layer.w_gate.T, m @ layer.w_up.T)[0] @ layer.w_down.T


def block(x, layer, cos, sin, n_heads, n_kv_heads, eps, **wrong):
    h = x + attention(normalised(x, layer.attention_norm, eps), layer, cos, sin, n_heads, n_kv_heads, **wrong)
    return h + ffn(normalised(h, layer.ffn_norm, eps), layer)


@transformer_block.mistake(
    "Your feed-forward layer reads x, not h: the two sublayers run side by side.",
    "GPT-J does that. In LLaMA the feed-forward layer reads the stream to which attention has been added.",
)
def block_parallel(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    attended = attention(normalised(x, layer.attention_norm, eps), layer, cos, sin, n_heads, n_kv_heads)
    return x + attended + ffn(normalised(x, layer.ffn_norm, eps), layer)


@transformer_block.mistake(
    "Your function normalises after each residual: post-norm.",
    "LLaMA normalises what a sublayer reads: x + attention(rmsnorm(x)).",
)
def block_post_norm(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    h = normalised(x + attention(x, layer, cos, sin, n_heads, n_kv_heads), layer.attention_norm, eps)
    return normalised(h + ffn(h, layer), layer.ffn_norm, eps)


@transformer_block.mistake(
    "Your function does not add x to what attention returns.",
    "There are two residuals: h = x + attention(...), then h + feed_forward(...).",
)
def block_one_residual(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    h = attention(normalised(x, layer.attention_norm, eps), layer, cos, sin, n_heads, n_kv_heads)
    return x + ffn(normalised(h, layer.ffn_norm, eps), layer)


@transformer_block.mistake(
    "Your function does not add h to what the feed-forward layer returns.",
    "There are two residuals: h = x + attention(...), then h + feed_forward(...).",
)
def block_no_second_residual(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    h = x + attention(normalised(x, layer.attention_norm, eps), layer, cos, sin, n_heads, n_kv_heads)
    return ffn(normalised(h, layer.ffn_norm, eps), layer)


@transformer_block.mistake(
    "Your feed-forward layer reads h without the norm.",
    "It has a norm of its own, ffn_norm.",
)
def block_ffn_unnormalised(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    h = x + attention(normalised(x, layer.attention_norm, eps), layer, cos, sin, n_heads, n_kv_heads)
    return h + ffn(h, layer)


@transformer_block.mistake(
    "Your function has exchanged attention_norm and ffn_norm.",
    "attention_norm (Hugging Face's input_layernorm) comes before attention; ffn_norm, which they call "
    "post_attention_layernorm, before the feed-forward layer.",
)
def exchanges_the_norms(x, layer, *rest):
    return block(x, layer._replace(attention_norm=layer.ffn_norm, ffn_norm=layer.attention_norm), *rest)


@transformer_block.mistake(
    "Your function uses attention_norm for the feed-forward layer as well.",
    "Each of the two layers has a norm of its own: ffn_norm comes before the feed-forward layer.",
)
def one_norm_for_both(x, layer, *rest):
    return block(x, layer._replace(ffn_norm=layer.attention_norm), *rest)


@transformer_block.mistake(
    "Your scores are divided by the root of D / n_heads.",
    "The heads together may be wider or narrower than D: a head is as wide as the last axis of q.",
)
def scale_of_the_stream(x, layer, cos, sin, n_heads, *rest):
    width = x.shape[-1] // n_heads
    return block(x, layer._replace(wq=layer.wq * math.sqrt(2 * cos.shape[1] / width)), cos, sin, n_heads, *rest)


transformer_block.mistake(
    "Your function rotates the pairs (x[i], x[i + head_dim/2]) of q and k.",
    "Rows of wq and wk are in Meta's order here: RoPE turns neighbours, (2i, 2i + 1) (chapter 05).",
    functools.partial(block, turn=half),
)

transformer_block.mistake(
    "Your function rotates the values too.",
    "RoPE belongs to q and k, whose products become scores; v stays as it is.",
    functools.partial(block, rotate_v=True),
)

transformer_block.mistake(
    "Your function has no RoPE.",
    "q and k are rotated by their positions before attention: without it a text is a bag of tokens.",
    functools.partial(block, rotate=False),
)

transformer_block.mistake(
    "Your function joins the heads without bringing the axes back.",
    "Attention returns (B, H, T, head_dim). swapaxes(1, 2) comes before the reshape to (B, T, H * head_dim).",
    functools.partial(block, swap=False),
)

transformer_block.mistake(
    "Your function cuts the heads, and joins them, by a reshape alone.",
    "reshape(B, n_heads, T, head_dim) mixes tokens with heads: reshape to (B, T, n_heads, head_dim), then swapaxes(1, "
    "2) (chapter 06); after attention the same way back.",
    functools.partial(block, cut=uncut, swap=False),
)


@transformer_block.mistake(
    "Your function gives query head j the key and value head j % n_kv_heads.",
    "Neighbouring query heads share one: j // (n_heads / n_kv_heads), np.repeat and not np.tile (chapter 07).",
)
def block_tiled(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    """The key and value heads laid out by np.tile instead of np.repeat."""
    wk, wv = (
        np.tile(w.reshape(n_kv_heads, -1, w.shape[1]), (n_heads // n_kv_heads, 1, 1)).reshape(-1, w.shape[1])
        for w in (layer.wk, layer.wv)
    )
    return block(x, layer._replace(wk=wk, wv=wv), cos, sin, n_heads, n_heads, eps)


transformer_block.mistake(
    "Your function leaves out wo.",
    "The joined heads go through wo before they are added to the stream.",
    functools.partial(block, out=False),
)


@transformer_block.mistake(
    "Your function has exchanged w_gate and w_up.",
    "SiLU is taken of what w_gate (Meta's w1) computes.",
)
def exchanges_gate_and_up(x, layer, *rest):
    return block(x, layer._replace(w_gate=layer.w_up, w_up=layer.w_gate), *rest)
