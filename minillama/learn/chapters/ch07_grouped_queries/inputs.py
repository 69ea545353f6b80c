"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

POOL_SHAPES = (
    {"K": 2, "group": 2, "head_dim": 2, "D": 1},
    {"K": 1, "group": 1, "head_dim": 2, "D": 1},
    {"K": 1, "group": 3, "head_dim": 4, "D": 5},
    {"K": 3, "group": 1, "head_dim": 2, "D": 4},
    {"K": 2, "group": 3, "head_dim": 4, "D": 3},
    {"K": 4, "group": 2, "head_dim": 8, "D": 20},
)
