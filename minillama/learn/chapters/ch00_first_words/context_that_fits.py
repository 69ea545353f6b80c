"""How long a text fits in memory?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ....config import ModelConfig
from ...exercises.exercise import exercise
from .inputs import make_config


def make_memory(
    rng: np.random.Generator, n_layers: int, n_heads: int, n_kv_heads: int, head_dim: int, tokens: int
) -> tuple[Any, ...]:
    """Memory for the weights and that many tokens, if they are odd with some bytes over; 0: not even for the weights.

    The heads together are wider than the model.
    """
    config = make_config(
        dim=3 * n_heads * head_dim // 4,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        hidden_dim=3 * n_heads * head_dim,
        vocab_size=1000,
        max_seq_len=4001 + n_layers,
    )
    position = ModelConfig(**config).kv_cache_bytes()
    n_parameters, bits = 64 * int(rng.integers(1000, 9000)), float(rng.choice([4.5, 8.5, 16.0, 32.0]))
    weights = int(n_parameters * bits) // 8
    memory = weights + tokens * position + position // 2 * (tokens % 2) if tokens else weights - 3 * position - 1
    return config, n_parameters, bits, memory


@exercise(
    title="How long a text fits in memory?",
    task="Count the tokens whose float16 keys and values fit beside the weights, up to the model's context.",
    difficulty=2,
    minutes=15,
    make=make_memory,
    shapes=(
        {"n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "head_dim": 4, "tokens": 3},
        {"n_layers": 2, "n_heads": 2, "n_kv_heads": 2, "head_dim": 8, "tokens": 0},
        {"n_layers": 3, "n_heads": 4, "n_kv_heads": 2, "head_dim": 4, "tokens": 64},
        {"n_layers": 5, "n_heads": 8, "n_kv_heads": 4, "head_dim": 8, "tokens": 257},
        {"n_layers": 30, "n_heads": 9, "n_kv_heads": 3, "head_dim": 64, "tokens": 5000},
        {"n_layers": 80, "n_heads": 64, "n_kv_heads": 8, "head_dim": 128, "tokens": 4001},
    ),
    exact=True,
    hints=(
        "Three numbers: bytes of the weights, bytes of one token's keys and values, and what is left for how many.",
        "One token leaves a key and a value of n_kv_heads * head_dim numbers in every layer, 2 bytes each. The weights "
        "take n_parameters * bits / 8 bytes.",
        "per_token = 2 * n_layers * n_kv_heads * head_dim * 2\n"
        "left = memory_bytes - n_parameters * bits_per_weight / 8\n"
        "return int(min(max(left // per_token, 0), max_seq_len))",
    ),
    why=(
        "Weights are a fixed cost and keys and values one for every token, so the question is a division: what is "
        "left by the price of a token. Of the two factors 2 one is for key and value, the other for the bytes of a "
        "float16. A negative rest means that not even the weights fit, and the limit of the model holds however much "
        "memory there is."
    ),
)
def context_that_fits(config, n_parameters, bits_per_weight, memory_bytes):
    """How many tokens of context fit in memory beside the weights.

    Each token keeps one key and one value for every key/value head of every layer, in float16.

    Parameters
    ----------
    config : dict
    n_parameters : int
    bits_per_weight : float
        16.0 for float16, 4.5 for Q4_0 (its scales included). The weights take a whole number of bytes.
    memory_bytes : int

    Returns
    -------
    tokens : int
        At most config["max_seq_len"]; 0 where not even the weights fit.
    """
    per_token = 2 * config["n_layers"] * config["n_kv_heads"] * config["head_dim"] * 2
    left = memory_bytes - n_parameters * bits_per_weight / 8
    return int(min(max(left // per_token, 0), config["max_seq_len"]))


def fits(config, n_parameters, bits_per_weight, memory_bytes, *, position=None, cap=True, floor=True, weights=None):
    c = ModelConfig(**config)
    weights = n_parameters * bits_per_weight / 8 if weights is None else weights
    tokens = int((memory_bytes - weights) // (c.kv_cache_bytes() if position is None else position))
    tokens = min(tokens, c.max_seq_len) if cap else tokens
    return max(tokens, 0) if floor else tokens


def fits_with(position):
    return lambda c, n, bits, m: fits(c, n, bits, m, position=position(ModelConfig(**c)))


context_that_fits.mistake(
    "Your function stores keys but no values, or numbers of one byte.",
    "A key and a value for every head, and two bytes for each float16: 2 * 2 * ...",
    fits_with(lambda c: c.kv_cache_bytes() // 2),
)

context_that_fits.mistake(
    "Your function stores keys and values for every query head.",
    "Only n_kv_heads are stored: that is what grouped-query attention is for.",
    fits_with(lambda c: c.kv_cache_bytes(n_kv_heads=c.n_heads)),
)

context_that_fits.mistake(
    "Your function stores the keys and values of one layer.",
    "Every layer has its own: n_layers times as many.",
    fits_with(lambda c: c.kv_cache_bytes() // c.n_layers),
)

context_that_fits.mistake(
    "Your function stores keys and values in float32.",
    "The exercise asks for float16: two bytes for a number.",
    fits_with(lambda c: c.kv_cache_bytes(bytes_per_number=4)),
)


@context_that_fits.mistake(
    "Your function gives negative numbers of tokens.",
    "Where the weights do not fit, no token does: the answer is 0.",
)
def gives_negative_numbers_of_tokens(config, n_parameters, bits_per_weight, memory_bytes):
    return fits(config, n_parameters, bits_per_weight, memory_bytes, floor=False)


@context_that_fits.mistake(
    "Your function goes beyond the context of the model.",
    "More than max_seq_len positions are of no use: the model was not trained for them.",
)
def goes_beyond_context_of_model(config, n_parameters, bits_per_weight, memory_bytes):
    return fits(config, n_parameters, bits_per_weight, memory_bytes, cap=False)


@context_that_fits.mistake(
    "Your function forgets that the weights need memory too.",
    "Subtract n_parameters * bits_per_weight / 8 first.",
)
def forgets_that_weights_need_memory_too(config, n_parameters, bits_per_weight, memory_bytes):
    return fits(config, n_parameters, bits_per_weight, memory_bytes, weights=0)


@context_that_fits.mistake(
    "Your function takes bits for bytes.",
    "bits_per_weight are bits: eight of them make a byte.",
)
def takes_bits_for_bytes(config, n_parameters, bits_per_weight, memory_bytes):
    return fits(config, n_parameters, bits_per_weight, memory_bytes, weights=n_parameters * bits_per_weight)


context_that_fits.mistake(
    "Your function takes dim / n_heads for the width of a head.",
    'The configuration says how wide a head is: config["head_dim"]. The two are the same in LLaMA 2, not everywhere.',
    fits_with(lambda c: c.kv_cache_bytes() // c.head_dim * (c.dim // c.n_heads)),
)
