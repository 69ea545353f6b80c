"""AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) and clipping of the gradient's norm.

    m     <- beta1 m + (1 - beta1) g             a running mean of the gradient
    v     <- beta2 v + (1 - beta2) g**2          and of its square
    theta <- theta - lr (m_hat / (sqrt(v_hat) + eps) + weight_decay theta)

    m_hat = m / (1 - beta1**t),  v_hat = v / (1 - beta2**t)       both start at 0: bias correction

LLaMA 2 (section 2.2): beta1 = 0.9, beta2 = 0.95, eps = 1e-5, weight decay 0.1, gradient norm
clipped to 1.0. Which tensors are exempt from the decay is not in the paper (unconfirmed): here
vectors are, that is the norms' weights, as in llama2.c and nanoGPT; matrices and the embedding
are not.

    clip:  g <- g * min(1, 1.0 / (norm + 1e-6)),   norm = the root of the sum of all squares

`adamw_step` is that in NumPy, for one array. `AdamW` is its compiled twin for whole trees (trees.py):
whatever has named arrays can be trained, a model with a head of its own too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..compute.array_types import Float
from ..compute.jit import helper, threaded
from ..trees import Tree, named_leaves, zeros_like


def adamw_step(
    p: Float,
    g: Float,
    m: Float,
    v: Float,
    t: int,
    learning_rate: float,
    *,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-5,
    weight_decay: float = 0.1,
) -> tuple[Float, Float, Float]:
    """Update number `t` (from 1) of one parameter: the new `p`, `m` and `v`."""
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return p - learning_rate * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p), m, v


# --- numba kernels: a range of one array, in place ---------------------------------------

_CHUNK = 1 << 15  # numbers that a thread takes at a time
_THREADED_SIZE = 1 << 16  # numbers from which a second thread pays


# A chunk is cut out before the loop: an index that could be negative, counted from the end, keeps LLVM from vectors.


@helper
def _adamw_chunk(p, g, m, v, scale, beta1, beta2, step_size, eps, root, decay):
    one = p.dtype.type(1)
    for i in range(p.size):
        gradient = g[i] * scale
        m[i] = beta1 * m[i] + (one - beta1) * gradient
        v[i] = beta2 * v[i] + (one - beta2) * gradient * gradient
        p[i] = p[i] * decay - step_size * m[i] / (np.sqrt(v[i]) * root + eps)


@threaded(from_size=_THREADED_SIZE)
def _adamw(first, last, p, g, m, v, scale, beta1, beta2, step_size, eps, root, decay):
    for c in range(first, last):
        part = slice(c * _CHUNK, min((c + 1) * _CHUNK, p.size))
        _adamw_chunk(p[part], g[part], m[part], v[part], scale, beta1, beta2, step_size, eps, root, decay)


@helper
def _squares_of(g):
    total = 0.0
    for i in range(g.size):
        total += np.float64(g[i]) * np.float64(g[i])
    return total


@threaded(from_size=_THREADED_SIZE)
def _squares(first, last, g, sums):  # chunks do not depend on the threads, nor does their sum
    for c in range(first, last):
        sums[c] = _squares_of(g[c * _CHUNK : min((c + 1) * _CHUNK, g.size)])


@helper
def _add_chunk(a, b):
    for i in range(a.size):
        a[i] += b[i]


@threaded(from_size=_THREADED_SIZE)
def _add(first, last, a, b):
    for c in range(first, last):
        part = slice(c * _CHUNK, min((c + 1) * _CHUNK, a.size))
        _add_chunk(a[part], b[part])


def _n_chunks(size: int) -> int:
    return -(-size // _CHUNK)


def _sum_of_squares(array: Any) -> float:
    flat = np.ascontiguousarray(array).reshape(-1)
    sums = np.empty(_n_chunks(flat.size), np.float64)
    _squares(sums.size, flat, sums, size=flat.size)
    return float(sums.sum())


# --- trees -------------------------------------------------------------------------------


def global_norm(gradients: Tree) -> float:
    """`trees.norm`, compiled: the length of the gradient, all parameters taken as one vector."""
    return math.sqrt(sum(_sum_of_squares(array) for _, array in named_leaves(gradients)))


def clip_scale(norm: float, max_norm: float) -> float:
    """What the gradient is multiplied by so that its norm is at most `max_norm`."""
    return min(1.0, max_norm / (norm + 1e-6))


def add_gradients(total: Tree, more: Tree) -> Tree:
    """`trees.add`, compiled: `total` += `more`, in place, array by array."""
    for (_, a), (_, b) in zip(named_leaves(total), named_leaves(more), strict=True):
        _add(_n_chunks(a.size), a.reshape(-1), np.ascontiguousarray(b).reshape(-1), size=a.size)
    return total


def decays(name: str, array: Any) -> bool:
    """Whether a parameter is decayed: matrices and the embedding, not the norms' weights."""
    return array.ndim >= 2


class AdamW:
    """The optimizer's state, and its update of parameters in place.

    Attributes
    ----------
    m, v : tree
        Running means of the gradient and of its square: trees like the parameters, in their dtype.
    n_steps : int
        Updates made.

    Parameters
    ----------
    params : tree
        Of plain float32 or float64 arrays, contiguous and writable.

    Raises
    ------
    ValueError
        When a parameter cannot be trained (packed, mapped from a file, of 16 bits) or a setting
        is out of range.
    """

    def __init__(
        self,
        params: Tree,
        *,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-5,
        weight_decay: float = 0.1,
    ) -> None:
        for name, array in named_leaves(params):
            _check_trainable(name, array)
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1 and eps > 0 and weight_decay >= 0):
            raise ValueError(f"betas must be in [0, 1), eps above 0, weight_decay not negative; got {betas}, {eps}, "
                             f"{weight_decay}")  # fmt: skip
        self.params, self.betas, self.eps, self.weight_decay = params, betas, eps, weight_decay
        self.m, self.v = zeros_like(params), zeros_like(params)
        self.n_steps = 0

    def update(
        self,
        gradients: Tree,
        learning_rate: float,
        scale: float = 1.0,
        *,
        rate_factor: Callable[[str], float] = lambda name: 1.0,
    ) -> None:
        """One step: parameters, `m` and `v` change in place.

        Parameters
        ----------
        gradients : tree
            Like the parameters; None where one is not to be trained: it and its moments stay as they are.
        learning_rate : float
        scale : float
            What the gradients are multiplied by, from `clip_scale`; divided by the count where the gradients are sums.
        rate_factor : callable
            What the learning rate of the parameter of a name is multiplied by.

        Raises
        ------
        ValueError
            When there is a gradient of a parameter that is not there.
        """
        learned = self._learned(gradients)
        self.n_steps += 1
        beta1, beta2 = self.betas
        correction1, correction2 = 1 - beta1**self.n_steps, 1 - beta2**self.n_steps
        for name, p, g, m, v in learned:
            number, rate = p.dtype.type, learning_rate * rate_factor(name)
            decay = 1 - rate * self.weight_decay if decays(name, p) else 1.0
            settings = (scale, beta1, beta2, rate / correction1, self.eps, 1 / math.sqrt(correction2), decay)
            flat = p.reshape(-1), np.ascontiguousarray(g, p.dtype).reshape(-1), m.reshape(-1), v.reshape(-1)
            _adamw(_n_chunks(p.size), *flat, *(number(value) for value in settings), size=p.size)

    def _learned(self, gradients: Tree) -> list[tuple[str, Float, Float, Float, Float]]:
        """Name, parameter, gradient and moments of everything that has a gradient."""
        given = dict(named_leaves(gradients))
        if unknown := given.keys() - {name for name, _ in named_leaves(self.params)}:
            raise ValueError(f"there is a gradient of {min(unknown)}, and no such parameter")
        trees = zip(*(named_leaves(tree) for tree in (self.params, self.m, self.v)), strict=True)
        return [(name, p, given[name], m, v) for (name, p), (_, m), (_, v) in trees if given.get(name) is not None]


def _check_trainable(name: str, array: Any) -> None:
    if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name} is stored as {kind}: train plain float32 or float64 arrays")
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise ValueError(f"{name} cannot be changed in place (a view, or mapped from a file): copy it first")
