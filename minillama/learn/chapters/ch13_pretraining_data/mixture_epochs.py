"""Up-sampling is an epoch count."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_mixture(rng: np.random.Generator, sources: int) -> tuple[Any, ...]:
    return (
        rng.integers(200, 9000, sources),
        rng.integers(1, 70, sources).astype(np.float64),
        int(rng.integers(10_000, 100_000)),
    )


@exercise(
    title="Up-sampling is an epoch count",
    difficulty=1,
    minutes=8,
    make=make_mixture,
    axes=("source",),
    shapes=({"sources": 1}, {"sources": 2}, {"sources": 3}, {"sources": 7}, {"sources": 12}),
    hints=(
        "A weight says which share of all drawn tokens comes from the source, whatever its size.",
        "Tokens drawn from a source, divided by the tokens that it has, is how often each of them was seen.",
        "return weights / weights.sum() * n_tokens / sizes",
    ),
    why=(
        "The share of a source times all that is drawn is what it gives, and divided by its size that is how often it "
        "is read. A small source with a large weight is repeated: at first that helps, later it is learned by heart. "
        "Divided by their sum, the weights may have any common factor."
    ),
)
def mixture_epochs(sizes, weights, n_tokens):
    """How often each source's tokens are seen when tokens are drawn by weights.

    Parameters
    ----------
    sizes : int array (n,)
        Tokens of each source.
    weights : float array (n,)
        Which share of the drawn tokens comes from each source, up to a common factor.
    n_tokens : int
        Tokens drawn in all.

    Returns
    -------
    float array (n,)
        Epochs of each source.
    """
    return weights / weights.sum() * n_tokens / sizes


@mixture_epochs.mistake(
    "Your function does not divide the weights by their sum.",
    "Weights are proportions, such as 67 : 15 : 4.5; shares are weights / weights.sum().",
)
def does_not_divide_weights_by_their_sum(sizes, weights, n_tokens):
    return weights * n_tokens / sizes


@mixture_epochs.mistake(
    "Your function multiplies the weights with the sizes before it makes shares of them.",
    "Then a weight would be an epoch count. Here it is the share of the drawn tokens, independent of the size.",
)
def multiplies_weights_with_sizes(sizes, weights, n_tokens):
    return weights * sizes / (weights * sizes).sum() * n_tokens / sizes


@mixture_epochs.mistake(
    "Your function gives the tokens drawn from each source.",
    "Divide by the source's size: an epoch is all of its tokens once.",
)
def gives_tokens_drawn_from_each_source(sizes, weights, n_tokens):
    return weights / weights.sum() * n_tokens


@mixture_epochs.mistake(
    "Your function gives the same number of epochs to all sources: it draws by size.",
    "That is what happens without weights. The weights decide, the sizes only tell how soon a source is through.",
)
def gives_same_number_of_epochs_to_all(sizes, weights, n_tokens):
    return np.full(len(sizes), n_tokens / sizes.sum())


@mixture_epochs.mistake(
    "Your function divides the size by the tokens drawn.",
    "That is the share of a source per token; epochs are tokens drawn over size.",
)
def divides_size_by_tokens_drawn(sizes, weights, n_tokens):
    return sizes / (weights / weights.sum() * n_tokens)
