"""The feed-forward layer."""

from __future__ import annotations

from ...exercises.exercise import exercise
from .inputs import FFN_SHAPES, make_ffn, torch_feed_forward
from .silu_stable import silu_stable
from .variants import forward, gelu, logistic, quick_gelu


@exercise(
    title="The feed-forward layer",
    task="w_down (silu(w_gate x) * (w_up x)) for every position of x.",
    difficulty=1,
    minutes=10,
    make=make_ffn,
    shapes=FFN_SHAPES,
    axes=("batch", "position", "dim"),
    oracle=torch_feed_forward,
    atol=1e-5,
    hints=(
        "Three products. Two of them lead from D to the wider hidden, the third leads back.",
        "Weights are stored (out_features, in_features): a row of x meets them as x @ w.T.",
        "gate, up = x @ w_gate.T, x @ w_up.T      # (B, T, hidden) both\nreturn (silu(gate) * up) @ w_down.T",
    ),
    why=(
        "Two matrices lead out into a wider space and one leads back; the product between them is what no matrix can "
        "do, because how strongly one question counts depends on the answer to another. Weights are stored as (out, "
        "in), so rows meet them transposed. The residual stays outside, with the block that owns the stream."
    ),
)
def feed_forward(x, w_gate, w_up, w_down):
    """LLaMA's feed-forward layer, without the residual around it.

    y = w_down (silu(w_gate x) * (w_up x))          for every position x

    In Meta's files w_gate is called w1, w_down w2, and w_up w3.

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, D)
    w_gate, w_up : float32 ndarray of shape (hidden_dim, D)
    w_down : float32 ndarray of shape (D, hidden_dim)

    Returns
    -------
    y : ndarray of shape (B, T, D)
    """
    return (silu_stable(x @ w_gate.T) * (x @ w_up.T)) @ w_down.T


@feed_forward.mistake(
    "Your function has exchanged w_gate and w_up.",
    "SiLU belongs to what w_gate computes. In Meta's files w_gate is w1, w_up is w3 and w_down is w2: w1, "
    "w2, w3 are not in the order in which they are used.",
)
def has_exchanged_w_gate_and_w_up(x, w_gate, w_up, w_down):
    return feed_forward(x, w_up, w_gate, w_down)


@feed_forward.mistake(
    "Your function multiplies with the weights as they are, not transposed.",
    "Weights are stored (out_features, in_features): y = x @ w.T. A square case hides it, others raise an error.",
)
def multiplies_without_transposing(x, w_gate, w_up, w_down):
    return forward(x @ w_gate, x @ w_up) @ w_down


@feed_forward.mistake(
    "Your function has no activation.",
    "Without SiLU the layer is only a product of two linear maps, and the gate cannot close.",
)
def has_no_activation(x, w_gate, w_up, w_down):
    return ((x @ w_gate.T) * (x @ w_up.T)) @ w_down.T


@feed_forward.mistake(
    "Your function applies SiLU to the product of gate and up.",
    "First SiLU of the gate alone, then the product.",
)
def applies_silu_to_product_of_gate(x, w_gate, w_up, w_down):
    return silu_stable((x @ w_gate.T) * (x @ w_up.T)) @ w_down.T


@feed_forward.mistake(
    "Your function adds x at the end.",
    "The residual belongs to the block around the feed-forward layer (chapter 09), not to the layer.",
)
def adds_x_at_end(x, w_gate, w_up, w_down):
    return x + feed_forward(x, w_gate, w_up, w_down)


@feed_forward.mistake(
    "Your function leaves out the gate: w_down silu(w_gate x), as in a layer of two matrices.",
    "That is the layer of the first transformers. LLaMA multiplies with w_up x before w_down.",
)
def leaves_out_gate(x, w_gate, w_up, w_down):
    return silu_stable(x @ w_gate.T) @ w_down.T


@feed_forward.mistake(
    "Your function uses a sigmoid as its gate.",
    "SiLU is g * sigmoid(g).",
)
def uses_sigmoid_as_its_gate(x, w_gate, w_up, w_down):
    return (logistic(x @ w_gate.T) * (x @ w_up.T)) @ w_down.T


@feed_forward.mistake(
    "Your function sends both w_gate x and w_up x through SiLU.",
    "Only the gate has an activation; up stays linear.",
)
def sends_both_through_silu(x, w_gate, w_up, w_down):
    return (silu_stable(x @ w_gate.T) * silu_stable(x @ w_up.T)) @ w_down.T


@feed_forward.mistake(
    "Your function uses GELU as its gate.",
    "LLaMA's gate is SiLU, g * sigmoid(g).",
)
def uses_gelu_as_its_gate(x, w_gate, w_up, w_down):
    return (gelu(x @ w_gate.T) * (x @ w_up.T)) @ w_down.T


@feed_forward.mistake(
    "Your function uses g * sigmoid(1.702 g), the quick form of GELU, as its gate.",
    "SiLU has no factor inside the sigmoid.",
)
def uses_quick_gelu_as_its_gate(x, w_gate, w_up, w_down):
    return (quick_gelu(x @ w_gate.T) * (x @ w_up.T)) @ w_down.T
