"""How many parameters?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ....config import ModelConfig
from ....params import count_parameters as package_count
from ...exercises.exercise import exercise
from .inputs import make_config


def _make_config(rng: np.random.Generator, **dims: int) -> tuple[Any, ...]:
    if dims["dim"] % dims["n_heads"] or dims["n_heads"] % dims["n_kv_heads"]:
        raise ValueError("the width is shared out among heads, and the heads among key heads")
    return (make_config(**dims),)


def count(config):
    return package_count(ModelConfig(**config))


@exercise(
    title="How many parameters?",
    task="Count every number that a Llama of this configuration learns: 7B and 70B must come out exactly.",
    difficulty=2,
    minutes=20,
    same_as=count,
    make=_make_config,
    shapes=tuple(
        dict(zip(("dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "hidden_dim", "vocab_size", "tied"), numbers))
        for numbers in (
            (4, 1, 1, 1, 2, 6, 5, 0),
            (8, 3, 4, 2, 6, 10, 7, 1),
            (64, 5, 8, 4, 8, 172, 512, 1),
            (576, 30, 9, 3, 64, 1536, 49152, 1),
            (4096, 32, 32, 32, 128, 11008, 32000, 0),
            (8192, 80, 64, 8, 128, 28672, 32000, 0),
        )
    ),
    exact=True,
    hints=(
        "List the arrays of one layer with their shapes: four matrices of attention, three of the feed-forward "
        "layer, two norms. Then what stands outside of the layers.",
        "wq and wo are dim by n_heads * head_dim; wk and wv are dim by n_kv_heads * head_dim. A norm has dim numbers. "
        "Outside: the embedding, one last norm, and an output head unless it is tied.",
        "attention = 2 * dim * head_dim * (n_heads + n_kv_heads)\n"
        "layer = attention + 3 * dim * hidden_dim + 2 * dim\n"
        "tables = (1 if tied else 2) * vocab_size * dim      # and one more norm at the end",
    ),
    why=(
        "A matrix counts rows times columns: wq and wo have n_heads * head_dim * dim numbers each, wk and wv "
        "n_kv_heads * head_dim * dim, hence the factor 2 before the sum of the two kinds of heads. The output head is "
        "as large as the embedding, which is why small models share one table between the two. What is added last is "
        "the norm in front of the head."
    ),
)
def count_parameters(config):
    """How many numbers a Llama learns.

    Every layer has wq, wk, wv, wo, three matrices of the feed-forward layer and two norms; outside
    are the token embedding, a last norm, and an output head unless it is tied to the embedding.
    There are no biases. LLaMA 2 7B has 6 738 415 616.

    Parameters
    ----------
    config : dict

    Returns
    -------
    n : int
    """
    c = config
    attention = 2 * c["dim"] * c["head_dim"] * (c["n_heads"] + c["n_kv_heads"])  # wq, wo; wk, wv
    feed_forward = 3 * c["dim"] * c["hidden_dim"]
    layers = c["n_layers"] * (attention + feed_forward + 2 * c["dim"])
    tables = (1 if c["tied"] else 2) * c["vocab_size"] * c["dim"]
    return layers + tables + c["dim"]


def count_with(**changes):
    """The count of a configuration in which a number is another one."""
    return lambda config: count({**config, **{name: change(config) for name, change in changes.items()}})


count_parameters.mistake(
    "Your function counts keys and values as if there were one for every query head.",
    "Under grouped-query attention wk and wv have n_kv_heads * head_dim rows: 70B has 8 of them, not 64.",
    count_with(n_kv_heads=lambda c: c["n_heads"]),
)


@count_parameters.mistake(
    "Your function counts two matrices in the feed-forward layer.",
    "SwiGLU has three: gate, up and down.",
)
def counts_two_matrices_in_the_ffn(config):
    return count(config) - config["n_layers"] * config["dim"] * config["hidden_dim"]


count_parameters.mistake(
    "Your function counts an output head even where it is tied.",
    "A tied head is the embedding itself: one table, counted once.",
    count_with(tied=lambda c: False),
)

count_parameters.mistake(
    "Your function never counts the output head.",
    "No LLaMA 2 is tied: the head is a second table of vocab_size * dim.",
    count_with(tied=lambda c: True),
)


@count_parameters.mistake(
    "Your function leaves out all norms.",
    "Two in every layer and one at the end, dim numbers each.",
)
def leaves_out_all_norms(config):
    return count(config) - (2 * config["n_layers"] + 1) * config["dim"]


@count_parameters.mistake(
    "Your function leaves out the last norm, before the output head.",
    "The residual stream is normalised once more after the last layer: dim numbers.",
)
def leaves_out_last_norm(config):
    return count(config) - config["dim"]


@count_parameters.mistake(
    "Your function counts one norm a layer.",
    "Attention and feed-forward layer have one each.",
)
def counts_one_norm_layer(config):
    return count(config) - config["n_layers"] * config["dim"]


@count_parameters.mistake(
    "Your function takes the heads to be dim / n_heads wide.",
    "head_dim is a number of its own: n_heads * head_dim may be more or less than dim.",
)
def takes_heads_to_be_dim_by_n_heads_wide(config):
    c = config
    too_wide = c["dim"] // c["n_heads"] - c["head_dim"]
    return count(c) + c["n_layers"] * 2 * c["dim"] * too_wide * (c["n_heads"] + c["n_kv_heads"])


@count_parameters.mistake(
    "Your function counts a bias for every row of every matrix.",
    "A Llama has no biases at all.",
)
def counts_biases(config):
    return (
        count(config)
        + config["n_layers"] * ((config["n_heads"] + 2 * config["n_kv_heads"]) * config["head_dim"] + 2 * config["dim"])
        + config["n_layers"] * 2 * config["hidden_dim"]
    )
