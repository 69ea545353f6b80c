"""Chapter 05, RoPE: rotate pairs, in both layouts, behind a cache and back; permute weights from one to the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...layers.rope import (
    RoPECache,
    half_to_interleaved,
    rope_forward,
    rope_forward_fast,
    rope_half_forward,
    rope_table,
)
from ..exercise import Exercise, Mistake, Speed

THETA = 10000.0
SHAPES = (
    {"B": 1, "T": 2, "H": 1, "head_dim": 4},
    {"B": 1, "T": 1, "H": 1, "head_dim": 2},
    {"B": 2, "T": 3, "H": 2, "head_dim": 6},
    {"B": 3, "T": 7, "H": 5, "head_dim": 8},
    {"B": 1, "T": 33, "H": 3, "head_dim": 64},
)
AXES = ("batch", "head", "position", "dim")


def _make(rng: np.random.Generator, B: int, T: int, H: int, head_dim: int) -> tuple[Any, ...]:
    """x (B, H, T, head_dim), the table, and positions that start anywhere, each sequence at its own."""
    if head_dim % 2:
        raise ValueError("head_dim must be even")
    x = rng.normal(size=(B, H, T, head_dim)).astype(np.float32)
    cos, sin = rope_table(head_dim, T + 12, THETA)
    start = rng.integers(0, 12, (B, 1)) if B > 1 or T > 2 else np.zeros((B, 1), np.int64)
    return x, cos, sin, start + np.arange(T)


# --- rope_interleaved -------------------------------------------------------------------


def _interleaved(x, cos, sin, positions):
    return rope_forward(x, cos, sin, positions)[0]


def _half(x, cos, sin, positions):
    return rope_half_forward(x, cos, sin, positions)[0]


def _turned_back(x, cos, sin, positions):
    return _interleaved(x, cos, -sin, positions)


def _from_zero(x, cos, sin, positions):
    return _interleaved(x, cos, sin, np.broadcast_to(np.arange(x.shape[2]), positions.shape))


def _one_late(x, cos, sin, positions):
    return _interleaved(x, cos, sin, positions + 1)


def _head_as_position(x, cos, sin, positions):
    heads = np.broadcast_to(np.arange(x.shape[1])[:, None], x.shape[1:3])
    c, s = cos[heads], sin[heads]
    y = np.empty_like(x)
    y[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
    y[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
    return y


def _overwritten(x, cos, sin, positions):
    c, s = cos[positions][:, None], sin[positions][:, None]
    y = x.copy()
    y[..., 0::2] = y[..., 0::2] * c - y[..., 1::2] * s
    y[..., 1::2] = y[..., 0::2] * s + y[..., 1::2] * c
    return y


def _torch_interleaved(x, cos, sin, positions):
    """Meta's way: pairs of neighbours as complex numbers."""
    import torch

    pairs = torch.view_as_complex(torch.tensor(x, dtype=torch.float64).reshape(*x.shape[:-1], -1, 2))
    turn = torch.complex(torch.tensor(cos, dtype=torch.float64), torch.tensor(sin, dtype=torch.float64))
    turned = pairs * turn[torch.tensor(positions)][:, None]
    return torch.view_as_real(turned).flatten(-2).numpy()


def _naive(x, cos, sin, positions):
    y = np.empty_like(x)
    batch, heads, n_tokens, head_dim = x.shape
    for b in range(batch):
        for h in range(heads):
            for t in range(n_tokens):
                for i in range(head_dim // 2):
                    c, s = cos[positions[b, t], i], sin[positions[b, t], i]
                    even, odd = x[b, h, t, 2 * i], x[b, h, t, 2 * i + 1]
                    y[b, h, t, 2 * i] = even * c - odd * s
                    y[b, h, t, 2 * i + 1] = even * s + odd * c
    return y


def _torch_turn(x, cos, sin, positions):
    """For the speed card: tensors in, tensors out, float32."""
    import torch

    turned = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2)) * torch.complex(cos, sin)[positions][:, None]
    return torch.view_as_real(turned).flatten(-2)


ROPE_INTERLEAVED = Exercise(
    id="rope_interleaved",
    chapter="05",
    title="Rotate neighbouring pairs",
    task="Rotate the pairs (x[2i], x[2i+1]) of every head by the angles of their positions: Meta's layout.",
    difficulty=2,
    minutes=15,
    reference=_interleaved,
    make=_make,
    shapes=SHAPES,
    axes=AXES,
    oracle=_torch_interleaved,
    op=lambda f: {"rope_forward": lambda x, cos, sin, p: (f(x, cos, sin, p), RoPECache(cos, sin, p))},
    speed=Speed(
        dims={"B": 1, "T": 512, "H": 9, "head_dim": 64},
        flops=lambda B, T, H, head_dim: 3 * B * T * H * head_dim,
        bytes=lambda B, T, H, head_dim: 4 * (2 * B * T * H * head_dim + B * T * head_dim) + 8 * B * T,
        naive=_naive,
        fast=lambda x, cos, sin, positions: rope_forward_fast(x, cos, sin, positions)[0],
        torch=_torch_turn,
    ),
    hints=(
        "Each pair is a point in the plane: turning it by an angle a gives (x cos a - y sin a, x sin a + y cos a). "
        "Which numbers of x make a pair, and which angle does it turn by?",
        "cos[positions] has shape (B, T, head_dim/2). x has (B, H, T, head_dim): an axis for the heads is missing. "
        "x[..., 0::2] are the first members of all pairs, x[..., 1::2] the second.",
        "c, s = cos[positions][:, None], sin[positions][:, None]\n"
        "y = np.empty_like(x)\n"
        "y[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s      # and the odd ones likewise, with s and c",
    ),
    mistakes=(
        Mistake(
            "Your function rotates the pairs (x[i], x[i + head_dim/2]).",
            "This exercise asks for neighbours, (x[2i], x[2i+1]). That is Hugging Face's rotate-half form: the "
            "trigonometry is right, only the pairing differs. Reshape the last axis to (head_dim/2, 2) before you "
            "rotate.",
            _half,
        ),
        Mistake(
            "Your function turns every pair the wrong way round.",
            "The sign of one sine is turned: x[2i] takes minus the sine, x[2i+1] takes plus.",
            _turned_back,
        ),
        Mistake(
            "Your function counts positions from 0 in every call.",
            "With a cache a chunk does not start at position 0, and each sequence of a batch has its own: use "
            "`positions` "
            "to look up cos and sin.",
            _from_zero,
        ),
        Mistake(
            "Your function uses the angle of the next position.",
            "Position 0 is not turned at all: the table's row for position m is row m.",
            _one_late,
        ),
        Mistake(
            "Your function turns by the index of the head, not of the position.",
            "cos[positions] has axes (batch, position, pair); x has (batch, head, position, dim). Insert the head's "
            "axis: "
            "cos[positions][:, None].",
            _head_as_position,
        ),
        Mistake(
            "Your function has overwritten the first number of each pair before the second one used it.",
            "Both new numbers need both old ones: keep the old ones in variables, or write into a new array.",
            _overwritten,
        ),
    ),
)

# --- rope_half --------------------------------------------------------------------------


def _half_unturned(x, cos, sin, positions):
    """rotate_half without the minus."""
    c, s = cos[positions][:, None], sin[positions][:, None]
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate((a * c + b * s, a * s + b * c), axis=-1)


def _half_repeated(x, cos, sin, positions):
    """Angles repeated for neighbours, on halves: np.repeat instead of np.tile."""
    c, s = np.repeat(cos[positions], 2, axis=-1)[:, None], np.repeat(sin[positions], 2, axis=-1)[:, None]
    a, b = np.split(x, 2, axis=-1)
    return x * c + np.concatenate((-b, a), axis=-1) * s


def _transformers_half(x, cos, sin, positions):
    import torch
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    wide, c, s = (torch.tensor(a, dtype=torch.float64) for a in (x, cos[positions], sin[positions]))
    return apply_rotary_pos_emb(wide, wide, torch.cat((c, c), -1), torch.cat((s, s), -1))[0].numpy()


ROPE_HALF = Exercise(
    id="rope_half",
    chapter="05",
    title="Hugging Face's layout",
    task="The same rotation, but the pairs are (x[i], x[i + head_dim/2]): what transformers calls rotate_half.",
    difficulty=2,
    minutes=10,
    reference=_half,
    make=_make,
    shapes=SHAPES,
    axes=AXES,
    oracle=_transformers_half,
    hints=(
        "Only the pairing changes: the first half of the last axis holds the first members, the second half the "
        "second.",
        "np.split(x, 2, axis=-1) gives both halves; each has shape (B, H, T, head_dim/2), as the cosines have.",
        "first, second = np.split(x, 2, axis=-1)\n"
        "return np.concatenate((first * c - second * s, first * s + second * c), axis=-1)",
    ),
    mistakes=(
        Mistake(
            "Your function rotates neighbours, (x[2i], x[2i+1]).",
            "That is Meta's layout, the exercise before. Here element i belongs to element i + head_dim/2.",
            _interleaved,
        ),
        Mistake(
            "Your function turns every pair the wrong way round.",
            "rotate_half is (-second, first): the minus belongs to the second half.",
            lambda x, cos, sin, p: _half(x, cos, -sin, p),
        ),
        Mistake(
            "Your function adds where it has to subtract.",
            "A rotation has one minus: first * cos - second * sin. Without it lengths change.",
            _half_unturned,
        ),
        Mistake(
            "Your function gives neighbours the same angle.",
            "In this layout the angles of the first half are those of the second: np.concatenate((cos, cos), -1), "
            "not np.repeat.",
            _half_repeated,
        ),
        Mistake(
            "Your function counts positions from 0 in every call.",
            "Use `positions` to look up cos and sin: a chunk need not start at 0.",
            lambda x, cos, sin, p: _half(x, cos, sin, np.broadcast_to(np.arange(x.shape[2]), p.shape)),
        ),
    ),
)

# --- permute_half_to_interleaved ----------------------------------------------------------


def _make_rows(rng: np.random.Generator, H: int, head_dim: int, D: int) -> tuple[Any, ...]:
    if head_dim % 2:
        raise ValueError("head_dim must be even")
    return rng.normal(size=(H * head_dim, D)).astype(np.float32), head_dim


def _inverse(rows, head_dim):
    return rows.reshape(-1, head_dim // 2, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def _across_heads(rows, head_dim):
    return rows.reshape(2, -1, rows.shape[1]).swapaxes(0, 1).reshape(rows.shape)


def _columns(rows, head_dim):
    n = rows.shape[1] // 2
    order = np.arange(2 * n).reshape(2, n).T.reshape(-1)
    return np.concatenate((rows[:, order], rows[:, 2 * n :]), axis=1)


def _no_swap(rows, head_dim):
    return rows.reshape(-1, 2, head_dim // 2, rows.shape[1]).reshape(rows.shape)


PERMUTE = Exercise(
    id="permute_half_to_interleaved",
    chapter="05",
    title="The permutation between them",
    task="Reorder the rows of wq or wk, head by head, from Hugging Face's layout to Meta's.",
    difficulty=2,
    minutes=15,
    reference=half_to_interleaved,
    make=_make_rows,
    shapes=(
        {"H": 1, "head_dim": 4, "D": 3},
        {"H": 1, "head_dim": 2, "D": 1},
        {"H": 2, "head_dim": 6, "D": 4},
        {"H": 3, "head_dim": 8, "D": 5},
        {"H": 5, "head_dim": 16, "D": 80},
    ),
    axes=("row", "column"),
    hints=(
        "Row b * head_dim/2 + i of a head (b = 0, 1) has to become row 2i + b. Every head by itself.",
        "A reshape gives the two indices b and i an axis of their own; exchanging the two axes exchanges their order.",
        "rows.reshape(-1, 2, head_dim // 2, rows.shape[1])   # (head, b, i, column)\n"
        "... .swapaxes(1, 2).reshape(rows.shape)",
    ),
    mistakes=(
        Mistake(
            "Your function goes the other way: from Meta's layout to Hugging Face's.",
            "For head_dim 4, Hugging Face's rows [0, 1, 2, 3] must come out as [0, 2, 1, 3]; for more than 4 the two "
            "directions differ. Split the axis in (2, head_dim/2), not in (head_dim/2, 2).",
            _inverse,
        ),
        Mistake(
            "Your function permutes all rows together, across the heads.",
            "Each head has its own pairs: the first axis of the reshape is the head.",
            _across_heads,
        ),
        Mistake(
            "Your function permutes the columns.",
            "wq is (H * head_dim, D): it is applied as x @ wq.T, so what becomes a dim of a head is a row.",
            _columns,
        ),
        Mistake(
            "Your function reshapes there and back, which changes nothing.",
            "Between the two reshapes the axes have to be exchanged.",
            _no_swap,
        ),
    ),
)

# --- rope_angles --------------------------------------------------------------------------


def _make_angles(rng: np.random.Generator, T: int, head_dim: int) -> tuple[Any, ...]:
    if head_dim % 2:
        raise ValueError("head_dim must be even")
    return head_dim, np.sort(rng.integers(0, 4096, T)), 10000.0 if T % 2 else 500000.0


def _angles(head_dim, positions, theta):
    return positions[:, None] * theta ** (-np.arange(0, head_dim, 2) / head_dim)


ROPE_ANGLES = Exercise(
    id="rope_angles",
    chapter="05",
    title="The angles",
    task="The angle of every pair at any positions: m * theta ** (-2i / head_dim). Positions need not begin at 0.",
    difficulty=1,
    minutes=5,
    reference=_angles,
    make=_make_angles,
    shapes=(
        {"T": 1, "head_dim": 4},
        {"T": 2, "head_dim": 2},
        {"T": 3, "head_dim": 8},
        {"T": 5, "head_dim": 6},
        {"T": 8, "head_dim": 64},
    ),
    axes=("position", "pair"),
    hints=(
        "One frequency for each pair, from 1 for the first one down to almost 1/theta. An angle is position "
        "times frequency.",
        "The exponents are -0/head_dim, -2/head_dim, -4/head_dim …: np.arange(0, head_dim, 2).",
        "frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)   # (head_dim/2,)\n"
        "then an outer product with positions",
    ),
    mistakes=(
        Mistake(
            "Your exponent is -i/head_dim: the frequencies fall half as fast as they should.",
            "The exponent is -2i/head_dim with i = 0 … head_dim/2 - 1: it reaches almost -1 at the last pair.",
            lambda d, p, t: p[:, None] * t ** (-np.arange(d // 2) / d),
        ),
        Mistake(
            "Your frequencies grow: the exponent has the wrong sign.",
            "The first pair turns fastest (frequency 1) and later ones more slowly.",
            lambda d, p, t: p[:, None] * t ** (np.arange(0, d, 2) / d),
        ),
        Mistake(
            "Your function uses 0, 1, 2 … instead of the positions it is given.",
            "In a cached chunk the first row is not position 0.",
            lambda d, p, t: np.arange(len(p))[:, None] * t ** (-np.arange(0, d, 2) / d),
        ),
        Mistake(
            "Your function uses theta = 10000 whatever it is given.",
            "Models that reach further have a larger theta (500000 in LLaMA 3): take the argument.",
            lambda d, p, t: _angles(d, p, 10000.0),
        ),
        Mistake(
            "Your last pair has exponent -1: the steps of the exponent are a little too long.",
            "Divide 2i by head_dim, not by head_dim - 2.",
            lambda d, p, t: p[:, None] * t ** (-np.arange(0, d, 2) / max(d - 2, 1)),
        ),
    ),
    rtol=1e-5,
)

# --- rope_backward ------------------------------------------------------------------------


def rope_backward(dy, cos, sin, positions):
    """The gradient of `rope_forward` with respect to x: turned back by the same angles."""
    return _interleaved(dy, cos, -sin, positions)


def _torch_gradient(dy, cos, sin, positions):
    import torch

    x = torch.zeros(dy.shape, dtype=torch.float64, requires_grad=True)
    c, s = (torch.tensor(a, dtype=torch.float64)[torch.tensor(positions)][:, None] for a in (cos, sin))
    even, odd = x[..., 0::2], x[..., 1::2]
    y = torch.stack((even * c - odd * s, even * s + odd * c), dim=-1).flatten(-2)
    y.backward(torch.tensor(dy, dtype=torch.float64))
    assert x.grad is not None
    return x.grad.numpy()


ROPE_BACKWARD = Exercise(
    id="rope_backward",
    chapter="05",
    title="The gradient",
    task="From the gradient of the rotated rows, compute that of the rows before the rotation (Meta's layout).",
    difficulty=1,
    minutes=10,
    reference=rope_backward,
    make=_make,
    shapes=SHAPES,
    axes=AXES,
    oracle=_torch_gradient,
    hints=(
        "A linear map y = R x has the gradient dx = transpose(R) dy. What is the transpose of a rotation?",
        "The transpose of [[cos, -sin], [sin, cos]] is [[cos, sin], [-sin, cos]]: the rotation by minus the angle.",
        "return rope_interleaved(dy, cos, -sin, positions)",
    ),
    mistakes=(
        Mistake(
            "Your function turns the gradient forward once more.",
            "The gradient passes the transposed matrix, and the transpose of a rotation turns the other way: "
            "the sines change their sign.",
            _interleaved,
        ),
        Mistake(
            "Your function has turned the sign of the whole matrix.",
            "Turning back by an angle changes the sign of the sines alone; the cosine of -a is that of a.",
            lambda dy, cos, sin, p: _interleaved(dy, -cos, sin, p),
        ),
        Mistake(
            "Your function returns the gradient as it came.",
            "A rotation keeps lengths, but not directions: the gradient has to be turned back.",
            lambda dy, cos, sin, p: dy.copy(),
        ),
        Mistake(
            "Your function turns back the pairs (x[i], x[i + head_dim/2]).",
            "Here the forward pass has rotated neighbours, (x[2i], x[2i+1]): the gradient has the same pairs.",
            lambda dy, cos, sin, p: _half(dy, cos, -sin, p),
        ),
        Mistake(
            "Your function counts positions from 0 in every call.",
            "The backward pass uses the very angles of the forward pass: look them up with `positions`.",
            lambda dy, cos, sin, p: rope_backward(dy, cos, sin, np.broadcast_to(np.arange(dy.shape[2]), p.shape)),
        ),
    ),
)

# --- rope_offsets -------------------------------------------------------------------------


def _make_offsets(rng: np.random.Generator, B: int, T: int, H: int, head_dim: int) -> tuple[Any, ...]:
    """x and how many tokens of every sequence lie in the cache already: never as many for two of them."""
    if head_dim % 2:
        raise ValueError("head_dim must be even")
    x = rng.normal(size=(B, H, T, head_dim)).astype(np.float32)
    lengths = rng.permutation(B + 8)[:B] + 1
    return x, lengths, 10000.0 if T % 2 else 500000.0


def rope_offsets(x, lengths, theta):
    """Rotate a chunk whose first row comes after `lengths[b]` tokens of sequence b."""
    return _at(x, lengths[:, None] + np.arange(x.shape[2]), theta)


def _at(x, positions, theta):
    positions = np.broadcast_to(positions, (x.shape[0], x.shape[2]))
    return _interleaved(x, *rope_table(x.shape[-1], int(positions.max()) + 1, theta), positions)


def _constant_angle(x, lengths, theta):
    """The offset added to the angles: every pair is shifted by the same angle."""
    frequencies = theta ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    angles = lengths[:, None, None] + np.arange(x.shape[2])[:, None] * frequencies  # (B, T, head_dim / 2)
    rows = np.arange(angles.shape[0] * angles.shape[1]).reshape(angles.shape[:2])
    flat = angles.reshape(-1, angles.shape[-1])
    return _interleaved(x, np.cos(flat).astype(x.dtype), np.sin(flat).astype(x.dtype), rows)


def _torch_offsets(x, lengths, theta):
    import torch

    frequencies = theta ** (-torch.arange(0, x.shape[-1], 2, dtype=torch.float64) / x.shape[-1])
    positions = torch.tensor(lengths)[:, None] + torch.arange(x.shape[2])
    angles = (positions[..., None] * frequencies)[:, None]  # (B, 1, T, head_dim / 2)
    pairs = torch.view_as_complex(torch.tensor(x, dtype=torch.float64).reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2).numpy()


ROPE_OFFSETS = Exercise(
    id="rope_offsets",
    chapter="05",
    title="A chunk behind the cache",
    task="Rotate new rows of sequences that have lengths[b] tokens in their caches already (Meta's layout).",
    difficulty=2,
    minutes=15,
    reference=rope_offsets,
    make=_make_offsets,
    shapes=(
        {"B": 1, "T": 2, "H": 1, "head_dim": 4},
        {"B": 1, "T": 1, "H": 1, "head_dim": 2},
        {"B": 2, "T": 1, "H": 3, "head_dim": 6},
        {"B": 3, "T": 5, "H": 2, "head_dim": 8},
        {"B": 2, "T": 8, "H": 3, "head_dim": 32},
    ),
    axes=AXES,
    oracle=_torch_offsets,
    hints=(
        "The tokens in the cache have the positions 0 ... lengths[b] - 1. Which position has the first new one?",
        "Positions have the shape (B, T): lengths[:, None] + np.arange(T). From there on it is rope_angles, cosine "
        "and sine, and the rotation of neighbours.",
        "positions = lengths[:, None] + np.arange(x.shape[2])            # (B, T)\n"
        "frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)\n"
        "angles = (positions[..., None] * frequencies)[:, None]          # (B, 1, T, head_dim/2)",
    ),
    mistakes=(
        Mistake(
            "Your function begins every chunk at position 0.",
            "The rows continue sequences: the first one stands at position lengths[b].",
            lambda x, lengths, theta: _at(x, np.arange(x.shape[2]), theta),
        ),
        Mistake(
            "Your function gives every sequence the offset of the first.",
            "Sequences of a batch differ in length: positions have the shape (B, T), not (T,).",
            lambda x, lengths, theta: rope_offsets(x, np.full_like(lengths, lengths[0]), theta),
        ),
        Mistake(
            "Your function gives every sequence the offset of the longest.",
            "That is right for padded caches only. Here each sequence continues at its own length.",
            lambda x, lengths, theta: rope_offsets(x, np.full_like(lengths, lengths.max()), theta),
        ),
        Mistake(
            "Your function gives all rows of a chunk the same position.",
            "Row t of the chunk stands t further on: lengths[:, None] + np.arange(T).",
            lambda x, lengths, theta: _at(x, lengths[:, None], theta),
        ),
        Mistake(
            "Your function is one position late.",
            "Positions count from 0: behind n tokens the next one has the position n, not n + 1.",
            lambda x, lengths, theta: rope_offsets(x, lengths + 1, theta),
        ),
        Mistake(
            "Your function is one position early.",
            "The last token in the cache has the position lengths[b] - 1; the first new one has lengths[b].",
            lambda x, lengths, theta: rope_offsets(x, lengths - 1, theta),
        ),
        Mistake(
            "Your function adds the length to the angles, not to the positions.",
            "Each pair turns at its own frequency: (position + length) * frequency, not position * frequency + length.",
            _constant_angle,
        ),
        Mistake(
            "Your function rotates the pairs (x[i], x[i + head_dim/2]).",
            "The positions are right; this exercise asks for neighbours, (x[2i], x[2i+1]).",
            lambda x, lengths, theta: _half(
                x,
                *rope_table(x.shape[-1], int(lengths.max()) + x.shape[2], theta),
                lengths[:, None] + np.arange(x.shape[2]),
            ),
        ),
        Mistake(
            "Your function uses theta = 10000 whatever it is given.",
            "Models that reach further have a larger theta: take the argument.",
            lambda x, lengths, theta: rope_offsets(x, lengths, 10000.0),
        ),
    ),
)

EXERCISES = (ROPE_ANGLES, ROPE_INTERLEAVED, ROPE_HALF, PERMUTE, ROPE_OFFSETS, ROPE_BACKWARD)
