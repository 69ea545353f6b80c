"""Chapter 08: SwiGLU, the feed-forward layer of LLaMA. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import math

import numba
import numpy as np


def sigmoid(g):
    small = np.exp(-np.abs(g))  # at most 1
    return np.where(g >= 0, np.float32(1), small) / (1 + small)


def silu_stable(g):
    return g * sigmoid(g)


@numba.njit(parallel=True)
def _gate(gate, up, y):
    for i in numba.prange(gate.size):
        small = np.exp(-abs(gate[i]))
        open_ = np.float32(1) if gate[i] >= 0 else small
        y[i] = gate[i] * (open_ / (np.float32(1) + small)) * up[i]


def swiglu_forward(gate, up):
    y = np.empty(gate.shape, gate.dtype)
    _gate(np.ascontiguousarray(gate).reshape(-1), np.ascontiguousarray(up).reshape(-1), y.reshape(-1))
    return y


def feed_forward(x, w_gate, w_up, w_down):
    return (silu_stable(x @ w_gate.T) * (x @ w_up.T)) @ w_down.T


def feed_forward_fused(x, w_gate_up, w_down):
    gate, up = np.split(x @ w_gate_up.T, 2, axis=-1)  # (B, T, hidden_dim) each
    return (silu_stable(gate) * up) @ w_down.T


def ffn_hidden_dim(dim, multiple_of, multiplier):
    hidden_dim = 2 * (4 * dim) // 3
    if multiplier is not None:
        hidden_dim = int(multiplier * hidden_dim)
    return multiple_of * math.ceil(hidden_dim / multiple_of)


def swiglu_backward(dy, gate, up):
    s = sigmoid(gate)
    dgate = dy * up * s * (1 + gate * (1 - s))
    dup = dy * gate * s
    return dgate, dup
