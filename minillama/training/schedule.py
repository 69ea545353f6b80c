"""Learning rates over a run: linear warm-up, then half a cosine (LLaMA 2 section 2.2).

    lr(t) = peak * t / warmup                                                       t < warmup
    lr(t) = end + (peak - end) / 2 * (1 + cos(pi * (t - warmup) / (total - warmup)))    after it

with end = peak / 10: LLaMA 2 warms up for 2000 steps and decays to 10 % of the peak, 3e-4 for 7B
and 13B, 1.5e-4 for 34B and 70B. That the warm-up is linear is not in the paper (unconfirmed).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Learning rate as a function of the step; steps count from 1.

    Attributes
    ----------
    peak : float
    warmup_steps, total_steps : int
    final_fraction : float
        The rate at `total_steps`, and after it, as a share of the peak.

    Raises
    ------
    ValueError
        When a number is out of range, or the warm-up longer than the run.
    """

    peak: float
    warmup_steps: int
    total_steps: int
    final_fraction: float = 0.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.peak) and self.peak > 0):
            raise ValueError(f"the peak learning rate must be a positive number, got {self.peak!r}")
        if not 0 <= self.warmup_steps <= self.total_steps or self.total_steps < 1:
            raise ValueError(
                f"warmup_steps must be between 0 and total_steps, got {self.warmup_steps} of {self.total_steps}"
            )
        if not 0 <= self.final_fraction <= 1:
            raise ValueError(f"final_fraction must be in [0, 1], got {self.final_fraction!r}")

    def __call__(self, step: int) -> float:
        """The learning rate of the update number `step`."""
        if step < self.warmup_steps:
            return self.peak * step / self.warmup_steps
        end = self.peak * self.final_fraction
        length = max(1, self.total_steps - self.warmup_steps)
        passed = min(1.0, (step - self.warmup_steps) / length)
        return end + (self.peak - end) / 2 * (1 + math.cos(math.pi * passed))
