"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

from typing import Any

import numpy as np

AXES = ("batch", "position", "dim")
# Of every four rows one is so small that eps decides about it.
SCALES = np.array([3e-3, 1.0, 20.0, 0.05])


def eps_of(n: int) -> float:
    """Models differ in eps: no function may know it."""
    return 1e-5 if n % 2 else 1e-6


def rows(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """(n, d) of very different sizes, off centre; from the third row on the last one is padding, all zeros."""
    x = rng.normal(0.4, 1, size=(n, d)) * SCALES[np.arange(n) % 4][:, None]
    if n >= 3:
        x[-1] = 0
    return x.astype(np.float32)


def make_weight(rng: np.random.Generator, d: int) -> np.ndarray:
    return rng.uniform(0.3, 2.5, d).astype(np.float32)


def make_inputs(rng: np.random.Generator, B: int, T: int, D: int) -> tuple[Any, ...]:
    x = np.stack([rows(rng, T, D) for _ in range(B)])
    return x, make_weight(rng, D), eps_of(T)


def make_flat(rng: np.random.Generator, N: int, D: int) -> tuple[Any, ...]:
    return rows(rng, N, D), make_weight(rng, D), eps_of(N)


def torch_forward(x, weight, eps):
    import torch

    wide = torch.tensor(x, dtype=torch.float64)
    return torch.nn.functional.rms_norm(wide, wide.shape[-1:], torch.tensor(weight, dtype=torch.float64), eps).numpy()
