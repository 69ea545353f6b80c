"""Attention, backwards."""

from __future__ import annotations

import math

import numpy as np

from ....layers.attention import attention_backward as package_attention_backward
from ....layers.attention import attention_backward_fast, attention_forward, attention_forward_fast
from ...exercises.exercise import Speed, exercise
from .inputs import Arrays, normal_array
from .softmax_backward import softmax_backward


def make_attention(rng: np.random.Generator, B: int, H: int, K: int, T: int, past: int, head_dim: int) -> Arrays:
    """Queries at positions up to past + T - 1, each sequence from another start; keys for all.

    Of wide heads the first and the last have scores near 760 and -760: exp of them leaves float64.
    """
    if H % K:
        raise ValueError("H must be a multiple of K")
    start = rng.integers(0, past + 1, (B, 1))
    start[0] = past
    q, k, v = (2 * normal_array(rng, B, n, size, head_dim) for n, size in ((H, T), (K, T + past), (K, T + past)))
    gap = (np.arange(T) == T - 1) & (start < past)  # where a later key is left
    if head_dim == 16:  # all scores are exact in float32
        q[0, [0, -1]] = 0
        q[0, [0, -1], :, 0] = np.array([[4 * 760], [-4 * 760]])
        k[0, :, :, 0] = 1 + rng.integers(-8, 9, k.shape[1:3]) / 512
    return normal_array(rng, B, H, T, head_dim), q, k, v, start + np.arange(T) + gap


def attention(dy, q, k, v, positions):
    return package_attention_backward(dy, attention_forward(q, k, v, positions)[1])


def torch_attention(dy, q, k, v, positions):
    import torch

    dy, q, k, v = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (dy, q, k, v))
    mask = torch.tensor(np.arange(k.shape[2]) <= positions[:, None, :, None])
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    y.backward(dy)
    return q.grad.numpy(), k.grad.numpy(), v.grad.numpy()


def fast_attention(dy, q, k, v, positions):
    return attention_backward_fast(dy, attention_forward_fast(q, k, v, positions)[1])


def torch_speed(dy, q, k, v, positions):
    """For the speed card: tensors in, tensors out, float32."""
    import torch

    with torch.enable_grad():  # the speed card runs without
        q, k, v = (a.detach().requires_grad_(True) for a in (q, k, v))
        mask = (torch.arange(k.shape[2]) <= positions[..., None])[:, None]
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        return torch.autograd.grad(y, (q, k, v), dy)


@exercise(
    title="Attention, backwards",
    task="Gradients of q (B, H, T, h) and of k and v (B, K, S, h) of causal attention, from dy; heads share keys.",
    difficulty=3,
    minutes=60,
    same_as=attention,
    make=make_attention,
    shapes=(
        {"B": 1, "H": 1, "K": 1, "T": 3, "past": 0, "head_dim": 4},
        {"B": 1, "H": 2, "K": 1, "T": 1, "past": 0, "head_dim": 2},
        {"B": 1, "H": 1, "K": 1, "T": 2, "past": 3, "head_dim": 3},
        {"B": 2, "H": 4, "K": 2, "T": 5, "past": 1, "head_dim": 6},
        {"B": 3, "H": 6, "K": 2, "T": 7, "past": 4, "head_dim": 8},
        {"B": 1, "H": 3, "K": 3, "T": 19, "past": 0, "head_dim": 16},
    ),
    axes=("batch", "head", "position", "dim"),
    outputs=("dq", "dk", "dv"),
    oracle=torch_attention,
    rtol=5e-4,
    atol=1e-5,
    speed=Speed(
        dims={"B": 1, "H": 8, "K": 4, "T": 256, "past": 0, "head_dim": 64},
        flops=lambda B, H, K, T, past, head_dim: 7 * B * H * T * (T / 2 + past) * 2 * head_dim,
        bytes=lambda B, H, K, T, past, head_dim: 4 * B * head_dim * (3 * H * T + 4 * K * (T + past)) + 8 * B * T,
        fast=fast_attention,
        torch=torch_speed,
    ),
    hints=(
        "Go back one step at a time: y = p v, p = softmax(z), z = q k^T / sqrt(h). Each step is a product of matrices "
        "or the softmax_backward of the exercise before.",
        "With the forward pass done again: dv = p^T dy, dp = dy v^T, dz = p (dp - rowsum(p dp)), dq = dz k / sqrt(h), "
        "dk = dz^T q / sqrt(h). Hidden keys have p = 0, so dz is 0 there by itself. Repeat k and v for their query "
        "heads first; then dk and dv of a key head are the sums over its query heads.",
        "keys, values = np.repeat(k, H // K, axis=1), np.repeat(v, H // K, axis=1)\n"
        "p = ...                                # (B, H, T, S), with the mask: s <= positions[b, t]\n"
        "dp = dy @ values.swapaxes(-1, -2)\n"
        "dz = p * (dp - np.sum(p * dp, axis=-1, keepdims=True)) / np.sqrt(h)\n"
        "dk = (dz.swapaxes(-1, -2) @ q).reshape(B, K, H // K, S, h).sum(axis=2)      # dv likewise",
    ),
    why=(
        "The probabilities are computed again from q and k, because keeping them would take T times S numbers for "
        "each head. Each of the two products of the forward pass gives two gradients, and between them stands the "
        "softmax. Heads of a group have read the same keys and values, so what they send back is added up."
    ),
)
def attention_backward(dy, q, k, v, positions):
    """The gradients of causal attention whose query heads share keys and values.

    z[j, t, s] = q[j, t] . k[g, s] / sqrt(head_dim)       s = 0 ... positions[t],  g = j // (H / K)
    y[j, t]    = sum over s of softmax(z[j, t])[s] v[g, s]

    Scores z may be as large as 2000 in size, where exp overflows.

    Parameters
    ----------
    dy, q : ndarray of shape (B, H, T, head_dim)
    k, v : ndarray of shape (B, K, S, head_dim)
        H is a multiple of K.
    positions : integer ndarray of shape (B, T)
        A query sees keys 0 ... positions[b, t]. They are below S and rise, and there may be gaps.

    Returns
    -------
    dq : ndarray of shape (B, H, T, head_dim)
    dk, dv : ndarray of shape (B, K, S, head_dim)
        Zero for keys that no query sees.
    """
    n_kv_heads, n_keys = k.shape[1:3]
    group, scale = q.shape[1] // n_kv_heads, np.float32(1 / math.sqrt(q.shape[-1]))
    keys, values = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)  # (B, H, S, head_dim)

    z = q @ keys.swapaxes(-1, -2) * scale  # (B, H, T, S)
    z = np.where(np.arange(n_keys) <= positions[:, None, :, None], z, np.float32(-np.inf))
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)

    dz = softmax_backward(dy @ values.swapaxes(-1, -2), p) * scale
    dq = dz @ keys
    dk = dz.swapaxes(-1, -2) @ q  # (B, H, S, head_dim)
    dv = p.swapaxes(-1, -2) @ dy
    in_groups = (len(k), n_kv_heads, group, *k.shape[2:])
    return dq, dk.reshape(in_groups).sum(axis=2), dv.reshape(in_groups).sum(axis=2)


def wrong_attention(
    dq_scale=None, dk_scale=None, row_sum="right", mask="right", unmasked=False, group="sum", tile=False, dv_from="p"
):
    """The gradient of attention with one thing changed."""

    def function(dy, q, k, v, positions):
        (n_heads, n_tokens, head_dim), n_kv, n_keys = q.shape[1:], k.shape[1], k.shape[2]
        order = np.arange(n_heads) % n_kv if tile else np.arange(n_heads) // (n_heads // n_kv)
        keys, values = k[:, order], v[:, order]  # (B, H, S, head_dim)
        scale = np.float32(1 / math.sqrt(head_dim))
        seen = positions if mask == "right" else np.broadcast_to(np.arange(n_tokens), positions.shape)
        visible = np.arange(n_keys) <= seen[:, None, :, None]
        scores = np.where(visible | unmasked, q @ keys.swapaxes(-1, -2) * scale, np.float32(-np.inf))
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        dp = dy @ values.swapaxes(-1, -2)
        less = {
            "right": np.sum(p * dp, axis=-1, keepdims=True),
            "none": np.float32(0),
            "queries": np.sum(p * dp, axis=-2, keepdims=True),
        }[row_sum]
        ds = p * (dp - less)
        dq = ds @ keys * (scale if dq_scale is None else np.float32(dq_scale(head_dim)))
        dk = ds.swapaxes(-1, -2) @ q * (scale if dk_scale is None else np.float32(dk_scale(head_dim)))
        dv = (p if dv_from == "p" else ds).swapaxes(-1, -2) @ dy
        out = [dq]
        if group == "none":
            return dq, dk, dv
        for wide in (dk, dv):
            parts = [wide[:, order == g] for g in range(n_kv)]
            merged = {"sum": lambda a: a.sum(1), "mean": lambda a: a.mean(1), "last": lambda a: a[:, -1]}[group]
            out.append(np.stack([merged(part) for part in parts], axis=1))
        return tuple(out)

    return function


attention_backward.mistake(
    "Your dq and dk lack the factor 1 / sqrt(head_dim).",
    "The scores were divided on the way forward, so every gradient that passes the scores is divided too.",
    wrong_attention(dq_scale=lambda h: 1, dk_scale=lambda h: 1),
)

attention_backward.mistake(
    "Your dq and dk are divided by head_dim: the root is applied twice.",
    "Once on the way back is enough: either ds is divided, or the products are. (Do you multiply a q that is "
    "already scaled?)",
    wrong_attention(dq_scale=lambda h: 1 / h, dk_scale=lambda h: 1 / h),
)

attention_backward.mistake(
    "Your dk lacks the factor 1 / sqrt(head_dim); dq has it.",
    "z = q k^T / sqrt(h) is symmetric in q and k, and so are their gradients: divide ds once, before both products.",
    wrong_attention(dk_scale=lambda h: 1),
)

attention_backward.mistake(
    "Your gradient of the softmax is p * dp: the sum over the row is missing.",
    "ds = p * (dp - sum over the keys of p * dp). Without it, scores that rise together would seem to change "
    "something.",
    wrong_attention(row_sum="none"),
)

attention_backward.mistake(
    "Your sum of p * dp goes over the queries, not over the keys.",
    "Each query has its own softmax, over its keys: the last axis of p (B, H, T, S).",
    wrong_attention(row_sum="queries"),
)

attention_backward.mistake(
    "Your function forgets the causal mask when it computes the probabilities again.",
    "Backward needs the p of the forward pass: keys after a query's position have p = 0, and get no gradient from it.",
    wrong_attention(unmasked=True),
)

attention_backward.mistake(
    "Your mask counts positions from 0 in every call.",
    "Use `positions`: query t of sequence b sees keys 0 ... positions[b, t], which may be more than t + 1.",
    wrong_attention(mask="from 0"),
)

attention_backward.mistake(
    "Your dk and dv come from one query head of each group only, the last.",
    "A key head serves H / K query heads and collects the gradients of all: add (+=), do not assign.",
    wrong_attention(group="last"),
)

attention_backward.mistake(
    "Your dk and dv are means over the query heads of a group.",
    "Gradients of several uses add up: a sum over the group.",
    wrong_attention(group="mean"),
)

attention_backward.mistake(
    "Your query head j uses key head j % K.",
    "Neighbours share: heads 0 ... H/K - 1 use key head 0. np.repeat, not np.tile (chapter 07).",
    wrong_attention(tile=True),
)

attention_backward.mistake(
    "Your dk and dv have an entry for each query head.",
    "A key head serves H / K query heads: add up what these send back, so that dk has the shape of k.",
    wrong_attention(group="none"),
)


@attention_backward.mistake(
    "Your function returns dv before dk.",
    "Gradients come in the order of the arguments: dq, dk, dv.",
)
def returns_dv_before_dk(*arguments):
    return tuple(attention(*arguments)[i] for i in (0, 2, 1))


attention_backward.mistake(
    "Your dv is made of ds, the gradient of the scores.",
    "y = p v: what multiplies a value is its probability, dv = p^T dy.",
    wrong_attention(dv_from="ds"),
)
