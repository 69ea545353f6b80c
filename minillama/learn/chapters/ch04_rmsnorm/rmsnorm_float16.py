"""Half precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .variants import forward, mean_of_squares

# Squares of the first overflow, the sum of the second's does, the third's squares lose their digits.
HALF_SCALES = np.array([600.0, 100.0, 2e-3, 1.0, 9000.0])


def make_half(rng: np.random.Generator, N: int, D: int) -> tuple[Any, ...]:
    """float16 rows whose results lie clear of the middle between two float16 numbers, so that bits can be compared."""
    if D > 256:
        raise ValueError("D must be at most 256: longer rows seldom lie clear")
    weight, eps = rng.uniform(0.3, 2.5, D).astype(np.float16), 1e-5
    x = np.zeros((N, D), np.float16)
    for i in range(N):
        while True:
            signs = np.where(rng.random(D) < 0.4, -1, 1)
            x[i] = HALF_SCALES[i % 5] * signs * rng.uniform(0.5, 1.5, D)
            wide = x[i].astype(np.float64)
            y = wide / np.sqrt(np.mean(wide * wide) + eps)
            if np.array_equal((y * (1 - 3e-6)).astype(np.float16), (y * (1 + 3e-6)).astype(np.float16)):
                break
    return x, weight, eps


def transformers_half(x, weight, eps):
    import torch
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    norm = LlamaRMSNorm(x.shape[-1], eps=eps).half()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(weight))
        return norm(torch.tensor(x)).numpy()


@exercise(
    title="Half precision",
    task="float16 in, float16 out, with the statistics in float32: bit for bit what Meta's model computes.",
    difficulty=2,
    minutes=15,
    same_as=forward,
    make=make_half,
    shapes=(
        {"N": 1, "D": 4},
        {"N": 1, "D": 1},
        {"N": 3, "D": 3},
        {"N": 5, "D": 16},
        {"N": 10, "D": 48},
    ),
    axes=("row", "dim"),
    dtype_matters=True,
    oracle=transformers_half,
    hints=(
        "float16 ends at 65504, so a square is infinite above 256. Which steps have to happen in a wider format, "
        "and where does the result return to float16?",
        "Widen x before the first multiplication. Square, mean, eps, root and the division are float32; then round "
        "to float16; the multiplication by the weight comes after the rounding, as in Meta's code.",
        "wide = x.astype(np.float32)\n"
        "wide = wide / np.sqrt(np.mean(wide * wide, axis=-1, keepdims=True) + np.float32(eps))\n"
        "return wide.astype(x.dtype) * weight",
    ),
    why=(
        "From 256 on a square does not fit into a float16, so everything up to the division is done in float32, whose "
        "end is near 3e38. The row is rounded before the weight multiplies it, because that is the order in Meta's "
        "code, and another order gives other last bits. Whoever compares a port with the original bit for bit finds "
        "such a difference in the first layer."
    ),
)
def rmsnorm_float16(x, weight, eps):
    """RMSNorm of float16 rows, bit for bit as Meta's model computes it.

    The mean of the squares, the root and the division are float32. The normalised row is rounded
    to float16 and only then multiplied by the weight, in float16.

    Parameters
    ----------
    x : float16 ndarray of shape (N, D)
        Numbers up to 15000: their squares are larger than the largest float16, 65504.
    weight : float16 ndarray of shape (D,)
    eps : float

    Returns
    -------
    y : float16 ndarray of shape (N, D)
    """
    wide = x.astype(np.float32)
    wide = wide / np.sqrt(np.mean(wide * wide, axis=-1, keepdims=True) + np.float32(eps))
    return wide.astype(x.dtype) * weight


def _wide(x, weight, eps):
    wide = x.astype(np.float32)
    return wide / np.sqrt(mean_of_squares(wide) + np.float32(eps)) * weight.astype(np.float32)


@rmsnorm_float16.mistake(
    "Your function squares in float16: everything above 256 becomes infinite.",
    "Widen first, square then: np.mean(x.astype(np.float32) ** 2). Converting the squares comes too late.",
)
def half_squares(x, weight, eps):
    r = 1 / np.sqrt(np.mean((x * x).astype(np.float32), axis=-1, keepdims=True) + np.float32(eps))
    return (x.astype(np.float32) * r).astype(np.float16) * weight


@rmsnorm_float16.mistake(
    "Your function computes everything in float16.",
    "Squares above 65504 are infinite and make their row zero, squares below 6e-8 vanish. x.astype(np.float32) first.",
)
def half_all(x, weight, eps):
    return (x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float16(eps))) * weight


@rmsnorm_float16.mistake(
    "Your function adds the squares up in float16.",
    "Each square is right, the sum passes 65504 or loses its small terms. Accumulate in float32.",
)
def half_sum(x, weight, eps):
    wide = x.astype(np.float32)
    mean = np.mean(wide * wide, axis=-1, keepdims=True, dtype=np.float16)
    return (wide / np.sqrt(mean.astype(np.float32) + np.float32(eps))).astype(np.float16) * weight


@rmsnorm_float16.mistake(
    "Your function returns float32.",
    "dtype in = dtype out: the next layer would run in float32 from here on and take twice the memory. Round "
    "the normalised row to x.dtype.",
)
def returns_float32(x, weight, eps):
    return _wide(x, weight, eps)


@rmsnorm_float16.mistake(
    "Your function multiplies by the weight before it rounds to float16.",
    "That is more exact, but other bits than the model was trained with: Meta and Hugging Face round the "
    "normalised row, then multiply in float16.",
)
def multiplies_by_weight_before_it_rounds(x, weight, eps):
    return _wide(x, weight, eps).astype(np.float16)


@rmsnorm_float16.mistake(
    "Your function rounds 1/rms to float16 and multiplies there.",
    "The reciprocal of a large root has few digits left in float16 (below 6e-5 they run out). Multiply in "
    "float32, round the product.",
)
def half_divisor(x, weight, eps):
    wide = x.astype(np.float32)
    r = (1 / np.sqrt(mean_of_squares(wide) + np.float32(eps))).astype(np.float16)
    return x * r * weight


@rmsnorm_float16.mistake(
    "Your function leaves out eps.",
    "Only rows of a size near sqrt(eps) show it: there eps is as large as the mean square itself.",
)
def leaves_out_eps(x, weight, eps):
    return forward(x, weight, 0.0)
