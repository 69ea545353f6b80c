"""A residual block, backwards."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ....ops import REFERENCE as ops
from ...exercises.exercise import exercise
from .inputs import Arrays, normal_array
from .linear_backward import linear_backward


def make_block(rng: np.random.Generator, B: int, T: int, D: int, hidden: int) -> Arrays:
    if D < 2:
        raise ValueError("a row of one number is normalised to 1 or -1, and has no gradient")
    x = 0.5 * normal_array(rng, B, T, D)
    matrices = (normal_array(rng, hidden, D), normal_array(rng, hidden, D), normal_array(rng, D, hidden))
    return normal_array(rng, B, T, D), x, 1 + 0.3 * normal_array(rng, D), *matrices, 1e-2


def torch_block(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    import torch
    import torch.nn.functional as F

    leaves = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, norm_weight, w_gate, w_up, w_down)]
    x, norm_weight, w_gate, w_up, w_down = leaves
    m = F.rms_norm(x, (x.shape[-1],), norm_weight, eps)
    y = x + F.linear(F.silu(F.linear(m, w_gate)) * F.linear(m, w_up), w_down)
    gradients = torch.autograd.grad(y, leaves, torch.tensor(dy, dtype=torch.float64))
    return tuple(gradient.numpy() for gradient in gradients)


@exercise(
    title="A residual block, backwards",
    task="All five gradients of y = x + w_down swiglu(w_gate m, w_up m), m = rmsnorm(x), from dy.",
    difficulty=3,
    minutes=40,
    make=make_block,
    shapes=(
        {"B": 1, "T": 1, "D": 3, "hidden": 2},
        {"B": 1, "T": 2, "D": 4, "hidden": 4},
        {"B": 2, "T": 3, "D": 5, "hidden": 7},
        {"B": 3, "T": 4, "D": 6, "hidden": 11},
        {"B": 3, "T": 5, "D": 16, "hidden": 24},
    ),
    axes=("batch", "position", "dim"),
    outputs=("dx", "dnorm_weight", "dw_gate", "dw_up", "dw_down"),
    oracle=torch_block,
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
    why=(
        "Going back is the forward pass read from its end, each step with what it had read on the way. Where one "
        "array was read by two, gradients come from both and are added: m by w_gate and w_up, x by the norm and the "
        "residual. Past the layer dy arrives unchanged, which is why deep stacks can be trained."
    ),
)
def residual_ffn_backward(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    """All gradients of the feed-forward block with its residual path.

    m = x / sqrt(mean(x**2) + eps) * norm_weight                          over the last axis
    y = x + (silu(m @ w_gate.T) * (m @ w_up.T)) @ w_down.T

    The backward functions of chapters 04 and 08 are at hand, yours or the package's:

        from minillama.ops import REFERENCE as ops

        m, saved = ops.rmsnorm_forward(x, norm_weight, eps);   dx, dweight = ops.rmsnorm_backward(dm, saved)
        h, saved = ops.swiglu_forward(gate, up);               dgate, dup = ops.swiglu_backward(dh, saved)

    Parameters
    ----------
    dy, x : ndarray of shape (B, T, D)
    norm_weight : ndarray of shape (D,)
    w_gate, w_up : ndarray of shape (hidden, D)
    w_down : ndarray of shape (D, hidden)
    eps : float

    Returns
    -------
    dx, dnorm_weight, dw_gate, dw_up, dw_down : ndarrays of the shapes of what they belong to
    """
    m, norm_saved = ops.rmsnorm_forward(x, norm_weight, eps)
    hidden, swiglu_saved = ops.swiglu_forward(m @ w_gate.T, m @ w_up.T)

    dhidden, dw_down = linear_backward(dy, hidden, w_down)
    dgate, dup = ops.swiglu_backward(dhidden, swiglu_saved)
    dm_gate, dw_gate = linear_backward(dgate, m, w_gate)
    dm_up, dw_up = linear_backward(dup, m, w_up)
    dx, dnorm_weight = ops.rmsnorm_backward(dm_gate + dm_up, norm_saved)
    return dx + dy, dnorm_weight, dw_gate, dw_up, dw_down


class Back(NamedTuple):
    """What has come back as far as the norm."""

    dgate: Any
    dup: Any
    dm_gate: Any
    dm_up: Any
    dw_gate: Any
    dw_up: Any
    dw_down: Any
    norm: Any


def back_to_the_norm(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    m, norm = ops.rmsnorm_forward(x, norm_weight, eps)
    hidden, gating = ops.swiglu_forward(m @ w_gate.T, m @ w_up.T)
    dhidden, dw_down = linear_backward(dy, hidden, w_down)
    dgate, dup = ops.swiglu_backward(dhidden, gating)
    (dm_gate, dw_gate), (dm_up, dw_up) = linear_backward(dgate, m, w_gate), linear_backward(dup, m, w_up)
    return Back(dgate, dup, dm_gate, dm_up, dw_gate, dw_up, dw_down, norm)


@residual_ffn_backward.mistake(
    "Your dx lacks the residual path: dy itself.",
    "y = x + ...: the x in front passes dy on as it is. Without it deep models cannot be trained.",
)
def forgets_the_residual_path(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    dx, *others = residual_ffn_backward(dy, x, norm_weight, w_gate, w_up, w_down, eps)
    return dx - dy, *others


@residual_ffn_backward.mistake(
    "Your dm comes from w_gate alone.",
    "m is used twice, by w_gate and by w_up: add what comes back from both.",
)
def comes_back_from_the_gate_only(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    back = back_to_the_norm(dy, x, norm_weight, w_gate, w_up, w_down, eps)
    dx, dnorm_weight = ops.rmsnorm_backward(back.dm_gate, back.norm)
    return dx + dy, dnorm_weight, back.dw_gate, back.dw_up, back.dw_down


@residual_ffn_backward.mistake(
    "Your function adds dy before the norm's backward, not after it.",
    "The residual path goes around the norm: dx = rmsnorm_backward(dm) + dy.",
)
def sends_the_residual_through_the_norm(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    back = back_to_the_norm(dy, x, norm_weight, w_gate, w_up, w_down, eps)
    dx, dnorm_weight = ops.rmsnorm_backward(back.dm_gate + back.dm_up + dy, back.norm)
    return dx, dnorm_weight, back.dw_gate, back.dw_up, back.dw_down


@residual_ffn_backward.mistake(
    "Your function goes through the norm as if it were a mere factor: dm * weight.",
    "The root mean square depends on x as well. Its part of the gradient is in chapter 04.",
)
def only_multiplies_by_the_norms_weight(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    back = back_to_the_norm(dy, x, norm_weight, w_gate, w_up, w_down, eps)
    _, *others = residual_ffn_backward(dy, x, norm_weight, w_gate, w_up, w_down, eps)
    return (back.dm_gate + back.dm_up) * norm_weight + dy, *others


@residual_ffn_backward.mistake(
    "Your dw_gate and dw_up are made with x, not with m.",
    "What met w_gate on the way forward was the normalised m: keep it.",
)
def takes_x_for_the_normalised_rows(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    back = back_to_the_norm(dy, x, norm_weight, w_gate, w_up, w_down, eps)
    dx, dnorm_weight, _, _, dw_down = residual_ffn_backward(dy, x, norm_weight, w_gate, w_up, w_down, eps)
    dw_gate, dw_up = linear_backward(back.dgate, x, w_gate)[1], linear_backward(back.dup, x, w_up)[1]
    return dx, dnorm_weight, dw_gate, dw_up, dw_down
