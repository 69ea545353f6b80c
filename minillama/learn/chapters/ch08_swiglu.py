"""Chapter 08, SwiGLU: a stable SiLU, the gate, the feed-forward layer, its width, and the gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...config import swiglu_hidden_dim
from ...layers.swiglu import SwiGLUCache, swiglu_forward, swiglu_forward_fast
from ..exercise import Exercise, Mistake, Speed


def _sigmoid(z):
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, small) / (1 + small)


def _silu(z):
    return z * _sigmoid(z)


def _gelu(z):
    """The tanh form, as GPT-2 has it."""
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


# --- silu_stable ------------------------------------------------------------------------


def _make_z(rng: np.random.Generator, B: int, D: int, spread: int) -> tuple[Any, ...]:
    return ((spread * rng.normal(size=(B, D))).astype(np.float32),)


def _torch_silu(z):
    import torch

    return torch.nn.functional.silu(torch.tensor(z, dtype=torch.float64)).numpy()


def _one_sided_exp(z):
    e = np.exp(z)
    return z * e / (1 + e)


SILU = Exercise(
    id="silu_stable",
    chapter="08",
    title="SiLU for any number",
    task="z * sigmoid(z) for numbers of any size, without an overflow on the way.",
    difficulty=1,
    minutes=10,
    reference=_silu,
    make=_make_z,
    shapes=(
        {"B": 1, "D": 4, "spread": 1},
        {"B": 1, "D": 1, "spread": 2},
        {"B": 3, "D": 7, "spread": 4},
        {"B": 2, "D": 33, "spread": 30},
        {"B": 3, "D": 64, "spread": 1000},
    ),
    axes=("row", "dim"),
    oracle=_torch_silu,
    atol=1e-7,
    hints=(
        "sigmoid(z) = 1 / (1 + exp(-z)). In float32 exp is infinite from 89 on: for which z is that a problem?",
        "exp of a number that is not positive lies between 0 and 1. Divide numerator and denominator of "
        "sigmoid(z) by what makes only exp(-|z|) appear: for z < 0 it is exp(z) / (1 + exp(z)).",
        "small = np.exp(-np.abs(z))                             # at most 1\n"
        "sigmoid = np.where(z >= 0, 1, small) / (1 + small)     # then times z",
    ),
    mistakes=(
        Mistake(
            "Your function divides infinity by infinity for large z.",
            "exp(z) / (1 + exp(z)) is fine for z < 0 only. Use 1 / (1 + exp(-z)) where z >= 0.",
            _one_sided_exp,
        ),
        Mistake(
            "Your function is the sigmoid: the factor z is missing.",
            "The sigmoid lies between 0 and 1. SiLU multiplies it by z, so that it grows like z on the right.",
            _sigmoid,
        ),
        Mistake(
            "Your function is GELU, in its tanh form.",
            "GPT-2 uses GELU. The two look alike, LLaMA has SiLU: z * sigmoid(z).",
            _gelu,
        ),
        Mistake(
            "Your function is z * sigmoid(1.702 z), the quick form of GELU.",
            "SiLU has no factor inside the sigmoid.",
            lambda z: z * _sigmoid(1.702 * z),
        ),
        Mistake(
            "Your function is ReLU.",
            "SiLU is smooth and dips below 0, to -0.278 at z = -1.278.",
            lambda z: np.maximum(z, 0),
        ),
        Mistake(
            "Your function closes the gate where it should open: it computes z * sigmoid(-z).",
            "Large z must pass: sigmoid(z) = 1 / (1 + exp(-z)), with the minus.",
            lambda z: z * _sigmoid(-z),
        ),
        Mistake(
            "Your function cuts z off at 20 before anything else.",
            "That avoids the overflow, but silu(1000) is 1000, not 20. Nothing needs to be cut off if exp is taken "
            "of -|z|.",
            lambda z: _silu(np.clip(z, -20, 20)),
        ),
    ),
)

# --- swiglu_forward ---------------------------------------------------------------------


def _make_gate(rng: np.random.Generator, B: int, T: int, hidden: int) -> tuple[Any, ...]:
    gate, up = (2 * rng.normal(size=(2, B, T, hidden))).astype(np.float32)
    return gate, up


def _forward(gate, up):
    return swiglu_forward(gate, up)[0]


def _torch_forward(gate, up):
    import torch

    return (torch.nn.functional.silu(torch.tensor(gate)) * torch.tensor(up)).numpy()


def _naive_forward(gate, up):
    y = np.empty_like(gate)
    flat_gate, flat_up, flat_y = gate.reshape(-1), up.reshape(-1), y.reshape(-1)
    for i in range(gate.size):
        small = math.exp(-abs(flat_gate[i]))
        flat_y[i] = flat_gate[i] * (1 if flat_gate[i] >= 0 else small) / (1 + small) * flat_up[i]
    return y


def _torch_product(gate, up):
    import torch

    return torch.nn.functional.silu(gate) * up


SWIGLU = Exercise(
    id="swiglu_forward",
    chapter="08",
    title="The gate",
    task="silu(gate) * up, element by element; in one pass over memory if you can.",
    difficulty=1,
    minutes=10,
    reference=_forward,
    make=_make_gate,
    shapes=(
        {"B": 1, "T": 1, "hidden": 4},
        {"B": 1, "T": 2, "hidden": 1},
        {"B": 2, "T": 3, "hidden": 8},
        {"B": 3, "T": 1, "hidden": 33},
        {"B": 3, "T": 5, "hidden": 172},
    ),
    axes=("batch", "position", "hidden"),
    oracle=_torch_forward,
    op=lambda f: {"swiglu_forward": lambda gate, up: (f(gate, up), SwiGLUCache(gate, up))},
    speed=Speed(
        dims={"B": 1, "T": 512, "hidden": 1536},
        flops=lambda B, T, hidden: 6.0 * B * T * hidden,  # abs, exp, two sums and products, a division: about
        bytes=lambda B, T, hidden: 3.0 * 4 * B * T * hidden,
        naive=_naive_forward,
        fast=lambda gate, up: swiglu_forward_fast(gate, up)[0],
        torch=_torch_product,
    ),
    hints=(
        "Two arrays of one shape, a number at a time: no sums, no axes. Which of the two goes through SiLU?",
        "For speed: NumPy makes a temporary array for every operation, and each goes through memory. A Numba loop "
        "over the flat arrays reads gate and up once and writes y once.",
        "for i in prange(gate.size):                 # on gate.reshape(-1), up.reshape(-1), y.reshape(-1)\n"
        "    small = np.exp(-abs(gate[i]))\n"
        "    y[i] = gate[i] * (1 if gate[i] >= 0 else small) / (1 + small) * up[i]",
    ),
    mistakes=(
        Mistake(
            "Your function sends `up` through SiLU, and not `gate`.",
            "The names say it: gate (Meta's w1) decides, up (w3) is what passes.",
            lambda gate, up: gate * _silu(up),
        ),
        Mistake(
            "Your function sends both through SiLU.",
            "Only the gate has an activation; up stays linear.",
            lambda gate, up: _silu(gate) * _silu(up),
        ),
        Mistake(
            "Your function multiplies first, and takes SiLU of the product.",
            "SiLU belongs to the gate alone: silu(gate) * up, not silu(gate * up).",
            lambda gate, up: _silu(gate * up),
        ),
        Mistake(
            "Your function multiplies without any activation.",
            "gate * up is the bilinear variant. SwiGLU takes SiLU of the gate first.",
            lambda gate, up: gate * up,
        ),
        Mistake(
            "Your gate is a sigmoid: that is GLU, not SwiGLU.",
            "SiLU is z * sigmoid(z): the factor gate is missing.",
            lambda gate, up: _sigmoid(gate) * up,
        ),
        Mistake(
            "Your gate is GELU: that is GeGLU.",
            "LLaMA's gate is SiLU, z * sigmoid(z).",
            lambda gate, up: _gelu(gate) * up,
        ),
        Mistake(
            "Your gate is ReLU: that is ReGLU.",
            "LLaMA's gate is SiLU, which lets small negative numbers through.",
            lambda gate, up: np.maximum(gate, 0) * up,
        ),
        Mistake(
            "Your function adds the gate to `up`.",
            "A gate multiplies: where it is 0, nothing passes.",
            lambda gate, up: _silu(gate) + up,
        ),
    ),
)

# --- feed_forward -----------------------------------------------------------------------


def _make_ffn(rng: np.random.Generator, B: int, T: int, D: int, hidden: int) -> tuple[Any, ...]:
    x = rng.normal(size=(B, T, D)).astype(np.float32)
    w_gate, w_up = (2 * rng.normal(size=(2, hidden, D)) / math.sqrt(D)).astype(np.float32)
    return x, w_gate, w_up, (rng.normal(size=(D, hidden)) / math.sqrt(hidden)).astype(np.float32)


def _feed_forward(x, w_gate, w_up, w_down):
    return _forward(x @ w_gate.T, x @ w_up.T) @ w_down.T


def _torch_feed_forward(x, w_gate, w_up, w_down):
    import torch
    import torch.nn.functional as F

    x, w_gate, w_up, w_down = (torch.tensor(a, dtype=torch.float64) for a in (x, w_gate, w_up, w_down))
    return F.linear(F.silu(F.linear(x, w_gate)) * F.linear(x, w_up), w_down).numpy()


FFN_SHAPES = (
    {"B": 1, "T": 1, "D": 3, "hidden": 3},
    {"B": 1, "T": 1, "D": 1, "hidden": 2},
    {"B": 2, "T": 3, "D": 4, "hidden": 7},
    {"B": 3, "T": 1, "D": 6, "hidden": 16},
    {"B": 2, "T": 5, "D": 24, "hidden": 64},
)

FEED_FORWARD = Exercise(
    id="feed_forward",
    chapter="08",
    title="The feed-forward layer",
    task="w_down (silu(w_gate x) * (w_up x)) for every position of x.",
    difficulty=1,
    minutes=10,
    reference=_feed_forward,
    make=_make_ffn,
    shapes=FFN_SHAPES,
    axes=("batch", "position", "dim"),
    oracle=_torch_feed_forward,
    atol=1e-5,
    hints=(
        "Three products. Two of them lead from D to the wider hidden, the third leads back.",
        "Weights are stored (out_features, in_features): a row of x meets them as x @ w.T.",
        "gate, up = x @ w_gate.T, x @ w_up.T      # (B, T, hidden) both\nreturn (silu(gate) * up) @ w_down.T",
    ),
    mistakes=(
        Mistake(
            "Your function has exchanged w_gate and w_up.",
            "SiLU belongs to what w_gate computes. In Meta's files w_gate is w1, w_up is w3 and w_down is w2: w1, w2, "
            "w3 are not in the order in which they are used.",
            lambda x, g, u, d: _feed_forward(x, u, g, d),
        ),
        Mistake(
            "Your function multiplies with the weights as they are, not transposed.",
            "Weights are stored (out_features, in_features): y = x @ w.T. A square case hides it, others raise an "
            "error.",
            lambda x, g, u, d: _forward(x @ g, x @ u) @ d,
        ),
        Mistake(
            "Your function has no activation.",
            "Without SiLU the layer is only a product of two linear maps, and the gate cannot close.",
            lambda x, g, u, d: ((x @ g.T) * (x @ u.T)) @ d.T,
        ),
        Mistake(
            "Your function applies SiLU to the product of gate and up.",
            "First SiLU of the gate alone, then the product.",
            lambda x, g, u, d: _silu((x @ g.T) * (x @ u.T)) @ d.T,
        ),
        Mistake(
            "Your function adds x at the end.",
            "The residual belongs to the block around the feed-forward layer (chapter 09), not to the layer.",
            lambda x, g, u, d: x + _feed_forward(x, g, u, d),
        ),
        Mistake(
            "Your function leaves out the gate: w_down silu(w_gate x), as in a layer of two matrices.",
            "That is the layer of the first transformers. LLaMA multiplies with w_up x before w_down.",
            lambda x, g, u, d: _silu(x @ g.T) @ d.T,
        ),
        Mistake(
            "Your function uses a sigmoid as its gate.",
            "SiLU is z * sigmoid(z).",
            lambda x, g, u, d: (_sigmoid(x @ g.T) * (x @ u.T)) @ d.T,
        ),
    ),
)

# --- feed_forward_fused -----------------------------------------------------------------


def _make_fused(rng: np.random.Generator, B: int, T: int, D: int, hidden: int) -> tuple[Any, ...]:
    x, w_gate, w_up, w_down = _make_ffn(rng, B, T, D, hidden)
    return x, np.concatenate((w_gate, w_up)), w_down


def _halves(w_gate_up):
    w_gate, w_up = np.split(w_gate_up, 2)
    return w_gate, w_up


def _fused(x, w_gate_up, w_down):
    w_gate, w_up = _halves(w_gate_up)
    return _feed_forward(x, w_gate, w_up, w_down)


def _torch_fused(x, w_gate_up, w_down):
    w_gate, w_up = _halves(w_gate_up)
    return _torch_feed_forward(x, w_gate, w_up, w_down)


def _folded(x, w_gate_up, w_down):
    """The batch and position axes confused by reshaping the result of one product."""
    hidden = w_down.shape[1]
    both = (x @ w_gate_up.T).reshape(2, *x.shape[:-1], hidden)
    return _forward(both[0], both[1]) @ w_down.T


FUSED = Exercise(
    id="feed_forward_fused",
    chapter="08",
    title="Gate and up in one product",
    task="The same layer, with w_gate and w_up stacked in one matrix: gate's rows first, then up's.",
    difficulty=2,
    minutes=10,
    reference=_fused,
    make=_make_fused,
    shapes=FFN_SHAPES,
    axes=("batch", "position", "dim"),
    oracle=_torch_fused,
    atol=1e-5,
    hints=(
        "One product x @ w_gate_up.T gives 2 * hidden numbers for each position, instead of two products of hidden "
        "each: x is read once. Where in these numbers is the gate?",
        "Rows of a weight become columns of the result: the gate is the first half of the last axis.",
        "gate, up = np.split(x @ w_gate_up.T, 2, axis=-1)\nreturn (silu(gate) * up) @ w_down.T",
    ),
    mistakes=(
        Mistake(
            "Your function takes the first half as up and the second as the gate.",
            "Here the gate's rows come first. Files differ in this, so it has to be read in their description.",
            lambda x, w, d: _feed_forward(x, _halves(w)[1], _halves(w)[0], d),
        ),
        Mistake(
            "Your function takes gate and up from alternate rows.",
            "The two matrices are stacked, not interleaved: the first `hidden` rows are the gate's.",
            lambda x, w, d: _feed_forward(x, w[0::2], w[1::2], d),
        ),
        Mistake(
            "Your function reshapes the product to (2, batch, position, hidden): that mixes positions.",
            "The last axis holds gate and up of one position. Split the last axis; a reshape may only split it to "
            "(..., 2, hidden).",
            _folded,
        ),
        Mistake(
            "Your function applies SiLU to both halves.",
            "Only the gate has an activation: split first.",
            lambda x, w, d: (_silu(x @ _halves(w)[0].T) * _silu(x @ _halves(w)[1].T)) @ d.T,
        ),
        Mistake(
            "Your function multiplies the halves without an activation.",
            "The first half goes through SiLU.",
            lambda x, w, d: ((x @ _halves(w)[0].T) * (x @ _halves(w)[1].T)) @ d.T,
        ),
        Mistake(
            "Your function uses the gate's half twice: silu(gate) * gate.",
            "The second factor is the other half, up.",
            lambda x, w, d: _feed_forward(x, _halves(w)[0], _halves(w)[0], d),
        ),
    ),
)

# --- ffn_hidden_dim ---------------------------------------------------------------------


def _make_width(rng: np.random.Generator, dim: int, multiple_of: int, tenths: int) -> tuple[Any, ...]:
    if dim < 8 or 0 < tenths < 10:
        raise ValueError("dim is at least 8, and the multiplier at least 1, or 0 for none")
    return dim, multiple_of, tenths / 10 if tenths else None


def _up_to(n, multiple_of):
    return multiple_of * math.ceil(n / multiple_of)


def _rounded_first(dim, multiple_of, multiplier):
    return int((multiplier or 1) * _up_to(8 * dim // 3, multiple_of))


def _one_floor(dim, multiple_of, multiplier):
    return _up_to(int((multiplier or 1) * 8 * dim / 3), multiple_of)


HIDDEN_DIM = Exercise(
    id="ffn_hidden_dim",
    chapter="08",
    title="The width of the feed-forward layer",
    task="LLaMA's rule: two thirds of 4 * dim, times the multiplier if there is one, up to a multiple of multiple_of.",
    difficulty=1,
    minutes=10,
    reference=swiglu_hidden_dim,
    make=_make_width,
    shapes=(
        {"dim": 10, "multiple_of": 1, "tenths": 30},
        {"dim": 11, "multiple_of": 1, "tenths": 25},
        {"dim": 64, "multiple_of": 4, "tenths": 0},
        {"dim": 288, "multiple_of": 32, "tenths": 0},
        {"dim": 4096, "multiple_of": 256, "tenths": 0},
        {"dim": 5120, "multiple_of": 256, "tenths": 0},
        {"dim": 8192, "multiple_of": 4096, "tenths": 13},
    ),
    exact=True,
    hints=(
        "Three matrices of two thirds the width have as many numbers as two of the whole width, 4 * dim. What follows "
        "makes the width convenient for hardware.",
        "Round down after the two thirds, and again after the multiplier (when it is not None); only then round up.",
        "hidden = 2 * (4 * dim) // 3\n"
        "hidden = hidden if multiplier is None else int(multiplier * hidden)\n"
        "return multiple_of * ((hidden + multiple_of - 1) // multiple_of)",
    ),
    mistakes=(
        Mistake(
            "Your function forgets the two thirds: it starts from 4 * dim.",
            "4 * dim is the width of a layer of two matrices; SwiGLU has three, each 2/3 as wide.",
            lambda d, m, k: _up_to(int((k or 1) * 4 * d), m),
        ),
        Mistake(
            "Your function rounds down to a multiple of multiple_of.",
            "The rule rounds up: 7B has 10922, which becomes 11008.",
            lambda d, m, k: m * (int((k or 1) * (8 * d // 3)) // m),
        ),
        Mistake(
            "Your function rounds to the nearest multiple of multiple_of.",
            "The rule rounds up: 13B has 13653, 53 times 256 and 85 more, which becomes 54 * 256 = 13824.",
            lambda d, m, k: m * math.floor(int((k or 1) * (8 * d // 3)) / m + 0.5),
        ),
        Mistake(
            "Your function always goes to the next multiple, even where the width is one already.",
            "288 gives 768 = 24 * 32, which stays. Use (n + multiple_of - 1) // multiple_of.",
            lambda d, m, k: m * (int((k or 1) * (8 * d // 3)) // m + 1),
        ),
        Mistake(
            "Your function multiplies after rounding up.",
            "The multiplier comes before: 70B has 21845, 28398, then 28672.",
            _rounded_first,
        ),
        Mistake(
            "Your function ignores the multiplier.",
            "70B has one, 1.3, and so the 28672 instead of 24576.",
            lambda d, m, k: swiglu_hidden_dim(d, m, None),
        ),
        Mistake(
            "Your function does not round down between the two thirds and the multiplier.",
            "Meta's code makes an integer of both steps, one after the other. It seldom matters, but a file made by "
            "that code must load.",
            _one_floor,
        ),
        Mistake(
            "Your function rounds two thirds of 4 * dim up instead of down.",
            "int(2 * hidden / 3) of Meta's code cuts the fraction off.",
            lambda d, m, k: _up_to(int((k or 1) * math.ceil(8 * d / 3)), m),
        ),
    ),
)

# --- swiglu_backward --------------------------------------------------------------------


def _make_backward(rng: np.random.Generator, B: int, T: int, hidden: int, spread: int) -> tuple[Any, ...]:
    dy, up = rng.normal(size=(2, B, T, hidden)).astype(np.float32)
    return dy, (spread * rng.normal(size=(B, T, hidden))).astype(np.float32), up


def _slope(z):
    """silu'(z)."""
    s = _sigmoid(z)
    return s * (1 + z * (1 - s))


def _backward(dy, gate, up):
    return dy * up * _slope(gate), dy * _silu(gate)


def _torch_backward(dy, gate, up):
    import torch

    gate, up = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (gate, up))
    (torch.nn.functional.silu(gate) * up).backward(torch.tensor(dy, dtype=torch.float64))
    return gate.grad.numpy(), up.grad.numpy()


def _quotient_rule(dy, gate, up):
    e = np.exp(-gate)
    return dy * up * (1 / (1 + e) + gate * e / (1 + e) ** 2), dy * _silu(gate)


BACKWARD = Exercise(
    id="swiglu_backward",
    chapter="08",
    title="The gradient of the gate",
    task="Gradients of a loss with respect to gate and up, given dy, its gradient with respect to silu(gate) * up.",
    difficulty=2,
    minutes=20,
    reference=_backward,
    make=_make_backward,
    shapes=(
        {"B": 1, "T": 1, "hidden": 4, "spread": 2},
        {"B": 1, "T": 1, "hidden": 1, "spread": 1},
        {"B": 2, "T": 3, "hidden": 5, "spread": 2},
        {"B": 3, "T": 2, "hidden": 33, "spread": 3},
        {"B": 3, "T": 5, "hidden": 16, "spread": 200},
    ),
    axes=("batch", "position", "hidden"),
    outputs=("dgate", "dup"),
    oracle=_torch_backward,
    hints=(
        "y = silu(gate) * up is a product. What multiplies up in it is up's gradient, times dy; and the other way "
        "round, with the slope of silu.",
        "With s = sigmoid(z), s' = s (1 - s). The product rule on z * s gives silu'(z) = s + z s (1 - s).",
        "s = sigmoid(gate)                                   # the stable one\n"
        "dgate = dy * up * s * (1 + gate * (1 - s))\n"
        "dup = dy * gate * s",
    ),
    mistakes=(
        Mistake(
            "Your slope of SiLU is sigmoid(z): half of the product rule is missing.",
            "z occurs twice in z * sigmoid(z): the slope is s + z s (1 - s).",
            lambda dy, g, u: (dy * u * _sigmoid(g), dy * _silu(g)),
        ),
        Mistake(
            "Your slope of SiLU is that of the sigmoid, s (1 - s).",
            "SiLU is z * sigmoid(z), and needs the product rule: s + z s (1 - s).",
            lambda dy, g, u: (dy * u * _sigmoid(g) * (1 - _sigmoid(g)), dy * _silu(g)),
        ),
        Mistake(
            "Your slope of SiLU has the wrong sign in its second term.",
            "sigmoid rises: s' = +s (1 - s), so the slope is s + z s (1 - s).",
            lambda dy, g, u: (dy * u * _sigmoid(g) * (1 - g * (1 - _sigmoid(g))), dy * _silu(g)),
        ),
        Mistake(
            "Your dgate lacks the factor up.",
            "The gate's gradient is everything that multiplies silu(gate) in y, and that is up.",
            lambda dy, g, u: (dy * _slope(g), dy * _silu(g)),
        ),
        Mistake(
            "Your dup is dy * gate: the gate has not gone through SiLU.",
            "y = silu(gate) * up, so dup = dy * silu(gate).",
            lambda dy, g, u: (dy * u * _slope(g), dy * g),
        ),
        Mistake(
            "Your function returns the two gradients in the other order.",
            "Gradients come in the order of the arguments: dgate, then dup.",
            lambda dy, g, u: _backward(dy, g, u)[::-1],
        ),
        Mistake(
            "Your function does not use dy.",
            "The chain rule multiplies by the gradient that arrives from above.",
            lambda dy, g, u: (u * _slope(g), _silu(g)),
        ),
        Mistake(
            "Your function divides infinity by infinity where the gate is far below 0.",
            "exp(-z) / (1 + exp(-z))**2 is NaN for z below -88, where exp(-z) is infinite. Write the slope with the "
            "sigmoid alone: s (1 - s).",
            _quotient_rule,
        ),
    ),
)

EXERCISES = (SILU, SWIGLU, FEED_FORWARD, FUSED, HIDDEN_DIM, BACKWARD)
