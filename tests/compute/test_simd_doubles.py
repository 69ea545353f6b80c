"""The vectors of 8 doubles equal their twins in NumPy; the exponential over its whole range."""

import numpy as np
import pytest
from numba import config

from minillama.compute import simd_doubles
from minillama.compute.jit import kernel
from minillama.compute.simd_doubles import (
    add_doubles,
    exp_below,
    larger_doubles,
    largest_of_doubles,
    load_doubles,
    store_doubles,
    sum_of_doubles,
)

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="the compiler is off: the twins are all there is")


@kernel(exact=True)
def _kernel(x, out):
    a, b = load_doubles(x, 1), load_doubles(x, 9)
    store_doubles(out, 0, a)
    store_doubles(out, 8, add_doubles(a, b))
    store_doubles(out, 16, larger_doubles(a, b))
    store_doubles(out, 24, exp_below(a, 3.0, 0.7))
    out[32] = largest_of_doubles(a)
    out[33] = sum_of_doubles(a)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_equal_their_twins(dtype, rng):
    x, out = rng.normal(size=20).astype(dtype), np.empty(34)
    _kernel(x, out)
    twin = {name: operation.twin for name, operation in vars(simd_doubles).items() if hasattr(operation, "twin")}
    a, b = twin["load_doubles"](x, 1), twin["load_doubles"](x, 9)
    stored = np.empty(8)
    twin["store_doubles"](stored, 0, a)
    exact = [stored, twin["add_doubles"](a, b), twin["larger_doubles"](a, b)]
    np.testing.assert_array_equal(out[:24], np.concatenate(exact))
    np.testing.assert_allclose(out[24:32], twin["exp_below"](a, 3.0, 0.7), rtol=3e-16)
    assert (out[32], out[33]) == (twin["largest_of_doubles"](a), twin["sum_of_doubles"](a))


@kernel(exact=True)
def _exp_kernel(x, largest, factor, y):
    for i in range(0, x.size, 8):
        store_doubles(y, i, exp_below(load_doubles(x, i), largest, factor))


def test_exponential_over_its_whole_range():
    """Within the last bit, and mostly equal: NumPy's own is not exact either."""
    x = np.linspace(-708, 0, 1 << 16)
    y = np.empty_like(x)
    _exp_kernel(x, 0.0, 1.0, y)
    expected = np.exp(x)
    assert (np.abs(y - expected) <= np.spacing(expected)).all()
    assert (y == expected).mean() > 0.8


def test_exponential_of_what_is_no_number_or_far_below():
    x = np.array([-np.inf, -1000, -708.5, 0, np.nan, -np.log(2), -5e-324, -1e300])
    y = np.empty_like(x)
    _exp_kernel(x, 0.0, 1.0, y)
    np.testing.assert_array_equal(y, [0, 0, 0, 1, np.nan, 0.5, 1, 0])
    _exp_kernel(x, 0.0, 1e300, y)  # the product is beyond all numbers
    np.testing.assert_array_equal(y, [0, 0, 0, 1, np.nan, 0, 1, 0])
    _exp_kernel(np.full(8, np.inf), np.inf, 1.0, y)
    assert np.isnan(y).all()
