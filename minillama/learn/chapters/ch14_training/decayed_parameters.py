"""What is decayed."""

from __future__ import annotations

import numpy as np

from ....config import ModelConfig
from ...exercises.exercise import exercise
from .inputs import Arrays


def make_shapes(rng: np.random.Generator, n_layers: int, dim: int, tied: int) -> Arrays:
    from ....params import expected_shapes

    config = ModelConfig(
        dim=2 * dim, n_layers=n_layers, n_heads=1, hidden_dim=3 * dim, vocab_size=7, max_seq_len=8, tied=bool(tied)
    )
    shapes = dict(expected_shapes(config))
    if n_layers > 1:  # what other models have: names tell nothing, the number of dimensions does
        shapes |= {"norm_proj": (dim, 2 * dim), "conv": (2 * dim, dim, 3), "bias": (dim,), "scale": (1,)}
        shapes |= {"temperature": (), "patches": (dim, 3, 2, 2)}
        shapes |= {"attention_bias": (dim, 7), "layer_scale": (2 * dim,)}
    return (shapes,)


@exercise(
    title="What is decayed",
    task="The names of the parameters that weight decay acts on: those of two dimensions or more, in their order.",
    difficulty=1,
    minutes=5,
    make=make_shapes,
    shapes=(
        {"n_layers": 1, "dim": 1, "tied": 1},
        {"n_layers": 1, "dim": 2, "tied": 0},
        {"n_layers": 2, "dim": 3, "tied": 1},
        {"n_layers": 3, "dim": 1, "tied": 0},
    ),
    exact=True,
    hints=(
        "A norm's weight has one dimension and starts at 1. Should something pull it towards 0?",
        "shapes.items() gives pairs of a name and a shape; len(shape) is the number of dimensions.",
        "[name for name, shape in shapes.items() if len(shape) >= 2]",
    ),
    why=(
        "A matrix multiplies what runs through it, and a pull towards 0 limits how strongly; the weight of a norm "
        "sets a scale, whose neutral value is 1 and not 0. The number of axes tells the two apart without knowing a "
        "name, so the rule fits any model. Embedding and head are matrices and decay with the others."
    ),
)
def decayed_parameters(shapes):
    """The names of the parameters that weight decay acts on: those of two dimensions or more.

    The paper does not say which are exempt; this is what llama2.c and nanoGPT do.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        "layers.0.wq": (64, 64) and so on, in the model's order; of any model, with any names.

    Returns
    -------
    list of str, in the same order
    """
    return [name for name, shape in shapes.items() if len(shape) >= 2]


@decayed_parameters.mistake(
    "Your function decays everything, the norms' weights too.",
    "Those are factors around 1; a pull towards 0 shrinks whole layers. Matrices and the embedding only.",
)
def decays_everything(shapes):
    return list(shapes)


@decayed_parameters.mistake(
    "Your function exempts the embedding.",
    "Some codes do. Here, as in llama2.c and nanoGPT, all that has two dimensions is decayed.",
)
def exempts_embedding(shapes):
    return [n for n, s in shapes.items() if len(s) >= 2 and n != "token_embedding"]


@decayed_parameters.mistake(
    "Your function exempts embedding and output head.",
    "Some codes do. Here, as in llama2.c and nanoGPT, all that has two dimensions is decayed.",
)
def exempts_embedding_and_output_head(shapes):
    return [n for n, s in shapes.items() if len(s) >= 2 and n not in ("token_embedding", "output")]


@decayed_parameters.mistake(
    "Your function exempts the layers' norms but decays final_norm.",
    "The last norm is one as well. Ask for the number of dimensions instead of names.",
)
def exempts_layers_norms_but_decays_final_norm(shapes):
    return [n for n, s in shapes.items() if len(s) >= 2 or n == "final_norm"]


@decayed_parameters.mistake(
    "Your function returns those that are exempt.",
    "Asked for are the names that are decayed.",
)
def returns_those_that_are_exempt(shapes):
    return [n for n, s in shapes.items() if len(s) < 2]
