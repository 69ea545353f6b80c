"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

from typing import Any

import numpy as np

ROW_AXES = ("batch", "position")


def make_loss(rng: np.random.Generator, B: int, T: int, V: int) -> tuple[Any, ...]:
    """Rows far from 0, targets of which some are ignored, not equally many in each row.

    The first target is never likely, so that the loss is not near 0, where rounding would decide.
    """
    if V < 2:
        raise ValueError("with one token there is nothing to choose")
    logits = 4 * rng.normal(size=(B, T, V)) + rng.choice([-900.0, 0.0, 900.0], (B, T, 1))
    targets = rng.integers(0, V, (B, T))
    ignore_id = -1 if V % 2 == 0 else -100
    unlikely = 60.0 if B * T > 1 else 2.0  # exp(-60) + 1e-9 is 1e-9
    logits[0, 0, targets[0, 0]] = np.delete(logits[0, 0], targets[0, 0]).max() - unlikely
    if B * T > 1:
        targets[-1, -1] = ignore_id
    if T > 3:
        targets[-1, T // 2 :] = ignore_id
    return logits.astype(np.float32), targets, ignore_id
