"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

from typing import Any

import numpy as np

Arrays = tuple[Any, ...]


def normal_array(rng: np.random.Generator, *shape: int) -> Any:
    return rng.normal(size=shape).astype(np.float32)


def tensors(rng: np.random.Generator, D: int, hidden: int) -> tuple[Any, Any, Any]:
    """A matrix, another and a vector, of rather different sizes."""
    return 0.2 * normal_array(rng, hidden, D), 2 * normal_array(rng, D, hidden), 0.7 * normal_array(rng, D)
