"""Whether this machine's BLAS gives a row of a product the same bits whatever rows are beside it."""

import numpy as np
import pytest
import threadpoolctl

WIDE = any(
    one.get("architecture") in ("SkylakeX", "Cooperlake", "SapphireRapids", "Sapphirerapids")
    for one in threadpoolctl.threadpool_info()
    if one["internal_api"] == "openblas"
)
"""OpenBLAS has it for AVX-512 where there are whole tiles of rows; for AVX2 it has not (inference/branches.py)."""

REASON = "the BLAS of this machine has no kernels for AVX-512: the last digits of a float32 row depend on its company"
needs_wide = pytest.mark.skipif(not WIDE, reason=REASON)


def assert_same_rows(actual, expected, runner) -> None:
    """The same bits; of products of a BLAS that does not give them, all but the last digits."""
    if WIDE or runner.rows_alone:
        np.testing.assert_array_equal(actual, expected)
    else:
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))
