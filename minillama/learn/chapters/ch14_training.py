"""Chapter 14, training: gradients of layers and attention, measured by differences; AdamW, schedule, clipping."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ...config import ModelConfig
from ...layers.attention import attention_backward as package_attention_backward
from ...layers.attention import attention_backward_fast, attention_forward, attention_forward_fast
from ...layers.embedding import EmbeddingCache
from ...layers.embedding import embedding_backward as package_embedding_backward
from ...layers.linear import LinearCache
from ...layers.linear import linear_backward as package_linear_backward
from ...layers.rmsnorm import rmsnorm_backward, rmsnorm_forward
from ...layers.swiglu import swiglu_backward, swiglu_forward
from ...ops import REFERENCE
from ...params import init_params, map_params, named_arrays
from ...training.schedule import Schedule
from ..exercise import Exercise, Mistake, Speed

Arrays = tuple[Any, ...]


def _normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.normal(size=shape).astype(np.float32)


# --- linear_backward ----------------------------------------------------------------------


def _make_linear(rng: np.random.Generator, B: int, T: int, D_out: int, D_in: int) -> Arrays:
    return _normal(rng, B, T, D_out), _normal(rng, B, T, D_in), _normal(rng, D_out, D_in)


def _linear(dy, x, weight):
    return package_linear_backward(dy, LinearCache(x, weight))


def _torch_linear(dy, x, weight):
    import torch

    dy, x, weight = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (dy, x, weight))
    torch.nn.functional.linear(x, weight).backward(dy)
    return x.grad.numpy(), weight.grad.numpy()


LINEAR = Exercise(
    id="linear_backward",
    chapter="14",
    title="A matrix, backwards",
    task="Gradients of x (B, T, D_in) and of weight (D_out, D_in) in y = x @ weight.T, from dy (B, T, D_out).",
    difficulty=1,
    minutes=15,
    reference=_linear,
    make=_make_linear,
    shapes=(
        {"B": 1, "T": 2, "D_out": 3, "D_in": 3},
        {"B": 1, "T": 1, "D_out": 2, "D_in": 3},
        {"B": 2, "T": 3, "D_out": 4, "D_in": 4},
        {"B": 3, "T": 5, "D_out": 7, "D_in": 4},
        {"B": 2, "T": 17, "D_out": 20, "D_in": 33},
    ),
    axes=("batch", "position", "dim"),
    outputs=("dx", "dweight"),
    oracle=_torch_linear,
    hints=(
        "Write one number: y[t, o] = sum over i of x[t, i] weight[o, i]. Which y does x[t, i] reach, and with which "
        "factor? Which y does weight[o, i] reach?",
        "dx[t, i] = sum over o of dy[t, o] weight[o, i]: a product of matrices. dweight[o, i] = sum over all rows t "
        "of all sequences of dy[t, o] x[t, i]: another one, if batch and position become one axis.",
        "rows_of_dy, rows_of_x = dy.reshape(-1, D_out), x.reshape(-1, D_in)\n"
        "dx = dy @ weight\n"
        "dweight = rows_of_dy.T @ rows_of_x",
    ),
    mistakes=(
        Mistake(
            "Your dx multiplies with weight.T, as the way forward does.",
            "Forward takes D_in to D_out. Backward goes from D_out to D_in: dy @ weight, without the transpose. With a "
            "square matrix nothing crashes.",
            lambda dy, x, w: (dy @ w.T, _linear(dy, x, w)[1]),
        ),
        Mistake(
            "Your dweight is transposed.",
            "A gradient has the shape of its parameter, (D_out, D_in): dy.T @ x, not x.T @ dy.",
            lambda dy, x, w: (dy @ w, _linear(dy, x, w)[1].T.copy()),
        ),
        Mistake(
            "Your dweight is divided by the number of sequences.",
            "dy says how the loss changes, whatever its mean is taken over: that division is in dy already. Sum.",
            lambda dy, x, w: (dy @ w, _linear(dy, x, w)[1] / np.float32(len(x))),
        ),
        Mistake(
            "Your dweight is a mean over all rows.",
            "Every row used the same matrix, and their effects on the loss add up: a sum over rows.",
            lambda dy, x, w: (dy @ w, _linear(dy, x, w)[1] / np.float32(x[..., 0].size)),
        ),
        Mistake(
            "Your dweight comes from the last sequence of the batch alone.",
            "A loop over the batch has to add (+=) to one array; an assignment keeps the last.",
            lambda dy, x, w: (dy @ w, dy[-1].T @ x[-1]),
        ),
        Mistake(
            "Your dweight has an axis for the batch: one gradient for each sequence.",
            "There is one matrix for all sequences, so its gradient is summed over them too: make batch and position "
            "one axis first.",
            lambda dy, x, w: (dy @ w, dy.swapaxes(1, 2) @ x),
        ),
    ),
)

# --- embedding_backward -------------------------------------------------------------------


def _make_embedding(rng: np.random.Generator, B: int, T: int, V: int, D: int) -> Arrays:
    """Tokens of few kinds, so that most of them repeat, and the first one comes again at the end."""
    tokens = rng.integers(0, max(1, V - 1), (B, T))
    tokens[-1, -1] = tokens[0, 0]
    return _normal(rng, B, T, D), tokens, V


def _embedding(dx, tokens, vocab_size):
    table = np.empty((vocab_size, dx.shape[-1]), dx.dtype)
    return package_embedding_backward(dx, EmbeddingCache(tokens, table))


def _torch_embedding(dx, tokens, vocab_size):
    import torch

    table = torch.zeros(vocab_size, dx.shape[-1], dtype=torch.float64, requires_grad=True)
    x = torch.nn.functional.embedding(torch.tensor(tokens), table)
    return torch.autograd.grad(x, table, torch.tensor(dx, dtype=torch.float64))[0].numpy()


def _last_wins(dx, tokens, vocab_size):
    dweight = np.zeros((vocab_size, dx.shape[-1]), dx.dtype)
    for token, row in zip(tokens.ravel(), dx.reshape(-1, dx.shape[-1])):
        dweight[token] = row
    return dweight


def _mean_of_places(dx, tokens, vocab_size):
    counts = np.bincount(tokens.ravel(), minlength=vocab_size)
    return _embedding(dx, tokens, vocab_size) / np.maximum(counts, 1)[:, None].astype(dx.dtype)


def _each_once_a_sequence(dx, tokens, vocab_size):
    return np.sum([_last_wins(row, ids, vocab_size) for row, ids in zip(dx, tokens)], axis=0)


EMBEDDING = Exercise(
    id="embedding_backward",
    chapter="14",
    title="A table, backwards",
    task="The gradient of the embedding table (V, D) in x = table[tokens], from dx (B, T, D); tokens repeat.",
    difficulty=2,
    minutes=15,
    reference=_embedding,
    make=_make_embedding,
    shapes=(
        {"B": 1, "T": 3, "V": 4, "D": 2},
        {"B": 1, "T": 1, "V": 2, "D": 1},
        {"B": 2, "T": 5, "V": 3, "D": 3},
        {"B": 3, "T": 4, "V": 9, "D": 5},
        {"B": 3, "T": 30, "V": 11, "D": 16},
    ),
    axes=("token", "dim"),
    oracle=_torch_embedding,
    hints=(
        "A row of the table is used wherever its token stands. What does a parameter collect that is used in several "
        "places?",
        "dweight[tokens] += dx does not do it: for an id that repeats, NumPy reads the row once, adds each and writes "
        "the last. np.add.at adds every one; so does a plain loop.",
        "dweight = np.zeros((vocab_size, dx.shape[-1]), dx.dtype)\n"
        "np.add.at(dweight, tokens.reshape(-1), dx.reshape(-1, dx.shape[-1]))",
    ),
    mistakes=(
        Mistake(
            "Where a token repeats, your function keeps the gradient of its last place only.",
            "That is what dweight[tokens] = dx does, and dweight[tokens] += dx as well: NumPy buffers the sum. Use "
            "np.add.at, or a loop with +=.",
            _last_wins,
        ),
        Mistake(
            "Where a token repeats, your function takes the mean of its places.",
            "Gradients of uses add up. A frequent token has a larger gradient than a rare one.",
            _mean_of_places,
        ),
        Mistake(
            "Where a token repeats within a sequence, your function keeps its last place; sequences are added.",
            "dweight[tokens[b]] += dx[b] in a loop over the batch still loses repetitions inside of a sequence: "
            "np.add.at.",
            _each_once_a_sequence,
        ),
        Mistake(
            "Your function divides by the number of tokens.",
            "The mean over tokens is in the loss, and so in dx already.",
            lambda dx, tokens, V: _embedding(dx, tokens, V) / np.float32(tokens.size),
        ),
        Mistake(
            "Your result has a row for each kind of token that occurs, not for each of the vocabulary.",
            "The gradient has the shape of the table: rows of tokens that do not occur are 0.",
            lambda dx, tokens, V: _embedding(dx, tokens, V)[np.unique(tokens)],
        ),
        Mistake(
            "Your function puts a gradient at the place of the next token.",
            "x[b, t] is the row of tokens[b, t], the token that is read. Targets are shifted, inputs are not.",
            lambda dx, tokens, V: _embedding(dx, np.roll(tokens, -1, axis=1), V),
        ),
    ),
)

# --- softmax_backward ---------------------------------------------------------------------


def _make_softmax(rng: np.random.Generator, N: int, S: int) -> Arrays:
    scores = 2 * rng.normal(size=(N, S))
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return _normal(rng, N, S), (p / p.sum(axis=-1, keepdims=True)).astype(np.float32)


def _softmax(dp, p):
    return p * (dp - np.sum(dp * p, axis=-1, keepdims=True))


def _torch_softmax(dp, p):
    import torch

    scores = torch.tensor(p, dtype=torch.float64).log().requires_grad_(True)
    again = torch.softmax(scores, dim=-1)
    return torch.autograd.grad(again, scores, torch.tensor(dp, dtype=torch.float64))[0].numpy()


SOFTMAX = Exercise(
    id="softmax_backward",
    chapter="14",
    title="The softmax, backwards",
    task="The gradient of the scores (N, S) whose softmax over the last axis is p, from dp.",
    difficulty=2,
    minutes=20,
    reference=_softmax,
    make=_make_softmax,
    shapes=({"N": 1, "S": 3}, {"N": 2, "S": 1}, {"N": 3, "S": 3}, {"N": 4, "S": 7}, {"N": 9, "S": 40}),
    axes=("row", "key"),
    oracle=_torch_softmax,
    atol=1e-5,
    hints=(
        "Every score changes all probabilities of its row: its own rises, the others fall. dp[r]/dz[s] is "
        "p[r] (1 - p[r]) for r = s and -p[r] p[s] otherwise.",
        "dz[s] = sum over r of dp[r] p[r] ([r = s] - p[s]). The bracket gives two terms; the sum in the second does "
        "not depend on s.",
        "mean_of_dp = np.sum(dp * p, axis=-1, keepdims=True)\nreturn p * (dp - mean_of_dp)",
    ),
    mistakes=(
        Mistake(
            "Your function is p * dp: the sum over the row is missing.",
            "A score also pushes the other probabilities of its row down: subtract sum(p * dp) first. Rows of the "
            "gradient add up to 0, because adding a number to all scores changes nothing.",
            lambda dp, p: p * dp,
        ),
        Mistake(
            "Your function is p * (1 - p) * dp: only the diagonal of the Jacobian.",
            "That is the sigmoid's slope. Entries beside the diagonal, -p[r] p[s], count as well.",
            lambda dp, p: p * (1 - p) * dp,
        ),
        Mistake(
            "Your function subtracts the sum of dp, not of p * dp.",
            "The second term is sum over r of dp[r] p[r]: a mean of dp with the weights p.",
            lambda dp, p: p * (dp - dp.sum(axis=-1, keepdims=True)),
        ),
        Mistake(
            "Your function sums over the other axis.",
            "The softmax went over the last axis: a row is what sums to 1. axis=-1.",
            lambda dp, p: p * (dp - np.sum(dp * p, axis=0, keepdims=True)),
        ),
        Mistake(
            "Your function takes the mean of p * dp, not the sum.",
            "The probabilities are the weights already: they sum to 1. Use np.sum.",
            lambda dp, p: p * (dp - np.mean(dp * p, axis=-1, keepdims=True)),
        ),
        Mistake(
            "Your function forgets the factor p.",
            "What has probability 0 cannot be changed by its score: p * (dp - sum).",
            lambda dp, p: dp - np.sum(dp * p, axis=-1, keepdims=True),
        ),
    ),
)

# --- attention_backward -------------------------------------------------------------------


def _make_attention(rng: np.random.Generator, B: int, H: int, K: int, T: int, past: int, head_dim: int) -> Arrays:
    """Queries at positions up to past + T - 1, each sequence from another start; keys for all."""
    if H % K:
        raise ValueError("H must be a multiple of K")
    start = rng.integers(0, past + 1, (B, 1))
    start[0] = past
    q, k, v = (2 * _normal(rng, B, n, size, head_dim) for n, size in ((H, T), (K, T + past), (K, T + past)))
    return _normal(rng, B, H, T, head_dim), q, k, v, start + np.arange(T)


def _attention(dy, q, k, v, positions):
    return package_attention_backward(dy, attention_forward(q, k, v, positions)[1])


def _torch_attention(dy, q, k, v, positions):
    import torch

    dy, q, k, v = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (dy, q, k, v))
    mask = torch.tensor(np.arange(k.shape[2]) <= positions[:, None, :, None])
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    y.backward(dy)
    return q.grad.numpy(), k.grad.numpy(), v.grad.numpy()


def _wrong_attention(
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


def _fast_attention(dy, q, k, v, positions):
    return attention_backward_fast(dy, attention_forward_fast(q, k, v, positions)[1])


def _torch_speed(dy, q, k, v, positions):
    """For the speed card: tensors in, tensors out, float32."""
    import torch

    with torch.enable_grad():  # the speed card runs without
        q, k, v = (a.detach().requires_grad_(True) for a in (q, k, v))
        mask = (torch.arange(k.shape[2]) <= positions[..., None])[:, None]
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        return torch.autograd.grad(y, (q, k, v), dy)


ATTENTION = Exercise(
    id="attention_backward",
    chapter="14",
    title="Attention, backwards",
    task="Gradients of q (B, H, T, h) and of k and v (B, K, S, h) of causal attention, from dy; heads share keys.",
    difficulty=3,
    minutes=60,
    reference=_attention,
    make=_make_attention,
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
    oracle=_torch_attention,
    rtol=5e-4,
    atol=1e-5,
    speed=Speed(
        dims={"B": 1, "H": 8, "K": 4, "T": 256, "past": 0, "head_dim": 64},
        flops=lambda B, H, K, T, past, head_dim: 7 * B * H * T * (T / 2 + past) * 2 * head_dim,
        bytes=lambda B, H, K, T, past, head_dim: 4 * B * head_dim * (3 * H * T + 4 * K * (T + past)) + 8 * B * T,
        fast=_fast_attention,
        torch=_torch_speed,
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
    mistakes=(
        Mistake(
            "Your dq and dk lack the factor 1 / sqrt(head_dim).",
            "The scores were divided on the way forward, so every gradient that passes the scores is divided too.",
            _wrong_attention(dq_scale=lambda h: 1, dk_scale=lambda h: 1),
        ),
        Mistake(
            "Your dq and dk are divided by head_dim: the root is applied twice.",
            "Once on the way back is enough: either ds is divided, or the products are. (Do you multiply a q that is "
            "already scaled?)",
            _wrong_attention(dq_scale=lambda h: 1 / h, dk_scale=lambda h: 1 / h),
        ),
        Mistake(
            "Your dk lacks the factor 1 / sqrt(head_dim); dq has it.",
            "z = q k^T / sqrt(h) is symmetric in q and k, and so are their gradients: divide ds once, before both "
            "products.",
            _wrong_attention(dk_scale=lambda h: 1),
        ),
        Mistake(
            "Your gradient of the softmax is p * dp: the sum over the row is missing.",
            "ds = p * (dp - sum over the keys of p * dp). Without it, scores that rise together would seem to change "
            "something.",
            _wrong_attention(row_sum="none"),
        ),
        Mistake(
            "Your sum of p * dp goes over the queries, not over the keys.",
            "Each query has its own softmax, over its keys: the last axis of p (B, H, T, S).",
            _wrong_attention(row_sum="queries"),
        ),
        Mistake(
            "Your function forgets the causal mask when it computes the probabilities again.",
            "Backward needs the p of the forward pass: keys behind a query's position have p = 0, and get no gradient "
            "from it.",
            _wrong_attention(unmasked=True),
        ),
        Mistake(
            "Your mask counts positions from 0 in every call.",
            "Use `positions`: query t of sequence b sees keys 0 ... positions[b, t], which may be more than t + 1.",
            _wrong_attention(mask="from 0"),
        ),
        Mistake(
            "Your dk and dv come from one query head of each group only, the last.",
            "A key head serves H / K query heads and collects the gradients of all: add (+=), do not assign.",
            _wrong_attention(group="last"),
        ),
        Mistake(
            "Your dk and dv are means over the query heads of a group.",
            "Gradients of several uses add up: a sum over the group.",
            _wrong_attention(group="mean"),
        ),
        Mistake(
            "Your query head j uses key head j % K.",
            "Neighbours share: heads 0 ... H/K - 1 use key head 0. np.repeat, not np.tile (chapter 07).",
            _wrong_attention(tile=True),
        ),
        Mistake(
            "Your dk and dv have an entry for each query head.",
            "A key head serves H / K query heads: add up what these send back, so that dk has the shape of k.",
            _wrong_attention(group="none"),
        ),
        Mistake(
            "Your function returns dv before dk.",
            "Gradients come in the order of the arguments: dq, dk, dv.",
            lambda *arguments: tuple(_attention(*arguments)[i] for i in (0, 2, 1)),
        ),
        Mistake(
            "Your dv is made of ds, the gradient of the scores.",
            "y = p v: what multiplies a value is its probability, dv = p^T dy.",
            _wrong_attention(dv_from="ds"),
        ),
    ),
)

# --- residual_ffn_backward ----------------------------------------------------------------


def _make_block(rng: np.random.Generator, B: int, T: int, D: int, hidden: int) -> Arrays:
    if D < 2:
        raise ValueError("a row of one number is normalised to 1 or -1, and has no gradient")
    x = 0.5 * _normal(rng, B, T, D)
    matrices = (_normal(rng, hidden, D), _normal(rng, hidden, D), _normal(rng, D, hidden))
    return _normal(rng, B, T, D), x, 1 + 0.3 * _normal(rng, D), *matrices, 1e-2


def _block(dy, x, norm_weight, w_gate, w_up, w_down, eps, wrong=""):
    """The gradients of y = x + w_down swiglu(w_gate m, w_up m), with one thing changed where `wrong` names it."""
    m, norm = rmsnorm_forward(x, norm_weight, eps)
    hidden, gating = swiglu_forward(m @ w_gate.T, m @ w_up.T)
    d, dw_down = _linear(dy, hidden, w_down)
    dgate, dup = swiglu_backward(d, gating)
    dm, dw_gate = _linear(dgate, x if wrong == "x" else m, w_gate)
    dm_up, dw_up = _linear(dup, x if wrong == "x" else m, w_up)
    if wrong != "gate only":
        dm = dm + dm_up
    if wrong == "early":
        dm = dm + dy
    dx, dnorm = rmsnorm_backward(dm, norm)
    if wrong == "no norm":
        dx = dm * norm_weight
    if wrong not in ("no residual", "early"):
        dx = dx + dy
    return dx, dnorm, dw_gate, dw_up, dw_down


def _wrong_block(wrong):
    return functools.partial(_block, wrong=wrong)


def _torch_block(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    import torch
    import torch.nn.functional as F

    leaves = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, norm_weight, w_gate, w_up, w_down)]
    x, norm_weight, w_gate, w_up, w_down = leaves
    m = F.rms_norm(x, (x.shape[-1],), norm_weight, eps)
    y = x + F.linear(F.silu(F.linear(m, w_gate)) * F.linear(m, w_up), w_down)
    gradients = torch.autograd.grad(y, leaves, torch.tensor(dy, dtype=torch.float64))
    return tuple(gradient.numpy() for gradient in gradients)


BLOCK = Exercise(
    id="residual_ffn_backward",
    chapter="14",
    title="A residual block, backwards",
    task="All five gradients of y = x + w_down swiglu(w_gate m, w_up m), m = rmsnorm(x), from dy.",
    difficulty=3,
    minutes=40,
    reference=_block,
    make=_make_block,
    shapes=(
        {"B": 1, "T": 1, "D": 3, "hidden": 2},
        {"B": 1, "T": 2, "D": 4, "hidden": 4},
        {"B": 2, "T": 3, "D": 5, "hidden": 7},
        {"B": 3, "T": 4, "D": 6, "hidden": 11},
        {"B": 3, "T": 5, "D": 16, "hidden": 24},
    ),
    axes=("batch", "position", "dim"),
    outputs=("dx", "dnorm_weight", "dw_gate", "dw_up", "dw_down"),
    oracle=_torch_block,
    rtol=5e-4,
    atol=1e-5,
    hints=(
        "Run forward and keep what every step was given: m, gate, up, hidden. Then go back from w_down to the norm, "
        "with the backward functions of linear, swiglu and rmsnorm.",
        "m goes two ways, to w_gate and to w_up: what comes back from both is added. x goes two ways too, into the "
        "norm and past the block: its gradient is what comes back through the norm, plus dy itself.",
        "dhidden, dw_down = linear_backward(dy, hidden, w_down)\n"
        "dgate, dup = ...                                          # chapter 08\n"
        "dm_gate, dw_gate = linear_backward(dgate, m, w_gate)      # and up likewise\n"
        "dx, dnorm_weight = ...(dm_gate + dm_up)                   # rmsnorm's backward, chapter 04\n"
        "dx = dx + dy",
    ),
    mistakes=(
        Mistake(
            "Your dx lacks the residual path: dy itself.",
            "y = x + ...: the x in front passes dy on as it is. Without it deep models cannot be trained.",
            _wrong_block("no residual"),
        ),
        Mistake(
            "Your dm comes from w_gate alone.",
            "m is used twice, by w_gate and by w_up: add what comes back from both.",
            _wrong_block("gate only"),
        ),
        Mistake(
            "Your function adds dy before the norm's backward, not after it.",
            "The residual path goes around the norm: dx = rmsnorm_backward(dm) + dy.",
            _wrong_block("early"),
        ),
        Mistake(
            "Your function goes through the norm as if it were a mere factor: dm * weight.",
            "The root mean square depends on x as well. Its part of the gradient is in chapter 04.",
            _wrong_block("no norm"),
        ),
        Mistake(
            "Your dw_gate and dw_up are made with x, not with m.",
            "What met w_gate on the way forward was the normalised m: keep it.",
            _wrong_block("x"),
        ),
    ),
)

# --- numerical_gradient -------------------------------------------------------------------


def _make_numerical(rng: np.random.Generator, rows: int, columns: int) -> Arrays:
    """A function with much curvature, which computes in the dtype that it is given."""
    slopes, shifts = 4 + 4 * rng.random((rows, columns)), 2 * np.pi * rng.random((rows, columns))

    def f(x):
        a, b = slopes.astype(x.dtype), shifts.astype(x.dtype)
        return float(np.sum(np.sin(a * x + b)) + np.sum(x) ** 2 / x.dtype.type(2))

    return f, _normal(rng, rows, columns), 1e-3


def _differences(function, x, step, dtype=np.float64, central=True, divisor=2.0, restore=True):
    at = x.astype(dtype)
    gradient = np.zeros(x.shape, dtype)
    base = None if central else function(at)
    for index in np.ndindex(*x.shape):
        kept = at[index]
        at[index] = kept + dtype(step)
        above = function(at)
        if base is None:
            at[index] = kept - dtype(step)
            gradient[index] = (above - function(at)) / (divisor * step)
        else:
            gradient[index] = (above - base) / step
        if restore:
            at[index] = kept
    return gradient


def _all_at_once(function, x, step):
    wide = x.astype(np.float64)
    return np.full(x.shape, (function(wide + step) - function(wide - step)) / (2 * step))


NUMERICAL = Exercise(
    id="numerical_gradient",
    chapter="14",
    title="A gradient without calculus",
    task="The gradient of f at x by central differences in float64: the measure of every backward function.",
    difficulty=1,
    minutes=15,
    reference=lambda f, x, step: _differences(f, x, step),
    make=_make_numerical,
    shapes=(
        {"rows": 1, "columns": 2},
        {"rows": 1, "columns": 1},
        {"rows": 2, "columns": 3},
        {"rows": 3, "columns": 3},
        {"rows": 5, "columns": 4},
    ),
    axes=("row", "column"),
    rtol=1e-5,
    hints=(
        "Move one number of x up by `step`, then down by `step`, and look what f does. Every number has its turn.",
        "In float32 the difference of two nearly equal numbers is mostly rounding: x.astype(np.float64) first. Put the "
        "number back before the next has its turn. np.ndindex(*x.shape) goes through all indices.",
        "for i in np.ndindex(*x.shape):\n"
        "    kept = x64[i]\n"
        "    x64[i] = kept + step; above = f(x64)\n"
        "    x64[i] = kept - step; below = f(x64)\n"
        "    x64[i] = kept\n"
        "    gradient[i] = (above - below) / (2 * step)",
    ),
    mistakes=(
        Mistake(
            "Your differences are one-sided: (f(x + step) - f(x)) / step.",
            "Their error is proportional to step, that of central differences to step**2.",
            lambda f, x, step: _differences(f, x, step, central=False),
        ),
        Mistake(
            "Your function divides the central difference by step, not by 2 step.",
            "From x - step to x + step it is twice the step.",
            lambda f, x, step: _differences(f, x, step, divisor=1.0),
        ),
        Mistake(
            "Your function computes in float32.",
            "f(x + step) and f(x - step) agree in most digits, and their difference keeps the rounding: make x float64 "
            "first.",
            lambda f, x, step: _differences(f, x, step, dtype=np.float32),
        ),
        Mistake(
            "Your function does not put a number back before it moves the next.",
            "A partial derivative moves one number and leaves all others where they were.",
            lambda f, x, step: _differences(f, x, step, restore=False),
        ),
        Mistake(
            "Your function moves all numbers at once.",
            "That gives one slope in one direction. The gradient needs one difference for every number of x.",
            _all_at_once,
        ),
    ),
)

# --- gradient_global_norm and clip_by_global_norm -------------------------------------------


def _tensors(rng: np.random.Generator, D: int, hidden: int) -> tuple[Any, Any, Any]:
    """A matrix, another and a vector, of rather different sizes."""
    return 0.2 * _normal(rng, hidden, D), 2 * _normal(rng, D, hidden), 0.7 * _normal(rng, D)


def _norm_of(gradients) -> float:
    return math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients))


def _torch_norm(gradients):
    import torch

    return torch.nn.utils.get_total_norm([torch.tensor(g, dtype=torch.float64) for g in gradients]).item()


_NORM_SHAPES = ({"D": 2, "hidden": 2}, {"D": 1, "hidden": 1}, {"D": 3, "hidden": 5}, {"D": 8, "hidden": 4})

NORM = Exercise(
    id="gradient_global_norm",
    chapter="14",
    title="One norm for all",
    task="The length of the gradient: the root of the sum of the squares of all numbers of all tensors.",
    difficulty=1,
    minutes=10,
    reference=_norm_of,
    make=lambda rng, D, hidden: (list(_tensors(rng, D, hidden)),),
    shapes=(*_NORM_SHAPES, {"D": 20, "hidden": 31}),
    oracle=_torch_norm,
    hints=(
        "Think of all tensors, flattened and put behind one another, as one long vector. What is its length?",
        "Squares add up over tensors, lengths do not: one sum over everything, then one root.",
        "return np.sqrt(sum(np.sum(np.square(g)) for g in gradients))",
    ),
    mistakes=(
        Mistake(
            "Your function adds the norms of the tensors.",
            "Squares add up, lengths do not (3 and 4 give 5): the root comes last.",
            lambda gs: sum(float(np.linalg.norm(g)) for g in gs),
        ),
        Mistake(
            "Your function returns the sum of squares: the root is missing.",
            "A length is the root of the sum of squares.",
            lambda gs: _norm_of(gs) ** 2,
        ),
        Mistake(
            "Your function returns the largest of the tensors' norms.",
            "All tensors together are one vector: add their squares.",
            lambda gs: max(float(np.linalg.norm(g)) for g in gs),
        ),
        Mistake(
            "Your function takes the root of the mean square.",
            "The norm is a length, not an average: np.sum, not np.mean.",
            lambda gs: _norm_of(gs) / math.sqrt(sum(g.size for g in gs)),
        ),
        Mistake(
            "Your function adds absolute values: the 1-norm.",
            "Clipping uses the 2-norm: squares and a root.",
            lambda gs: sum(float(np.abs(g).sum()) for g in gs),
        ),
        Mistake(
            "Your function uses the spectral norm of the matrices.",
            "np.linalg.norm(m, 2) is the largest singular value of a matrix. Without the 2 it is the root of the sum "
            "of squares.",
            lambda gs: math.sqrt(sum(float(np.linalg.norm(g, 2)) ** 2 for g in gs)),
        ),
    ),
)


def _make_clip(rng: np.random.Generator, D: int, hidden: int, percent: int) -> Arrays:
    """Gradients whose norm is `percent` of the limit; for 0 all are zero and the limit is 1."""
    gradients = _tensors(rng, D, hidden)
    if percent == 0:
        return [np.zeros_like(g) for g in gradients], 1.0
    return list(gradients), 100 * _norm_of(gradients) / percent


def _clip(gradients, max_norm):
    scale = min(1.0, max_norm / (_norm_of(gradients) + 1e-6))
    return tuple(g * g.dtype.type(scale) for g in gradients)


def _torch_clip(gradients, max_norm):
    import torch

    parameters: Any = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in gradients]
    for parameter, g in zip(parameters, gradients):
        parameter.grad = torch.tensor(g, dtype=torch.float64)
    torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    return tuple(parameter.grad.numpy() for parameter in parameters)


CLIP = Exercise(
    id="clip_by_global_norm",
    chapter="14",
    title="Clip the gradient",
    task="Shorten the gradient, all tensors by one factor, so that its global norm is at most max_norm.",
    difficulty=2,
    minutes=15,
    reference=_clip,
    make=_make_clip,
    shapes=(
        {"D": 2, "hidden": 2, "percent": 300},
        {"D": 2, "hidden": 2, "percent": 50},
        {"D": 1, "hidden": 1, "percent": 1000},
        {"D": 3, "hidden": 5, "percent": 130},
        {"D": 8, "hidden": 4, "percent": 5},
        {"D": 2, "hidden": 3, "percent": 0},
        {"D": 20, "hidden": 31, "percent": 2500},
    ),
    axes=("row", "column"),
    outputs=("gradient 0", "gradient 1", "gradient 2"),
    oracle=_torch_clip,
    hints=(
        "Clipping keeps the direction of the whole gradient and limits its length: one factor for all tensors.",
        "The factor is max_norm / norm where the norm is too large, and 1 where it is not.",
        "scale = min(1.0, max_norm / (norm + 1e-6))\nreturn [g * scale for g in gradients]",
    ),
    mistakes=(
        Mistake(
            "Your function clips each tensor by its own norm.",
            "That changes the direction of the step: large tensors are held back and small ones are not. One norm over "
            "all tensors, one factor.",
            lambda gs, limit: tuple(_clip([g], limit)[0] for g in gs),
        ),
        Mistake(
            "Your function clips every number to ± max_norm.",
            "That is clipping by value; it bends the direction. Here the length of the whole gradient is limited.",
            lambda gs, limit: tuple(np.clip(g, -limit, limit).astype(g.dtype) for g in gs),
        ),
        Mistake(
            "Your function makes the norm max_norm even where it is smaller.",
            "Small gradients stay as they are: the factor is at most 1.",
            lambda gs, limit: tuple(g * g.dtype.type(limit / (_norm_of(gs) + 1e-6)) for g in gs),
        ),
        Mistake(
            "Your function normalises a long gradient to length 1, whatever max_norm is.",
            "The factor is max_norm / norm, not 1 / norm.",
            lambda gs, limit: tuple(g * g.dtype.type(1 / _norm_of(gs) if _norm_of(gs) > limit else 1) for g in gs),
        ),
        Mistake(
            "Your function divides by the squared norm.",
            "max_norm / norm**2 makes long gradients too short: the root of the sum of squares is missing.",
            lambda gs, limit: tuple(g * g.dtype.type(min(1.0, limit / (_norm_of(gs) ** 2 + 1e-6))) for g in gs),
        ),
        Mistake(
            "Your function leaves out a step whose gradient is too long: it returns zeros.",
            "A long gradient still has a good direction: shorten it.",
            lambda gs, limit: tuple(g * g.dtype.type(_norm_of(gs) <= limit) for g in gs),
        ),
    ),
)

# --- adamw_step ---------------------------------------------------------------------------


def _make_adamw(rng: np.random.Generator, n: int, t: int) -> Arrays:
    """Gradients from large to tiny, so that eps matters; moments of t - 1 steps before."""
    size = 10 ** rng.uniform(-6, 0, n)
    size[0] = 3e-4
    p, g = rng.normal(size=n), size * rng.normal(size=n)
    past1, past2 = 1 - 0.9 ** (t - 1), 1 - 0.95 ** (t - 1)
    m, v = past1 * size * rng.normal(size=n), past2 * size**2 * rng.uniform(0.5, 2, n)
    arrays = (a.astype(np.float32) for a in (p, g, m, v))
    return *arrays, t, 0.05, 0.9, 0.95, 1e-5, 0.1


def adamw(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay, wrong=""):
    """One step of AdamW in plain NumPy, with one thing changed where `wrong` names it."""
    if wrong == "swapped":
        beta1, beta2 = beta2, beta1
    if wrong == "coupled":
        g = g + weight_decay * p
    m = beta1 * m + (1 if wrong == "sum" else 1 - beta1) * g
    v = beta2 * v + (1 - beta2) * (g if wrong == "no square" else g * g)
    steps = {"late": t + 1, "early": max(t - 1, 1)}.get(wrong, t)
    m_hat, v_hat = (m, v) if wrong == "no correction" else (m / (1 - beta1**steps), v / (1 - beta2**steps))
    if wrong == "eps inside":
        step = m_hat / np.sqrt(v_hat + eps)
    elif wrong == "eps early":
        step = m_hat / ((np.sqrt(v) + eps) / math.sqrt(1 - beta2**t))
    elif wrong == "no square":
        step = m_hat / (np.sqrt(np.abs(v_hat)) + eps)
    else:
        step = m_hat / (np.sqrt(v_hat) + eps)
    decay = {"coupled": 0.0, "no decay": 0.0, "without lr": weight_decay}.get(wrong, lr * weight_decay)
    if wrong == "decay last":
        p = p - lr * step
        return p - decay * p, m, v
    p = p + lr * step - decay * p if wrong == "uphill" else p - lr * step - decay * p
    return (p, m_hat, v_hat) if wrong == "hats" else (p, m, v)


def _wrong_adamw(wrong):
    return functools.partial(adamw, wrong=wrong)


def _torch_adamw(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    import torch

    parameter = torch.nn.Parameter(torch.tensor(p, dtype=torch.float64))
    parameter.grad = torch.tensor(g, dtype=torch.float64)
    optimizer = torch.optim.AdamW([parameter], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)
    moments = (torch.tensor(a, dtype=torch.float64) for a in (m, v))
    optimizer.state[parameter] = dict(zip(("step", "exp_avg", "exp_avg_sq"), (torch.tensor(float(t - 1)), *moments)))
    optimizer.step()
    state = optimizer.state[parameter]
    return parameter.detach().numpy(), state["exp_avg"].numpy(), state["exp_avg_sq"].numpy()


ADAMW = Exercise(
    id="adamw_step",
    chapter="14",
    title="AdamW",
    task="Update number t (from 1) of one tensor: the new p, m and v.",
    difficulty=2,
    minutes=30,
    reference=adamw,
    make=_make_adamw,
    shapes=(
        {"n": 3, "t": 1},
        {"n": 1, "t": 2},
        {"n": 4, "t": 3},
        {"n": 9, "t": 10},
        {"n": 50, "t": 200},
    ),
    axes=("number",),
    outputs=("p", "m", "v"),
    oracle=_torch_adamw,
    atol=1e-7,
    hints=(
        "Three things: m and v, running means of the gradient and of its square; a step by m over the root of v; and a "
        "decay of p that has nothing to do with the gradient.",
        "m and v begin at 0, so that early on they are too small by 1 - beta**t: divide by it, but keep the undivided "
        "ones for the next step. eps is added behind the root. The decay is lr * weight_decay * p.",
        "m = beta1 * m + (1 - beta1) * g\n"
        "v = beta2 * v + (1 - beta2) * g**2\n"
        "m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)\n"
        "p = p - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p)",
    ),
    mistakes=(
        Mistake(
            "Your function has no bias correction.",
            "m and v begin at 0: after one step m is a tenth of the gradient and sqrt(v) 0.22 of it, and the first "
            "steps come out of the wrong size. Divide by 1 - beta**t.",
            _wrong_adamw("no correction"),
        ),
        Mistake(
            "Your bias correction uses t + 1.",
            "t counts from 1: at the first step m is (1 - beta1) g, and 1 - beta1**1 makes it g.",
            _wrong_adamw("late"),
        ),
        Mistake(
            "Your bias correction is late by one step: it uses t - 1.",
            "The step that is being made counts: 1 - beta**t with t = 1 at the first.",
            _wrong_adamw("early"),
        ),
        Mistake(
            "Your weight decay is added to the gradient: that is Adam with L2, not AdamW.",
            "There the decay is divided by sqrt(v) like the gradient, so that weights with large gradients hardly "
            "decay. In AdamW it is decoupled: p loses lr * weight_decay * p, beside the step.",
            _wrong_adamw("coupled"),
        ),
        Mistake(
            "Your weight decay is not multiplied by the learning rate.",
            "p <- p - lr * (step + weight_decay * p): the schedule governs the decay too.",
            _wrong_adamw("without lr"),
        ),
        Mistake(
            "Your function does not decay the weights.",
            "That is Adam. The W is the term - lr * weight_decay * p.",
            _wrong_adamw("no decay"),
        ),
        Mistake(
            "Your function decays what the step has made of p, not p as it was.",
            "Both terms are made of the old p: p <- p - lr * step - lr * weight_decay * p. (PyTorch decays first, "
            "which is the same.)",
            _wrong_adamw("decay last"),
        ),
        Mistake(
            "Your eps is inside the root.",
            "sqrt(v_hat + 1e-5) is never below 0.003, which slows down all small gradients. AdamW has sqrt(v_hat) + "
            "eps. (RMSNorm is the one with eps inside.)",
            _wrong_adamw("eps inside"),
        ),
        Mistake(
            "Your eps is added to sqrt(v) before the bias correction.",
            "It is sqrt(v_hat) + eps, with the corrected v.",
            _wrong_adamw("eps early"),
        ),
        Mistake(
            "Your two betas are exchanged.",
            "beta1 = 0.9 belongs to m, beta2 = 0.95 to v.",
            _wrong_adamw("swapped"),
        ),
        Mistake(
            "Your m adds the whole gradient: the factor 1 - beta1 is missing.",
            "m is a running mean: beta1 of the old one and 1 - beta1 of the new gradient.",
            _wrong_adamw("sum"),
        ),
        Mistake(
            "Your function returns the corrected moments, m_hat and v_hat.",
            "They are for this step. What is kept for the next one is m and v as they are, or the correction would be "
            "made again and again.",
            _wrong_adamw("hats"),
        ),
        Mistake(
            "Your v averages the gradient, not its square.",
            "v is the running mean of g**2: it measures size, and is never negative.",
            _wrong_adamw("no square"),
        ),
        Mistake(
            "Your function goes uphill: it adds the step.",
            "The gradient points to where the loss grows: subtract.",
            _wrong_adamw("uphill"),
        ),
    ),
)

# --- warmup_cosine ------------------------------------------------------------------------


def _make_schedule(rng: np.random.Generator, warmup: int, total: int) -> Arrays:
    if total <= warmup or total < 2:
        raise ValueError("the run must be longer than the warm-up")
    return 3e-4, warmup, total, 0.1 if total % 2 else 0.25


def _rates(schedule, args):
    """The learning rate of every step of the run, and of two after it."""
    peak, warmup, total, final_fraction = args
    return np.array([schedule(step, peak, warmup, total, final_fraction) for step in range(1, total + 3)], np.float64)


def _schedule(step, peak, warmup_steps, total_steps, final_fraction):
    return Schedule(peak, warmup_steps, total_steps, final_fraction)(step)


def _wrong_schedule(
    late=0, from_start=False, turns=1.0, half=0.5, clamp=True, floor=True, linear=False, low=0.0, cut=False
):
    def function(step, peak, warmup_steps, total_steps, final_fraction):
        end = peak * final_fraction if floor else 0.0
        if step < warmup_steps:
            share = (step + late) / warmup_steps
            return peak * (low * final_fraction + (1 - low * final_fraction) * share)
        passed = step / total_steps if from_start else (step - warmup_steps) / (total_steps - warmup_steps)
        passed = min(passed, 1.0) if clamp else passed
        falling = 1 - passed if linear else half * (1 + math.cos(math.pi * turns * passed))
        return max(end, peak * falling) if cut else end + (peak - end) * falling

    return function


SCHEDULE = Exercise(
    id="warmup_cosine",
    chapter="14",
    title="Warm-up and cosine",
    task="The learning rate of update `step` (from 1): up in a line, then down along half a cosine to a tenth or so.",
    difficulty=2,
    minutes=20,
    reference=_schedule,
    make=_make_schedule,
    observe=_rates,
    shapes=(
        {"warmup": 2, "total": 5},
        {"warmup": 0, "total": 4},
        {"warmup": 1, "total": 3},
        {"warmup": 5, "total": 20},
        {"warmup": 10, "total": 101},
    ),
    axes=("step",),
    hints=(
        "Three stretches: below warmup_steps, from there to total_steps, and behind. What is the rate at each border?",
        "In the middle, passed = (step - warmup_steps) / (total_steps - warmup_steps) goes from 0 to 1, and "
        "(1 + cos(pi * passed)) / 2 from 1 to 0. Stretch that between peak and end = final_fraction * peak.",
        "if step < warmup_steps:\n"
        "    return peak * step / warmup_steps\n"
        "passed = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))\n"
        "return end + (peak - end) * (1 + math.cos(math.pi * passed)) / 2",
    ),
    mistakes=(
        Mistake(
            "Your cosine ends at 0, not at final_fraction of the peak.",
            "LLaMA 2 decays to 10 % of the peak: the cosine is stretched between peak and end.",
            _wrong_schedule(floor=False),
        ),
        Mistake(
            "Your cosine falls towards 0 and is cut off at final_fraction of the peak.",
            "max(end, ...) makes a floor with a kink. The cosine is stretched between peak and end: end + "
            "(peak - end) * (1 + cos) / 2.",
            _wrong_schedule(cut=True),
        ),
        Mistake(
            "Your warm-up is early by one step: (step + 1) / warmup_steps.",
            "Steps count from 1 here: the first one has peak / warmup_steps. step + 1 is for loops that count from 0.",
            _wrong_schedule(late=1),
        ),
        Mistake(
            "Your warm-up is late by one step: the first update has rate 0.",
            "Steps count from 1 here: peak * step / warmup_steps. An update with rate 0 is a batch thrown away.",
            _wrong_schedule(late=-1),
        ),
        Mistake(
            "Your cosine counts from the beginning of the run, not from the end of the warm-up.",
            "At the end of the warm-up the rate has to be the peak; yours jumps there. passed = (step - warmup_steps) "
            "/ (total_steps - warmup_steps).",
            _wrong_schedule(from_start=True),
        ),
        Mistake(
            "Your rate rises again behind total_steps.",
            "A cosine goes on for ever: hold `passed` at 1.",
            _wrong_schedule(clamp=False),
        ),
        Mistake(
            "Your cosine goes all the way round: down and up again.",
            "Half a turn: the angle ends at pi, not at 2 pi.",
            _wrong_schedule(turns=2.0),
        ),
        Mistake(
            "Your cosine only falls to the middle: the angle ends at pi / 2.",
            "Half a turn, from cos 0 = 1 to cos pi = -1.",
            _wrong_schedule(turns=0.5),
        ),
        Mistake(
            "Your rate falls in a straight line.",
            "The decay is half a cosine: slow at first, fastest in the middle, slow at the end.",
            _wrong_schedule(linear=True),
        ),
        Mistake(
            "Your warm-up begins at final_fraction of the peak, not at 0.",
            "The floor belongs to the cosine. The warm-up is peak * step / warmup_steps.",
            _wrong_schedule(low=1.0),
        ),
    ),
)

# --- decayed_parameters -------------------------------------------------------------------


def _make_shapes(rng: np.random.Generator, n_layers: int, dim: int, tied: int) -> Arrays:
    from ...params import expected_shapes

    config = ModelConfig(
        dim=2 * dim, n_layers=n_layers, n_heads=1, hidden_dim=3 * dim, vocab_size=7, max_seq_len=8, tied=bool(tied)
    )
    shapes = dict(expected_shapes(config))
    if n_layers > 1:  # what other models have: names tell nothing, the number of dimensions does
        shapes |= {"norm_proj": (dim, 2 * dim), "conv": (2 * dim, dim, 3), "bias": (dim,), "scale": (1,)}
        shapes |= {"attention_bias": (dim, 7), "layer_scale": (2 * dim,)}
    return (shapes,)


DECAYED = Exercise(
    id="decayed_parameters",
    chapter="14",
    title="What is decayed",
    task="The names of the parameters that weight decay acts on: those of two dimensions or more, in their order.",
    difficulty=1,
    minutes=5,
    reference=lambda shapes: [name for name, shape in shapes.items() if len(shape) >= 2],
    make=_make_shapes,
    shapes=(
        {"n_layers": 1, "dim": 1, "tied": 1},
        {"n_layers": 1, "dim": 2, "tied": 0},
        {"n_layers": 2, "dim": 3, "tied": 1},
        {"n_layers": 3, "dim": 1, "tied": 0},
    ),
    exact=True,
    hints=(
        "A norm's weight has one dimension and starts at 1. Should something pull it towards 0?",
        "shapes.items() gives pairs of a name and a shape; len(shape) is the number of dimensions.",
        "[name for name, shape in shapes.items() if len(shape) >= 2]",
    ),
    mistakes=(
        Mistake(
            "Your function decays everything, the norms' weights too.",
            "Those are factors around 1; a pull towards 0 shrinks whole layers. Matrices and the embedding only.",
            lambda shapes: list(shapes),
        ),
        Mistake(
            "Your function exempts the embedding.",
            "Some codes do. Here, as in llama2.c and nanoGPT, all that has two dimensions is decayed.",
            lambda shapes: [n for n, s in shapes.items() if len(s) >= 2 and n != "token_embedding"],
        ),
        Mistake(
            "Your function exempts embedding and output head.",
            "Some codes do. Here, as in llama2.c and nanoGPT, all that has two dimensions is decayed.",
            lambda shapes: [n for n, s in shapes.items() if len(s) >= 2 and n not in ("token_embedding", "output")],
        ),
        Mistake(
            "Your function exempts the layers' norms but decays final_norm.",
            "The last norm is one as well. Ask for the number of dimensions instead of names.",
            lambda shapes: [n for n, s in shapes.items() if len(s) >= 2 or n == "final_norm"],
        ),
        Mistake(
            "Your function returns those that are exempt.",
            "Asked for are the names that are decayed.",
            lambda shapes: [n for n, s in shapes.items() if len(s) < 2],
        ),
    ),
)

# --- accumulate_micro_batches ---------------------------------------------------------------


def _make_parts(rng: np.random.Generator, M: int, rows: int, columns: int) -> Arrays:
    """Counts that differ; a part without any target, whose loss and gradient are 0."""
    counts = rng.integers(1, 40, M)
    losses, gradients = rng.uniform(1, 5, M).astype(np.float32), _normal(rng, M, rows, columns)
    if M > 2:
        counts[1], losses[1], gradients[1] = 0, 0, 0
    return losses, gradients, counts


def _accumulate(losses, gradients, counts):
    weights = (counts / counts.sum()).astype(losses.dtype)
    return losses @ weights, np.tensordot(weights, gradients, 1)


ACCUMULATE = Exercise(
    id="accumulate_micro_batches",
    chapter="14",
    title="A batch in parts",
    task="Loss and gradient of a whole batch from those of its parts, each a mean over the targets that count in it.",
    difficulty=2,
    minutes=15,
    reference=_accumulate,
    make=_make_parts,
    shapes=(
        {"M": 2, "rows": 1, "columns": 2},
        {"M": 1, "rows": 2, "columns": 1},
        {"M": 3, "rows": 2, "columns": 3},
        {"M": 5, "rows": 4, "columns": 3},
    ),
    axes=("row", "column"),
    outputs=("loss", "gradient"),
    hints=(
        "The loss of the batch is the mean over all of its targets. What has a part's mean to be multiplied with to "
        "become its sum?",
        "sum over parts of count * mean, divided by the sum of counts. The same for the gradient.",
        "weights = counts / counts.sum()\nloss = np.sum(weights * losses)      # and the gradients likewise",
    ),
    mistakes=(
        Mistake(
            "Your function takes the mean of the parts' means.",
            "A part with few targets then counts as much as one with many. Weigh each with its count.",
            lambda ls, gs, n: (ls.mean(), gs.mean(axis=0)),
        ),
        Mistake(
            "Your function adds the parts' means.",
            "That is the gradient of a loss M times too large: the step no longer is that of the whole batch.",
            lambda ls, gs, n: (ls.sum(), gs.sum(axis=0)),
        ),
        Mistake(
            "Your function adds the parts weighted by their counts, and does not divide.",
            "Sums of losses have to be divided by all targets of the batch.",
            lambda ls, gs, n: (ls @ n.astype(ls.dtype), np.tensordot(n.astype(ls.dtype), gs, 1)),
        ),
        Mistake(
            "Your loss is right, but your gradient is the mean of the parts' gradients.",
            "A gradient is linear in its loss: it needs the same weights.",
            lambda ls, gs, n: (_accumulate(ls, gs, n)[0], gs.mean(axis=0)),
        ),
        Mistake(
            "Your function takes the mean over those parts that have targets.",
            "A part without targets weighs nothing, true. The others still weigh as much as they have targets.",
            lambda ls, gs, n: (ls[n > 0].mean(), gs[n > 0].mean(axis=0)),
        ),
        Mistake(
            "Your function returns the last part's loss and gradient.",
            "Gradients of parts are added (+=); an assignment keeps the last.",
            lambda ls, gs, n: (ls[-1], gs[-1]),
        ),
    ),
)

# --- overfit ------------------------------------------------------------------------------


def _make_overfit(rng: np.random.Generator, n_layers: int, dim: int, B: int, T: int, n_steps: int) -> Arrays:
    """A small model, large random weights, and one batch of random tokens."""
    if dim % 8:
        raise ValueError("dim must be a multiple of 8")
    config = ModelConfig(
        dim=dim, n_layers=n_layers, n_heads=4, n_kv_heads=2, hidden_dim=2 * dim, vocab_size=11, max_seq_len=T
    )
    params = map_params(lambda a: a if a.ndim == 1 else 8 * a, init_params(config, rng))
    text = rng.integers(0, config.vocab_size, (B, T + 1))
    return params, config, text[:, :-1].copy(), text[:, 1:].copy(), n_steps, 0.5


def _observe_losses(function, args):
    """The losses, and what has become of the parameters that were given."""
    losses = function(*args)
    parameters = np.concatenate([np.ravel(p) for _, p in named_arrays(args[0])])
    return losses if losses is None else np.asarray(losses, np.float64), parameters


def _overfit(wrong: str = ""):
    """Gradient descent on one batch, with one thing changed where `wrong` names it."""

    def function(params, config, tokens, targets, n_steps, learning_rate):
        from ...training.gradients import loss_and_gradients

        if wrong == "unshifted":
            targets = tokens
        losses, total, first = [], None, None
        if wrong == "copy":
            params = map_params(np.copy, params)
        rate = {"sign": -learning_rate, "batch": learning_rate / len(tokens), "nothing": 0.0}.get(wrong, learning_rate)
        for _ in range(n_steps + (wrong == "more")):
            loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=REFERENCE)
            losses.append(loss)
            if wrong == "accumulated":
                total = gradients if total is None else map_params(np.add, total, gradients)
                gradients = total
            if wrong == "stale":
                first = gradients if first is None else first
                gradients = first
            for (name, p), (_, g) in zip(named_arrays(params), named_arrays(gradients)):
                if wrong == "layers only" and not name.startswith("layers."):
                    continue
                if wrong == "matrices only" and p.ndim < 2:
                    continue
                p -= np.float32(rate) * g
        last = loss_and_gradients(params, config, tokens, targets, ops=REFERENCE)[0]
        return {"order": [last, *losses], "short": losses, "more": losses}.get(wrong, [*losses, last])

    return function


OVERFIT = Exercise(
    id="overfit",
    chapter="14",
    title="Overfit one batch",
    task="A training loop: n_steps of gradient descent on one batch. Return the losses before each and at the end.",
    difficulty=2,
    minutes=25,
    reference=_overfit(),
    make=_make_overfit,
    observe=_observe_losses,
    shapes=(
        {"n_layers": 1, "dim": 8, "B": 2, "T": 4, "n_steps": 3},
        {"n_layers": 1, "dim": 8, "B": 1, "T": 1, "n_steps": 1},
        {"n_layers": 2, "dim": 8, "B": 3, "T": 5, "n_steps": 6},
        {"n_layers": 1, "dim": 16, "B": 2, "T": 6, "n_steps": 30},
    ),
    axes=("step",),
    outputs=("losses", "parameters after the call"),
    rtol=2e-3,
    atol=1e-4,
    hints=(
        "loss_and_gradients gives the loss and a tree of gradients that looks like params. named_arrays goes through "
        "both in the same order.",
        "Change the arrays themselves: p -= learning_rate * g works in place, p = p - learning_rate * g gives a new "
        "array to a local name and leaves the model as it was.",
        "for _ in range(n_steps):\n"
        "    loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=REFERENCE)\n"
        "    losses.append(loss)\n"
        "    for (_, p), (_, g) in zip(named_arrays(params), named_arrays(gradients)):\n"
        "        p -= learning_rate * g",
    ),
    mistakes=(
        Mistake(
            "Your parameters never change: all losses are the same.",
            "p = p - learning_rate * g makes a new array and lets the local name p point to it. Write into the array: "
            "p -= learning_rate * g, or p[...] = ...",
            _overfit("nothing"),
        ),
        Mistake(
            "Your loop goes uphill: the gradient is added.",
            "The gradient points to where the loss grows: subtract it.",
            _overfit("sign"),
        ),
        Mistake(
            "Your loop adds up the gradients of all steps so far.",
            "Each update takes the gradient at the present parameters. (In PyTorch this is the forgotten zero_grad.)",
            _overfit("accumulated"),
        ),
        Mistake(
            "Your loop computes the gradient once and then uses it again and again.",
            "After an update the gradient is another one: call loss_and_gradients inside of the loop.",
            _overfit("stale"),
        ),
        Mistake(
            "Your targets are the tokens themselves, not shifted by one.",
            "The model then learns to repeat what it reads, and the loss falls all the same. Pass `targets`.",
            _overfit("unshifted"),
        ),
        Mistake(
            "Your step is divided by the number of sequences.",
            "The loss is a mean over the batch already, and so is its gradient.",
            _overfit("batch"),
        ),
        Mistake(
            "Your loop updates the layers, but neither embedding nor last norm nor head.",
            "named_arrays(params) goes through all; params.layers is a part of them.",
            _overfit("layers only"),
        ),
        Mistake(
            "Your loop does not update the norms' weights.",
            "They are exempt from weight decay, not from training.",
            _overfit("matrices only"),
        ),
        Mistake(
            "Your function does not return the loss after the last update.",
            "n_steps + 1 losses: one before each update and one at the end, or nobody knows what the last one did.",
            _overfit("short"),
        ),
        Mistake(
            "Your function trains a copy: the parameters that it was given have not changed.",
            "Whoever called it wants the trained model: write into the arrays of `params` themselves.",
            _overfit("copy"),
        ),
        Mistake(
            "Your function makes one update too many.",
            "n_steps updates and n_steps + 1 losses: the last loss is taken behind the last update.",
            _overfit("more"),
        ),
        Mistake(
            "Your last loss stands first.",
            "The losses come in the order of time: before the first update, ..., after the last.",
            _overfit("order"),
        ),
    ),
)

EXERCISES = (
    NUMERICAL,
    LINEAR,
    EMBEDDING,
    SOFTMAX,
    ATTENTION,
    BLOCK,
    ACCUMULATE,
    NORM,
    CLIP,
    DECAYED,
    ADAMW,
    SCHEDULE,
    OVERFIT,
)
