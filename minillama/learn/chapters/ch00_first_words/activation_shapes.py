"""Predict the shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import make_config


def make_call(rng: np.random.Generator, B: int, T: int, n_past: int, **dims: int) -> tuple[Any, ...]:
    return make_config(**dims), B, T, n_past


def torch_shapes(config, batch, n_tokens, n_past):
    """Tensors without memory go through the layers of a model of any size."""
    import torch
    from torch.nn.functional import linear

    c = config

    def empty(*shape):
        return torch.empty(shape, device="meta")

    def heads(x, n):
        return x.view(batch, n_tokens, n, c["head_dim"]).transpose(1, 2)

    x = empty(batch, n_tokens, c["dim"])
    q = heads(linear(x, empty(c["n_heads"] * c["head_dim"], c["dim"])), c["n_heads"])
    k = heads(linear(x, empty(c["n_kv_heads"] * c["head_dim"], c["dim"])), c["n_kv_heads"])
    k = torch.cat((empty(batch, c["n_kv_heads"], n_past, c["head_dim"]), k), dim=2)
    repeated = k.repeat_interleave(c["n_heads"] // c["n_kv_heads"], dim=1)
    scores = q @ repeated.transpose(2, 3)
    joined = (scores @ repeated).transpose(1, 2).reshape(batch, n_tokens, -1)
    gate = linear(x, empty(c["hidden_dim"], c["dim"]))
    logits = linear(x, empty(c["vocab_size"], c["dim"]))
    arrays = {"residual": x, "query": q, "key": k, "scores": scores, "joined": joined, "gate": gate, "logits": logits}
    return {name: tuple(a.shape) for name, a in arrays.items()}


def plain_shapes(function, args):
    """Lists and arrays are as good as tuples."""
    result = function(*args)
    if not isinstance(result, dict):
        return result
    return {
        name: tuple(shape) if isinstance(shape, tuple | list | np.ndarray) else shape for name, shape in result.items()
    }


@exercise(
    title="Predict the shapes",
    task="Say the shape of every array on a token's way, for a chunk of T tokens that follows n_past cached ones.",
    difficulty=2,
    minutes=20,
    make=make_call,
    shapes=tuple(
        dict(
            zip(
                ("B", "T", "n_past", "dim", "n_heads", "n_kv_heads", "head_dim", "hidden_dim", "vocab_size"),
                numbers,
            )
        )
        for numbers in (
            (1, 2, 0, 4, 2, 1, 2, 6, 5),
            (1, 1, 7, 8, 4, 2, 6, 10, 9),
            (3, 5, 2, 64, 8, 4, 8, 172, 512),
            (2, 1, 0, 576, 9, 3, 64, 1536, 49152),
            (1, 512, 3584, 8192, 64, 8, 128, 28672, 32000),
        )
    ),
    observe=plain_shapes,
    exact=True,
    oracle=torch_shapes,
    hints=(
        "Follow one token: the residual stream has dim numbers for it from the embedding to the last norm. Only inside "
        "of attention and of the feed-forward layer is it anything else.",
        "Heads come before positions: (B, heads, positions, head_dim). Queries exist for the T new tokens alone; keys "
        "for all n_past + T, and there are only n_kv_heads of them.",
        '"query": (B, n_heads, T, head_dim), "key": (B, n_kv_heads, n_past + T, head_dim),\n'
        '"scores": (B, n_heads, T, n_past + T), "joined": (B, T, n_heads * head_dim), ...',
    ),
    why=(
        "Only keys reach back: what new tokens compute about themselves has n_tokens rows, what they look at has "
        "n_past + n_tokens. Scores belong to pairs and have both numbers; they have a head for every query head, "
        "since heads that share a key still ask different questions. Side by side the heads need not be as wide as "
        "the model, and wo brings them back to dim."
    ),
)
def activation_shapes(config, batch, n_tokens, n_past):
    """The shapes of the arrays on a token's way through one layer, and at the end.

    A chunk of T = n_tokens new tokens of every sequence arrives; the keys of n_past earlier ones
    are in the cache and take part.

    Parameters
    ----------
    config : dict
    batch, n_tokens, n_past : int

    Returns
    -------
    shapes : dict of tuple
        residual   what runs from layer to layer
        query      split in heads, which stand before the positions
        key        those of the cache and the new ones
        scores     of every query against every key
        joined     the results of all heads side by side, before wo
        gate       inside of the feed-forward layer
        logits     of every new position
    """
    c, n_keys = config, n_past + n_tokens
    return {
        "residual": (batch, n_tokens, c["dim"]),
        "query": (batch, c["n_heads"], n_tokens, c["head_dim"]),
        "key": (batch, c["n_kv_heads"], n_keys, c["head_dim"]),
        "scores": (batch, c["n_heads"], n_tokens, n_keys),
        "joined": (batch, n_tokens, c["n_heads"] * c["head_dim"]),
        "gate": (batch, n_tokens, c["hidden_dim"]),
        "logits": (batch, n_tokens, c["vocab_size"]),
    }


def shapes_with(**changes):
    """The right shapes but for some, each from (right shapes, config, batch, n_tokens, n_past)."""

    def wrong(*args):
        right = activation_shapes(*args)
        return {**right, **{name: change(right, *args) for name, change in changes.items()}}

    return wrong


activation_shapes.mistake(
    "Your queries have their axes in the order (batch, position, head, dim).",
    "That is the order in which they come out of the matrix. Attention wants the heads in front: (batch, "
    "head, position, dim), so that every head is a matrix of its own.",
    shapes_with(query=lambda right, c, B, T, n: (B, T, c["n_heads"], c["head_dim"])),
)

activation_shapes.mistake(
    "Your keys have as many heads as your queries.",
    "n_kv_heads of them are computed and cached; each serves a group of query heads.",
    shapes_with(key=lambda right, c, B, T, n: (B, c["n_heads"], n + T, c["head_dim"])),
)

activation_shapes.mistake(
    "Your keys are those of the new tokens alone.",
    "The keys of the earlier ones lie in the cache and take part: n_past + T positions.",
    shapes_with(key=lambda right, c, B, T, n: (B, c["n_kv_heads"], T, c["head_dim"])),
)

activation_shapes.mistake(
    "Your scores are as many rows as columns.",
    "A row for each new token, a column for each token it can look at, cached ones too: (T, n_past + T).",
    shapes_with(scores=lambda right, c, B, T, n: (B, c["n_heads"], T, T)),
)

activation_shapes.mistake(
    "Your scores have a row for every cached token too.",
    "The cached tokens asked their questions before: there are T new queries.",
    shapes_with(scores=lambda right, c, B, T, n: (B, c["n_heads"], n + T, n + T)),
)

activation_shapes.mistake(
    "Your scores have n_kv_heads heads.",
    "Every query head has scores of its own, even where several look at the same keys.",
    shapes_with(scores=lambda right, c, B, T, n: (B, c["n_kv_heads"], T, n + T)),
)

activation_shapes.mistake(
    "Your joined heads are dim wide.",
    "They are n_heads * head_dim wide; wo brings that to dim. The two are the same in LLaMA 2, not everywhere.",
    shapes_with(joined=lambda right, c, B, T, n: (B, T, c["dim"])),
)

activation_shapes.mistake(
    "Your logits are those of the last position alone.",
    "Every position predicts the token after it: (B, T, vocab_size). Picking the last one comes later.",
    shapes_with(logits=lambda right, c, B, T, n: (B, c["vocab_size"])),
)
