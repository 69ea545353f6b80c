"""RoPE for longer texts than a model was first trained on: its frequencies, slowed down.

LLaMA 2 has none of this; its relatives do. With w_i = theta ** (-2 i / head_dim) the frequencies of rope.py,
f the `factor` and L the `original_max_seq_len`,

    linear   w_i / f                                     position interpolation (Chen et al. 2023, arXiv:2306.15595)
    llama3   w_i / f for slow pairs, w_i for fast ones, a blend between (LLaMA 3.1):
             a pair makes n = L w_i / 2 pi turns in the original length;
             share = (n - low_freq_factor) / (high_freq_factor - low_freq_factor), cut to 0 ... 1
             share w_i + (1 - share) w_i / f
    yarn     the same blend with a share that is linear in i (Peng et al. 2023, arXiv:2309.00071): 1 up to the pair
             that makes `beta_fast` turns, 0 from the one that makes `beta_slow`; and all cosines and sines times
             `attention_factor`, which multiplies every score by its square
    factors  w_i / factors[i], the numbers that GGUF files store in `rope_freqs.weight`
    dynamic  w_i: up to the original length nothing changes. Beyond it every new token would change the frequencies
             of all tokens before it, and keys that lie in a cache cannot follow: transformers itself then answers
             differently with and without its cache. Such a text is refused (`ModelConfig.max_seq_len`).

Only the table changes; the rotation, its kernel and its gradient stay as they are. Rules and names are those of
transformers' modeling_rope_utils.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import RopeScaling


def scaled_frequencies(
    frequencies: NDArray[Any], theta: float, scaling: RopeScaling
) -> tuple[NDArray[np.float64], float]:
    """The frequencies that a model with `scaling` uses, and what its cosines and sines are multiplied by.

    Parameters
    ----------
    frequencies : float64 ndarray of shape (head_dim / 2,)
        As without scaling.
    theta : float
    scaling : RopeScaling

    Returns
    -------
    frequencies : float64 ndarray of shape (head_dim / 2,)
    magnitude : float
    """
    if scaling.kind == "dynamic":
        return frequencies, 1.0
    if scaling.kind == "linear":
        return frequencies / scaling.factor, 1.0
    if scaling.kind == "factors":
        return frequencies / np.array(scaling.factors), 1.0
    if scaling.kind == "llama3":
        share, magnitude = _llama3_share(frequencies, scaling), 1.0
    else:
        share, magnitude = _yarn_share(len(frequencies), theta, scaling), scaling.attention_factor
    return share * frequencies + (1 - share) * frequencies / scaling.factor, magnitude


def _llama3_share(frequencies: NDArray[Any], scaling: RopeScaling) -> NDArray[np.float64]:
    """How much of every frequency is kept: by its turns in the original length."""
    turns = scaling.original_max_seq_len * frequencies / (2 * np.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    return np.clip((turns - low) / (high - low), 0, 1)


def _yarn_share(n_pairs: int, theta: float, scaling: RopeScaling) -> NDArray[np.float64]:
    """How much of every frequency is kept: a ramp over the pairs."""
    first = _pair_of_turns(scaling.beta_fast, n_pairs, theta, scaling.original_max_seq_len)
    last = _pair_of_turns(scaling.beta_slow, n_pairs, theta, scaling.original_max_seq_len)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, 2 * n_pairs - 1)
    if first == last:
        last += 0.001  # a step
    return 1 - np.clip((np.arange(n_pairs) - first) / (last - first), 0, 1)


def _pair_of_turns(turns: float, n_pairs: int, theta: float, n_positions: int) -> float:
    """Which pair, as a fraction, makes so many turns in `n_positions`: w_i solved for i."""
    return n_pairs * math.log(n_positions / (turns * 2 * math.pi)) / math.log(theta)


def yarn_magnitude(factor: float, weight: float = 1.0) -> float:
    """YaRN's recommended factor (arXiv:2309.00071, equation 22): 0.1 ln(factor) + 1, for longer texts only.

    What a file means that names no `attention_factor`.
    """
    return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0
