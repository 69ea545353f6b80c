"""The order of norm, layer and residual."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import EPS
from .shared import rmsnorm
from .variants import normalised


def make_stream(rng: np.random.Generator, n: int, T: int, D: int) -> tuple[Any, ...]:
    x = rng.normal(size=(T, D)).astype(np.float32)
    norms = rng.uniform(0.5, 2, (n, D)).astype(np.float32)
    return x, norms, (rng.normal(size=(n, D, D)) / math.sqrt(D)).astype(np.float32), EPS


def torch_stream(x, norms, matrices, eps):
    import torch

    x, norms, matrices = (torch.tensor(a, dtype=torch.float64) for a in (x, norms, matrices))
    states = [x]
    for g, w in zip(norms, matrices):
        states.append(states[-1] + torch.nn.functional.rms_norm(states[-1], g.shape, g, eps) @ w.T)
    return torch.stack(states).numpy()


@exercise(
    title="The order of norm, layer and residual",
    task="Run sublayers x + W rmsnorm(x), one after the other, and return the stream before, between and after them.",
    difficulty=1,
    minutes=10,
    make=make_stream,
    shapes=(
        {"n": 2, "T": 1, "D": 4},
        {"n": 1, "T": 1, "D": 2},
        {"n": 3, "T": 2, "D": 3},
        {"n": 5, "T": 3, "D": 8},
        {"n": 4, "T": 7, "D": 17},
    ),
    axes=("state", "position", "dim"),
    oracle=torch_stream,
    atol=1e-5,
    hints=(
        "The stream itself is never normalised: a sublayer reads a normalised copy, and what it computes is added to "
        "the stream as it was.",
        "states = [x]; for every norm and matrix: one new x, appended. n sublayers give n + 1 states. Make a new "
        "array each time: x += ... would change the states that are in the list already.",
        "for g, w in zip(norms, matrices):\n    x = x + rmsnorm(x, g, eps) @ w.T\n    states.append(x)\n"
        "return np.stack(states)",
    ),
    why=(
        "A sublayer reads a normalised copy and adds its answer, so the first x is still part of the last state. "
        "There is a way through without any matrix or norm, and on it a gradient reaches the first layer "
        "undiminished. Writing x = x + ... makes a new array at every step, where += would change the states that are "
        "already kept."
    ),
)
def residual_stream(x, norms, matrices, eps):
    """Run n sublayers, each of them one matrix, and keep the stream at every step.

    state 0   = x
    state i+1 = state i + matrices[i] rmsnorm(state i, norms[i])

    Parameters
    ----------
    x : float32 ndarray of shape (T, D)
    norms : float32 ndarray of shape (n, D)
    matrices : float32 ndarray of shape (n, D, D)
        (out, in) each: a row of the stream meets it as row @ matrix.T.
    eps : float

    Returns
    -------
    states : ndarray of shape (n + 1, T, D)
    """
    states = [x]
    for norm, matrix in zip(norms, matrices):
        x = x + rmsnorm(x, norm, eps) @ matrix.T
        states.append(x)
    return np.stack(states)


def stream_of(step):
    """A function of the exercise's signature from x -> x of one sublayer."""

    def run(x, norms, matrices, eps):
        states = [x]
        for g, w in zip(norms, matrices):
            states.append(step(states[-1], g, w, eps))
        return np.stack(states)

    return run


residual_stream.mistake(
    "Your function normalises after the residual: rmsnorm(x + W x), post-norm.",
    "That is the first transformer of 2017. LLaMA is pre-norm: only what the sublayer reads is normalised.",
    stream_of(lambda x, g, w, eps: normalised(x + x @ w.T, g, eps)),
)

residual_stream.mistake(
    "Your function adds the sublayer's result to the normalised x.",
    "The residual goes round the norm as well: x + W rmsnorm(x), with x as it was.",
    stream_of(lambda x, g, w, eps: normalised(x, g, eps) + normalised(x, g, eps) @ w.T),
)

residual_stream.mistake(
    "Your function replaces the stream instead of adding to it.",
    "A sublayer adds: x + W rmsnorm(x).",
    stream_of(lambda x, g, w, eps: normalised(x, g, eps) @ w.T),
)

residual_stream.mistake(
    "Your function leaves out the norm.",
    "Every sublayer reads rmsnorm(x), with its own weight.",
    stream_of(lambda x, g, w, eps: x + x @ w.T),
)

residual_stream.mistake(
    "Your function normalises what a sublayer returns, not what it reads.",
    "x + W rmsnorm(x), not x + rmsnorm(W x).",
    stream_of(lambda x, g, w, eps: x + normalised(x @ w.T, g, eps)),
)

residual_stream.mistake(
    "Your matrices are not transposed: rows of the stream meet them as row @ matrix.",
    "Weights are (out, in): row @ matrix.T. Square ones do not complain when they are used the wrong way.",
    stream_of(lambda x, g, w, eps: x + normalised(x, g, eps) @ w),
)


@residual_stream.mistake(
    "Your sublayers all read the first x.",
    "Each one reads the stream as the one before has left it.",
)
def stream_from_the_first(x, norms, matrices, eps):
    states = [x]
    for g, w in zip(norms, matrices):
        states.append(states[-1] + normalised(x, g, eps) @ w.T)
    return np.stack(states)


@residual_stream.mistake(
    "Your states are all the same array, the last one.",
    "x += ... changes x in place, and the list holds that same x several times. Write x = x + ..., which "
    "makes a new one.",
)
def stream_aliased(x, norms, matrices, eps):
    return np.stack([residual_stream(x, norms, matrices, eps)[-1]] * (len(norms) + 1))
