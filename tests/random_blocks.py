"""Blocks of the formats for which there is no quantiser here: random bytes with finite scales."""

from __future__ import annotations

import numpy as np

from minillama.quantization.formats import FORMATS, PackedArray, quantize

# Where the float16 scales of a block stand.
SCALES_AT = {
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,),
}  # fmt: skip


def random_blocks(name: str, n_blocks: int, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """Bytes (n_blocks, block_bytes) whose float16 scales are normal numbers of the given size."""
    blocks = rng.integers(0, 256, (n_blocks, FORMATS[name].block_bytes), dtype=np.uint8)
    for at in SCALES_AT[name]:
        blocks[:, at : at + 2] = rng.normal(0, size, (n_blocks, 1)).astype(np.float16).view(np.uint8)
    return blocks


def random_matrix(name: str, shape: tuple[int, int], rng: np.random.Generator, size: float = 1.0) -> PackedArray:
    """A matrix in any format, of normal numbers where it can be quantised; K formats get about that size too."""
    if FORMATS[name].quantize is not None:
        return quantize((size * rng.normal(size=shape)).astype(np.float32), name)
    n_blocks = shape[0] * shape[1] // FORMATS[name].block_size
    blocks = random_blocks(name, n_blocks, rng)
    of_ones = PackedArray(blocks.reshape(shape[0], -1), FORMATS[name], shape[1]).to_float32().std()
    for at in SCALES_AT[name]:
        scale = blocks[:, at : at + 2].copy().view(np.float16).astype(np.float32) * (size / of_ones)
        blocks[:, at : at + 2] = scale.astype(np.float16).view(np.uint8)
    return PackedArray(blocks.reshape(shape[0], -1), FORMATS[name], shape[1])
