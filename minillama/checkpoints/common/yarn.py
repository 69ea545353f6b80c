"""What a file that scales RoPE by YaRN's rule means when it names no factor for cosine and sine."""

from __future__ import annotations

import math


def yarn_magnitude(factor: float, weight: float = 1.0) -> float:
    """YaRN's recommended factor (arXiv:2309.00071, equation 22): 0.1 ln(factor) + 1, for longer texts only."""
    return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0
