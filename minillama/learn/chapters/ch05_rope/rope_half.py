"""Hugging Face's layout."""

from __future__ import annotations

import numpy as np

from ...exercises.exercise import exercise
from .inputs import AXES, SHAPES, make_inputs
from .variants import first_of_batch, half, interleaved, overwritten, without_gaps


def transformers_half(x, cos, sin, positions):
    import torch
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    wide, c, s = (torch.tensor(a, dtype=torch.float64) for a in (x, cos[positions], sin[positions]))
    return apply_rotary_pos_emb(wide, wide, torch.cat((c, c), -1), torch.cat((s, s), -1))[0].numpy()


@exercise(
    title="Hugging Face's layout",
    task="The same rotation, but the pairs are (x[i], x[i + head_dim/2]): what transformers calls rotate_half.",
    difficulty=2,
    minutes=10,
    make=make_inputs,
    shapes=SHAPES,
    axes=AXES,
    oracle=transformers_half,
    hints=(
        "Only the pairing changes: the first half of the last axis holds the first members, the second half the "
        "second.",
        "np.split(x, 2, axis=-1) gives both halves; each has shape (B, H, T, head_dim/2), as the cosines have.",
        "first, second = np.split(x, 2, axis=-1)\n"
        "return np.concatenate((first * c - second * s, first * s + second * c), axis=-1)",
    ),
    why=(
        "Which two numbers make a pair is a matter of order alone, so the halves of a head take the places of its "
        "even and odd numbers and the rotation stays. Hugging Face has reordered the rows of wq and wk to match, and "
        "all scores come out the same. A file does not say which order its rows are in, and the wrong one gives no "
        "error, only bad text."
    ),
)
def rope_half(x, cos, sin, positions):
    """The same rotation in Hugging Face's layout: the pairs are (x[i], x[i + head_dim / 2]).

    Parameters and result as in `rope_interleaved`: same dtype as `x`.
    """
    c, s = cos[positions][:, None], sin[positions][:, None]
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate((first * c - second * s, first * s + second * c), axis=-1)


@rope_half.mistake(
    "Your function rotates neighbours, (x[2i], x[2i+1]).",
    "That is Meta's layout, the exercise before. Here element i belongs to element i + head_dim/2.",
)
def rotates_neighbours(x, cos, sin, positions):
    return interleaved(x, cos, sin, positions)


@rope_half.mistake(
    "Your function turns every pair the wrong way round.",
    "rotate_half is (-second, first): the minus belongs to the second half.",
)
def turns_the_wrong_way_round(x, cos, sin, positions):
    return half(x, cos, -sin, positions)


@rope_half.mistake(
    "Your function adds where it has to subtract.",
    "A rotation has one minus: first * cos - second * sin. Without it lengths change.",
)
def half_unturned(x, cos, sin, positions):
    """rotate_half without the minus."""
    c, s = cos[positions][:, None], sin[positions][:, None]
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate((a * c + b * s, a * s + b * c), axis=-1)


@rope_half.mistake(
    "Your function gives neighbours the same angle.",
    "In this layout the angles of the first half are those of the second: np.concatenate((cos, cos), -1), "
    "not np.repeat.",
)
def half_repeated(x, cos, sin, positions):
    """Angles repeated for neighbours, on halves: np.repeat instead of np.tile."""
    c, s = np.repeat(cos[positions], 2, axis=-1)[:, None], np.repeat(sin[positions], 2, axis=-1)[:, None]
    a, b = np.split(x, 2, axis=-1)
    return x * c + np.concatenate((-b, a), axis=-1) * s


@rope_half.mistake(
    "Your function counts positions from 0 in every call.",
    "Use `positions` to look up cos and sin: a chunk need not start at 0.",
)
def counts_positions_from_0_in_every_call(x, cos, sin, positions):
    return half(x, cos, sin, np.broadcast_to(np.arange(x.shape[2]), positions.shape))


@rope_half.mistake(
    "Your function has overwritten the first half before the second one used it.",
    "Both new halves need both old ones, and a slice of an array is no copy: write into a new array.",
)
def overwrites_the_first_half(x, cos, sin, positions):
    n = x.shape[-1] // 2
    return overwritten(x, cos, sin, positions, slice(n), slice(n, None))


@rope_half.mistake(
    "Your function rotates neighbours, and puts the results into halves.",
    "Here the pairs themselves are (x[i], x[i + head_dim/2]): np.split(x, 2, axis=-1) where you have x[..., 0::2] and "
    "x[..., 1::2].",
)
def neighbours_into_halves(x, cos, sin, positions):
    y = interleaved(x, cos, sin, positions)
    return np.concatenate((y[..., 0::2], y[..., 1::2]), axis=-1)


@rope_half.mistake(
    "Your function rotates the halves, but puts each pair side by side.",
    "Element i of the second half goes back to i + head_dim/2: np.concatenate, not np.stack.",
)
def halves_side_by_side(x, cos, sin, positions):
    return np.stack(np.split(half(x, cos, sin, positions), 2, axis=-1), axis=-1).reshape(x.shape)


@rope_half.mistake(
    "Your function uses the first sequence's positions for the whole batch.",
    "Every sequence of a batch has its own positions: cos[positions] has the shape (B, T, head_dim/2).",
)
def uses_the_first_positions_for_all(x, cos, sin, positions):
    return half(x, cos, sin, first_of_batch(positions))


@rope_half.mistake(
    "Your function lets the positions run on by one from the first of each sequence.",
    "There may be gaps, and any order: look up every row's own position, positions[b, t].",
)
def positions_run_on(x, cos, sin, positions):
    return half(x, cos, sin, without_gaps(positions))
