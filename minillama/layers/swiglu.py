"""The gate of the feed-forward layer, SwiGLU (Shazeer 2020, arXiv:2002.05202; LLaMA 2 section 2.2).

    silu(g) = g * sigmoid(g)                 also called swish
    y       = silu(gate) * up                element by element

Backward, with s = sigmoid(gate):

    dup   = dy * gate * s
    dgate = dy * up * s * (1 + gate * (1 - s))

The feed-forward layer is then  w_down (silu(w_gate x) * (w_up x)):  one projection decides,
number by number, how much of the other passes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compute.array_types import Float
from ..compute.jit import helper, threaded
from ..compute.simd import divide, exp, load_floats, multiply, multiply_add, splat_float, store_floats

# Numbers from which a second thread saves more than it costs.
_THREADED_SIZE = 8_192
_CHUNK = 4_096


class SwiGLUSaved(NamedTuple):
    """What the backward pass needs from the forward pass."""

    gate: Float  # (..., hidden_dim)
    up: Float  # (..., hidden_dim)


def _check(gate: Float, up: Float) -> None:
    if gate.shape != up.shape or gate.dtype != up.dtype:
        raise ValueError(f"gate {gate.shape} {gate.dtype} and up {up.shape} {up.dtype} must agree")


def swiglu_forward(gate: Float, up: Float) -> tuple[Float, SwiGLUSaved]:
    """Let `up` through a gate: `silu(gate) * up`.

    exp is only taken of -|gate|: it cannot overflow.

    Parameters
    ----------
    gate, up : ndarray of shape (..., hidden_dim)

    Returns
    -------
    y : ndarray of shape (..., hidden_dim), same dtype
    saved : SwiGLUSaved

    Raises
    ------
    ValueError
        When shapes or dtypes differ.
    """
    _check(gate, up)
    small = np.exp(-np.abs(gate))
    sigmoid = np.where(gate >= 0, 1, small) / (1 + small)
    return gate * sigmoid * up, SwiGLUSaved(gate, up)


def swiglu_backward(dy: Float, saved: SwiGLUSaved) -> tuple[Float, Float]:
    """Gradients of `gate` and `up`, from `dy` of the same shape and dtype."""
    gate, up = saved
    small = np.exp(-np.abs(gate))
    sigmoid = np.where(gate >= 0, 1, small) / (1 + small)
    return dy * up * sigmoid * (1 + gate * (1 - sigmoid)), dy * gate * sigmoid


# --- numba kernels: the same contract, one pass over memory ---------------------------


@helper
def _gate_range(gate, up, y, start, stop):
    one = gate.dtype.type(1)
    for i in range(start, stop):
        small = np.exp(-abs(gate[i]))  # cannot overflow
        y[i] = gate[i] * ((one if gate[i] >= 0 else small) / (one + small)) * up[i]


@helper
def silu_vector(g):
    """silu of 16 floats."""
    one, minus_one = splat_float(np.float32(1)), splat_float(np.float32(-1))
    return divide(g, multiply_add(exp(multiply(g, minus_one)), one, one))  # exp = inf gives 0


@helper
def gate_range_float32(gate, up, y, start, stop):
    """16 numbers at a time, for the sake of the exponential."""
    whole = start + (stop - start) // 16 * 16
    for i in range(start, whole, 16):
        store_floats(y, i, multiply(silu_vector(load_floats(gate, i)), load_floats(up, i)))
    _gate_range(gate, up, y, whole, stop)


@helper
def _backward_range(dy, gate, up, dgate, dup, start, stop):
    one = gate.dtype.type(1)
    for i in range(start, stop):
        # All are read before any is written: else LLVM compiles the loop twice, for arrays far apart and for others,
        # rounds differently in the two, and the same numbers elsewhere in memory have another gradient.
        d, g, u = dy[i], gate[i], up[i]
        small = np.exp(-abs(g))
        sigmoid = (one if g >= 0 else small) / (one + small)
        silu = g * sigmoid
        dup[i] = d * silu
        dgate[i] = d * u * (sigmoid + silu * (one - sigmoid))


@helper
def _backward_range_float32(dy, gate, up, dgate, dup, start, stop):
    """16 numbers at a time, for the sake of the exponential."""
    one, minus_one = splat_float(np.float32(1)), splat_float(np.float32(-1))
    whole = start + (stop - start) // 16 * 16
    for i in range(start, whole, 16):
        g, d = load_floats(gate, i), load_floats(dy, i)
        sigmoid = divide(one, multiply_add(exp(multiply(g, minus_one)), one, one))
        silu = multiply(g, sigmoid)
        store_floats(dup, i, multiply(d, silu))
        slope = multiply_add(multiply(silu, minus_one), sigmoid, multiply_add(sigmoid, one, silu))
        store_floats(dgate, i, multiply(multiply(d, load_floats(up, i)), slope))  # slope: s + g s - g s s
    _backward_range(dy, gate, up, dgate, dup, whole, stop)


@threaded(from_size=_THREADED_SIZE)
def _gate(first, last, gate, up, y):  # in chunks; all flat
    _gate_range(gate, up, y, first * _CHUNK, min(last * _CHUNK, gate.size))


@threaded(from_size=_THREADED_SIZE)
def _gate_float32(first, last, gate, up, y):
    gate_range_float32(gate, up, y, first * _CHUNK, min(last * _CHUNK, gate.size))


@threaded(from_size=_THREADED_SIZE)
def _backward(first, last, dy, gate, up, dgate, dup):
    _backward_range(dy, gate, up, dgate, dup, first * _CHUNK, min(last * _CHUNK, gate.size))


@threaded(from_size=_THREADED_SIZE)
def _backward_float32(first, last, dy, gate, up, dgate, dup):
    _backward_range_float32(dy, gate, up, dgate, dup, first * _CHUNK, min(last * _CHUNK, gate.size))


def _n_chunks(size: int) -> int:
    return -(-size // _CHUNK)


def swiglu_forward_fast(gate: Float, up: Float) -> tuple[Float, SwiGLUSaved]:
    """`swiglu_forward`, compiled; float32 and float64 (NumPy does the others)."""
    _check(gate, up)
    if gate.dtype == np.float16:
        return swiglu_forward(gate, up)  # Numba on CPU has no float16
    gate, up = np.ascontiguousarray(gate), np.ascontiguousarray(up)
    y = np.empty(gate.shape, gate.dtype)
    run = _gate_float32 if gate.dtype == np.float32 else _gate
    run(_n_chunks(gate.size), gate.reshape(-1), up.reshape(-1), y.reshape(-1), size=gate.size)
    return y, SwiGLUSaved(gate, up)


def swiglu_backward_fast(dy: Float, saved: SwiGLUSaved) -> tuple[Float, Float]:
    """`swiglu_backward`, compiled; float32 and float64 (NumPy does the others)."""
    gate, up = saved
    if gate.dtype == np.float16 or dy.dtype != gate.dtype:
        return swiglu_backward(dy, saved)
    gate, up, dy = np.ascontiguousarray(gate), np.ascontiguousarray(up), np.ascontiguousarray(dy)
    dgate, dup = np.empty(gate.shape, gate.dtype), np.empty(gate.shape, gate.dtype)
    run = _backward_float32 if gate.dtype == np.float32 else _backward
    flat = dy.reshape(-1), gate.reshape(-1), up.reshape(-1), dgate.reshape(-1), dup.reshape(-1)
    run(_n_chunks(gate.size), *flat, size=gate.size)
    return dgate, dup
