"""Gate and up in one product."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .feed_forward import feed_forward
from .inputs import FFN_SHAPES, make_ffn, torch_feed_forward
from .silu_stable import silu_stable
from .variants import forward, gelu, logistic, quick_gelu


def make_fused(rng: np.random.Generator, B: int, T: int, D: int, hidden: int) -> tuple[Any, ...]:
    x, w_gate, w_up, w_down = make_ffn(rng, B, T, D, hidden)
    return x, np.concatenate((w_gate, w_up)), w_down


def halves(w_gate_up):
    w_gate, w_up = np.split(w_gate_up, 2)
    return w_gate, w_up


def torch_fused(x, w_gate_up, w_down):
    w_gate, w_up = halves(w_gate_up)
    return torch_feed_forward(x, w_gate, w_up, w_down)


@exercise(
    title="Gate and up in one product",
    task="The same layer, with w_gate and w_up stacked in one matrix: gate's rows first, then up's.",
    difficulty=2,
    minutes=10,
    make=make_fused,
    shapes=FFN_SHAPES,
    axes=("batch", "position", "dim"),
    oracle=torch_fused,
    atol=1e-5,
    hints=(
        "One product x @ w_gate_up.T gives 2 * hidden numbers for each position, instead of two products of hidden "
        "each: x is read once. Where in these numbers is the gate?",
        "Rows of a weight become columns of the result: the gate is the first half of the last axis.",
        "gate, up = np.split(x @ w_gate_up.T, 2, axis=-1)\nreturn (silu(gate) * up) @ w_down.T",
    ),
    why=(
        "Both matrices meet the same x, so stacked they are one matrix, and x is read once. Rows of the weights "
        "become the last axis of the product, whose first half is therefore the gate. The numbers are the same as "
        "before; one large product keeps a processor busier than two of half the size."
    ),
)
def feed_forward_fused(x, w_gate_up, w_down):
    """`feed_forward` with one product instead of two for gate and up.

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, D)
    w_gate_up : float32 ndarray of shape (2 * hidden_dim, D)
        The rows of w_gate, then those of w_up.
    w_down : float32 ndarray of shape (D, hidden_dim)

    Returns
    -------
    y : ndarray of shape (B, T, D)
    """
    gate, up = np.split(x @ w_gate_up.T, 2, axis=-1)  # (B, T, hidden_dim) each
    return (silu_stable(gate) * up) @ w_down.T


@feed_forward_fused.mistake(
    "Your function takes the first half as up and the second as the gate.",
    "Here the gate's rows come first. Files differ in this, so it has to be read in their description.",
)
def takes_first_half_as_up_and_second(x, w_gate_up, w_down):
    return feed_forward(x, halves(w_gate_up)[1], halves(w_gate_up)[0], w_down)


@feed_forward_fused.mistake(
    "Your function takes gate and up from alternate rows.",
    "The two matrices are stacked, not interleaved: the first `hidden` rows are the gate's.",
)
def takes_gate_and_up_from_alternate_rows(x, w_gate_up, w_down):
    return feed_forward(x, w_gate_up[0::2], w_gate_up[1::2], w_down)


@feed_forward_fused.mistake(
    "Your function reshapes the product to (2, batch, position, hidden): that mixes positions.",
    "The last axis holds gate and up of one position. Split the last axis; a reshape may only split it to "
    "(..., 2, hidden).",
)
def folded(x, w_gate_up, w_down):
    """The batch and position axes confused by reshaping the result of one product."""
    hidden = w_down.shape[1]
    both = (x @ w_gate_up.T).reshape(2, *x.shape[:-1], hidden)
    return forward(both[0], both[1]) @ w_down.T


@feed_forward_fused.mistake(
    "Your function applies SiLU to both halves.",
    "Only the gate has an activation: split first.",
)
def applies_silu_to_both_halves(x, w_gate_up, w_down):
    return (silu_stable(x @ halves(w_gate_up)[0].T) * silu_stable(x @ halves(w_gate_up)[1].T)) @ w_down.T


@feed_forward_fused.mistake(
    "Your function multiplies the halves without an activation.",
    "The first half goes through SiLU.",
)
def multiplies_halves_without_activation(x, w_gate_up, w_down):
    return ((x @ halves(w_gate_up)[0].T) * (x @ halves(w_gate_up)[1].T)) @ w_down.T


@feed_forward_fused.mistake(
    "Your function uses the gate's half twice: silu(gate) * gate.",
    "The second factor is the other half, up.",
)
def uses_gate_half_twice(x, w_gate_up, w_down):
    return feed_forward(x, halves(w_gate_up)[0], halves(w_gate_up)[0], w_down)


@feed_forward_fused.mistake(
    "Your function applies SiLU to the product of the halves.",
    "First SiLU of the gate alone, then the product.",
)
def applies_silu_to_product(x, w_gate_up, w_down):
    w_gate, w_up = halves(w_gate_up)
    return silu_stable((x @ w_gate.T) * (x @ w_up.T)) @ w_down.T


def gated_by(activation):
    """The layer with another activation of the gate."""

    def layer(x, w_gate_up, w_down):
        w_gate, w_up = halves(w_gate_up)
        return (activation(x @ w_gate.T) * (x @ w_up.T)) @ w_down.T

    return layer


feed_forward_fused.mistake(
    "Your function uses a sigmoid as its gate.",
    "SiLU is g * sigmoid(g): the factor g is missing.",
    gated_by(logistic),
)

feed_forward_fused.mistake(
    "Your function uses GELU as its gate.",
    "LLaMA's gate is SiLU, g * sigmoid(g).",
    gated_by(gelu),
)

feed_forward_fused.mistake(
    "Your function uses g * sigmoid(1.702 g), the quick form of GELU, as its gate.",
    "SiLU has no factor inside the sigmoid.",
    gated_by(quick_gelu),
)
