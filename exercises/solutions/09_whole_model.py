"""Chapter 09: the whole model on real weights. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import math
import struct

import numpy as np

from minillama.ops import REFERENCE as ops


def rmsnorm(x, weight, eps):
    return ops.rmsnorm_forward(x, weight, eps)[0]


def residual_stream(x, norms, matrices, eps):
    states = [x]
    for norm, matrix in zip(norms, matrices):
        x = x + rmsnorm(x, norm, eps) @ matrix.T
        states.append(x)
    return np.stack(states)


def heads(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1).swapaxes(1, 2)  # (B, n_heads, T, head_dim)


def transformer_block(x, layer, cos, sin, n_heads, n_kv_heads, eps):
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


def head_logits(x, final_norm, token_embedding, output, eps):
    head = token_embedding if output is None else output
    return rmsnorm(x, final_norm, eps) @ head.T


def logit_lens(states, final_norm, output, targets, eps):
    logits = rmsnorm(states, final_norm, eps) @ output.T  # (n, T, V)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logprobs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logprobs[:, np.arange(len(targets)), targets]


def llama2c_header(data):
    names = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
    header = dict(zip(names, struct.unpack_from("<7i", data)))
    header["tied"] = header["vocab_size"] > 0
    header["vocab_size"] = abs(header["vocab_size"])
    return header


def load_llama2c_v0(data):
    header = llama2c_header(data)
    L, D, F, V = (header[name] for name in ("n_layers", "dim", "hidden_dim", "vocab_size"))
    h = D // header["n_heads"]
    kv = header["n_kv_heads"] * h
    numbers, at = np.frombuffer(data, "<f4", offset=28), 0

    def take(*shape):
        nonlocal at
        at += math.prod(shape)
        return numbers[at - math.prod(shape) : at].reshape(shape)

    token_embedding, attention_norm = take(V, D), take(L, D)
    wq, wk, wv, wo = take(L, D, D), take(L, kv, D), take(L, kv, D), take(L, D, D)
    ffn_norm = take(L, D)
    w_gate, w_down, w_up = take(L, F, D), take(L, D, F), take(L, F, D)
    final_norm = take(D)
    take(2, header["max_seq_len"], h // 2)  # RoPE's tables
    output = token_embedding if header["tied"] else take(V, D)
    return token_embedding, attention_norm, wq, wk, wv, wo, ffn_norm, w_gate, w_down, w_up, final_norm, output


def layer_errors(ours, theirs, tolerance):
    errors = np.array([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs)])
    bad = np.flatnonzero(~(errors <= tolerance))  # NaN is not within any tolerance
    return errors, int(bad[0]) if len(bad) else -1
