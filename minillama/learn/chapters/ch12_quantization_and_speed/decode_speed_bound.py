"""How fast can it possibly be?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_model(
    rng: np.random.Generator, layers: int, heads: int, kv_heads: int, head_dim: int, hidden: int, vocab: int
) -> tuple[Any, ...]:
    if heads % kv_heads:
        raise ValueError("kv_heads must divide heads")
    bits, head_bits = [(4.5, 8.5), (5.0, 8.5), (16.0, 32.0)][int(rng.integers(3))]
    context = int(rng.integers(50, 2000))
    return (
        layers,
        heads * head_dim,
        heads,
        kv_heads,
        hidden,
        vocab,
        bits,
        head_bits,
        context,
        float(rng.integers(10, 60) * 1e9),
    )


@exercise(
    title="How fast can it possibly be?",
    task="Bytes that decoding one token reads, and the most tokens per second that a memory bandwidth allows.",
    difficulty=2,
    minutes=15,
    make=make_model,
    shapes=(
        {"layers": 1, "heads": 2, "kv_heads": 1, "head_dim": 4, "hidden": 24, "vocab": 40},
        {"layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 8, "hidden": 96, "vocab": 64},
        {"layers": 30, "heads": 9, "kv_heads": 3, "head_dim": 64, "hidden": 1536, "vocab": 49152},
        {"layers": 32, "heads": 32, "kv_heads": 32, "head_dim": 128, "hidden": 11008, "vocab": 32000},
        {"layers": 80, "heads": 64, "kv_heads": 8, "head_dim": 128, "hidden": 28672, "vocab": 32000},
    ),
    axes=(),
    outputs=("bytes_per_token", "tokens_per_second"),
    hints=(
        "A token is multiplied with every matrix of every layer and with the head, once. What else is read that was "
        "computed for earlier tokens?",
        "A layer has wq and wo (dim x dim), wk and wv (kv_dim x dim) and three matrices dim x hidden_dim, where kv_dim "
        "= n_kv_heads * dim / n_heads. Of the embedding table only one row is read. The cache holds keys and values, "
        "4 bytes each, of `context` positions.",
        "kv_dim = dim // n_heads * n_kv_heads\n"
        "layer = 2 * dim * dim + 2 * dim * kv_dim + 3 * dim * hidden_dim\n"
        "cache = 2 * n_layers * kv_dim * context * 4\n"
        "n_bytes = n_layers * layer * bits / 8 + vocab_size * dim * head_bits / 8 + cache\n"
        "return n_bytes, bandwidth / n_bytes",
    ),
    why=(
        "A weight takes part in one multiplication for each token, so reading it is what costs, and bandwidth over "
        "bytes bounds the rate. Keys and values are read as well, and with a long context they may outweigh the "
        "weights. Of the embedding one row is looked up, of the head every row is multiplied, even where both are the "
        "same table."
    ),
)
def decode_speed_bound(n_layers, dim, n_heads, n_kv_heads, hidden_dim, vocab_size, bits, head_bits, context, bandwidth):
    """Bytes that decoding one token reads, and the most tokens per second that they allow.

    Read are all matrices of all layers at `bits` bits a weight (wq, wk, wv, wo, w_gate, w_up,
    w_down), the output head at `head_bits`, and the keys and values of the `context` positions
    before, in float32. Norms, activations and the one row of the embedding table are too small to
    count.

    Parameters
    ----------
    n_layers, dim, n_heads, n_kv_heads, hidden_dim, vocab_size : int
        head_dim is dim / n_heads.
    bits, head_bits : float
        Bits per weight, scales included: 4.5 for Q4_0, 8.5 for Q8_0.
    context : int
    bandwidth : float
        Bytes that the memory delivers in a second.

    Returns
    -------
    bytes_per_token : float
    tokens_per_second : float
    """
    kv_dim = dim // n_heads * n_kv_heads
    layer = 2 * dim * dim + 2 * dim * kv_dim + 3 * dim * hidden_dim
    cache = 2 * n_layers * kv_dim * context * 4
    n_bytes = n_layers * layer * bits / 8 + vocab_size * dim * head_bits / 8 + cache
    return n_bytes, bandwidth / n_bytes


def decode(layers, dim, heads, kv_heads, hidden, vocab, bits, head_bits, context, bandwidth, **mistake):
    kv_dim = dim // heads * kv_heads
    projections = 2 * dim * dim + 2 * dim * (dim if mistake.get("square") else kv_dim)
    weights = layers * (projections + mistake.get("matrices", 3) * dim * hidden)
    head = vocab * dim * mistake.get("tables", 1)
    cache = 2 * layers * (dim if mistake.get("all_heads") else kv_dim) * 4 * (0 if mistake.get("no_cache") else context)
    n_bytes = (weights * bits + head * head_bits) / mistake.get("bits_in_a_byte", 8) + cache
    return n_bytes, bandwidth / n_bytes


def decode_mistake(**mistake):
    return lambda *args: decode(*args, **mistake)


decode_speed_bound.mistake(
    "Your function forgets the keys and values of the positions before.",
    "Attention reads all of them for every token: 2 * n_layers * kv_dim * context numbers of 4 bytes.",
    decode_mistake(no_cache=True),
)

decode_speed_bound.mistake(
    "Your function counts the embedding table as well as the head.",
    "Only one row of the table is read for a token. It is the head that is multiplied in full.",
    decode_mistake(tables=2),
)

decode_speed_bound.mistake(
    "Your function leaves the head out.",
    "The logits of the whole vocabulary take a product with a vocab_size x dim matrix, in a small model the "
    "largest of all.",
    decode_mistake(tables=0),
)

decode_speed_bound.mistake(
    "Your cache has keys and values for every query head.",
    "With grouped queries only n_kv_heads have keys and values: that is what they were invented for.",
    decode_mistake(all_heads=True),
)

decode_speed_bound.mistake(
    "Your wk and wv are dim x dim.",
    "They produce n_kv_heads heads only: kv_dim = n_kv_heads * head_dim rows.",
    decode_mistake(square=True),
)

decode_speed_bound.mistake(
    "Your feed-forward layer has two matrices.",
    "SwiGLU has three: gate, up and down.",
    decode_mistake(matrices=2),
)

decode_speed_bound.mistake(
    "Your function counts the bits of the weights as bytes.",
    "Eight bits are a byte: weights * bits / 8.",
    decode_mistake(bits_in_a_byte=1),
)
