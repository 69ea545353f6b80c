"""Names of arrays in signatures; shapes are in the docstrings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.floating]
"""float32 or float64: what goes in comes out."""
Float32 = NDArray[np.float32]
Ints = NDArray[np.integer]
Bytes = NDArray[Any]
"""uint8; Any, because NumPy's types lose the dtype of a view."""
