"""What the cache costs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_sizes(
    rng: np.random.Generator, n_layers: int, n_kv_heads: int, group: int, head_dim: int, n_tokens: int, bytes_each: int
) -> tuple[Any, ...]:
    if head_dim % 2:
        raise ValueError("head_dim must be even")
    n_heads = n_kv_heads * group
    return n_layers, n_heads * head_dim, n_heads, n_kv_heads, n_tokens, bytes_each


@exercise(
    title="What the cache costs",
    task="The bytes that keys and values of n_tokens positions take in all layers, for any number of key heads.",
    difficulty=1,
    minutes=5,
    make=make_sizes,
    shapes=(
        {"n_layers": 2, "n_kv_heads": 3, "group": 2, "head_dim": 4, "n_tokens": 5, "bytes_each": 4},
        {"n_layers": 1, "n_kv_heads": 1, "group": 1, "head_dim": 2, "n_tokens": 1, "bytes_each": 2},
        {"n_layers": 30, "n_kv_heads": 3, "group": 3, "head_dim": 64, "n_tokens": 8192, "bytes_each": 4},
        {"n_layers": 32, "n_kv_heads": 32, "group": 1, "head_dim": 128, "n_tokens": 4096, "bytes_each": 2},
        {"n_layers": 80, "n_kv_heads": 8, "group": 8, "head_dim": 128, "n_tokens": 4096, "bytes_each": 2},
    ),
    exact=True,
    hints=(
        "For one position, one layer and one key head: how many numbers does the cache keep? Keys and values.",
        "2 * n_layers * n_kv_heads * head_dim numbers for each position. head_dim is dim divided by the number of "
        "*query* heads.",
        "return 2 * n_layers * n_kv_heads * (dim // n_heads) * n_tokens * bytes_per_number",
    ),
    why=(
        "A position leaves one key and one value for every key head of every layer; queries are used once and "
        "forgotten, so n_heads only decides how wide a head is. All of it is one product, and halving any factor "
        "halves the memory. The number of key heads is the one factor that can shrink eightfold while the model keeps "
        "all its questions."
    ),
)
def kv_cache_bytes_grouped(n_layers, dim, n_heads, n_kv_heads, n_tokens, bytes_per_number):
    """Bytes of the keys and values of one sequence, in all layers.

    Parameters
    ----------
    n_layers, dim, n_heads, n_kv_heads : int
        The shape of the model; a head is dim / n_heads wide.
    n_tokens : int
        Positions that are kept.
    bytes_per_number : int
        2 for float16, 4 for float32.

    Returns
    -------
    int
    """
    head_dim = dim // n_heads
    return 2 * n_layers * n_kv_heads * head_dim * n_tokens * bytes_per_number


@kv_cache_bytes_grouped.mistake(
    "Your number does not depend on n_kv_heads: it is the cache of an MHA model.",
    "Only keys and values are kept: n_kv_heads heads, not n_heads, and each is dim / n_heads wide, not "
    "dim / n_kv_heads.",
)
def counts_query_heads(n_layers, dim, n_heads, n_kv_heads, n_tokens, bytes_per_number):
    return 2 * n_layers * n_heads * (dim // n_heads) * n_tokens * bytes_per_number


@kv_cache_bytes_grouped.mistake(
    "Your function forgets that keys and values are kept both.",
    "Two arrays of the same size: a factor of 2.",
)
def forgets_that_keys_and_values_are_kept(n_layers, dim, n_heads, n_kv_heads, n_tokens, bytes_per_number):
    return n_layers * n_kv_heads * (dim // n_heads) * n_tokens * bytes_per_number


@kv_cache_bytes_grouped.mistake(
    "Your function counts one layer.",
    "Every layer has keys and values of its own.",
)
def counts_one_layer(n_layers, dim, n_heads, n_kv_heads, n_tokens, bytes_per_number):
    return 2 * n_kv_heads * (dim // n_heads) * n_tokens * bytes_per_number


@kv_cache_bytes_grouped.mistake(
    "Your function counts numbers, not bytes.",
    "A float16 takes 2 bytes, a float32 takes 4: multiply by bytes_per_number.",
)
def counts_numbers_not_bytes(n_layers, dim, n_heads, n_kv_heads, n_tokens, bytes_per_number):
    return 2 * n_layers * n_kv_heads * (dim // n_heads) * n_tokens


@kv_cache_bytes_grouped.mistake(
    "Your function counts the bytes of one position.",
    "The cache holds n_tokens positions.",
)
def counts_bytes_of_one_position(n_layers, dim, n_heads, n_kv_heads, n_tokens, bytes_per_number):
    return 2 * n_layers * n_kv_heads * (dim // n_heads) * bytes_per_number


@kv_cache_bytes_grouped.mistake(
    "Your function gives every key head the full width dim.",
    "A head is head_dim = dim / n_heads wide.",
)
def gives_every_key_head_the_full_width(n_layers, dim, n_heads, n_kv_heads, n_tokens, bytes_per_number):
    return 2 * n_layers * n_kv_heads * dim * n_tokens * bytes_per_number
