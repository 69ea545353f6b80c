"""Many rows of activations: each one's products are those that it has alone, to the last bit."""

import numpy as np
import pytest
from numba import config
from random_blocks import random_matrix

from minillama.compute.jit import kernel
from minillama.quantization.formats import FORMATS, quantize
from minillama.quantization.repacked import repack
from minillama.quantization.repacked_kernels import no_planes, quantize_rows
from minillama.quantization.repacked_rows import ROWS_SCRATCH, address_of_rows_kind, multiply_group_rows
from minillama.quantization.repacked_tiles import STRETCH

INTEGERS = [name for name, format in FORMATS.items() if format.block_size > 1]
FLOATS = ["F32", "F16", "BF16"]
COMPILED = not config.DISABLE_JIT
MOST = 70 if COMPILED else 6  # rows; without the compiler each takes a while


@kernel
def _multiply(address, data, layout, first, last, x, planes, y, at, scratch):
    multiply_group_rows(address, (data, layout, first, last, x, planes, y, at, scratch))


def a_matrix(name, shape, rng):
    plain = rng.normal(size=shape).astype(np.float32)
    if name in FLOATS:
        return repack(plain if name == "F32" else quantize(plain, name))
    return repack(random_matrix(name, shape, rng))


def products(array, x, first, last, at=0, width=0):
    """Groups first ... last - 1, in memory that holds nothing but NaN before."""
    y = np.full((len(x), at + 16 * (last - first) + width), np.nan, np.float32)
    planes = quantize_rows(x) if array.is_quantized else no_planes(len(x))
    scratch, address = np.full(ROWS_SCRATCH, np.nan, np.float32), address_of_rows_kind(array.layout.kind)
    _multiply(address, array.data, np.array(array.layout, np.int64), first, last, x, planes, y, at, scratch)
    return y


@pytest.mark.parametrize("name", INTEGERS + FLOATS)
def test_a_row_among_others_is_the_row_alone(name, rng):
    """Every number of rows, tiles full and not, one and more tiles; an odd number of groups."""
    array, x = a_matrix(name, (72, 256), rng), rng.normal(size=(MOST, 256)).astype(np.float32)
    alone = np.concatenate([array.multiply(x[n : n + 1]) for n in range(MOST)])
    for n in range(1, MOST + 1, 1 if COMPILED else 4):
        np.testing.assert_array_equal(array.multiply(x[:n]), alone[:n])
        np.testing.assert_array_equal(array.multiply(x[MOST - n :]), alone[MOST - n :])


@pytest.mark.skipif(not COMPILED, reason="columns for more than one stretch take long without the compiler")
@pytest.mark.parametrize("n", [2, 5, 33, 64])
@pytest.mark.parametrize("name", ["Q4_1", "Q8_0", "IQ4_XS", "Q2_K", "Q6_K", "F16"])
def test_any_groups_into_any_columns(name, n, rng):
    """Nothing beside them is written; columns that are laid down in more than one stretch."""
    n_columns = 32 * STRETCH + 512
    array, x = a_matrix(name, (80, n_columns), rng), rng.normal(size=(n, n_columns)).astype(np.float32)
    alone = np.concatenate([array.multiply(x[i : i + 1]) for i in range(n)])
    for first, last in [(0, 5), (1, 4), (2, 3), (4, 5), (3, 3)]:
        y, end = products(array, x, first, last, at=16, width=16), 16 + 16 * (last - first)
        np.testing.assert_array_equal(y[:, 16:end], alone[:, 16 * first : 16 * last])
        assert np.isnan(y[:, :16]).all()
        assert np.isnan(y[:, end:]).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, when the compiler is off
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q2_K", "Q6_K"])
def test_what_is_not_finite_stays_in_its_row(name, poison, rng):
    for n in (2, 7, 30) if COMPILED else (5,):
        array, x = a_matrix(name, (48, 256), rng), rng.normal(size=(n, 256)).astype(np.float32)
        clean = array.multiply(x)
        x[n // 2, 40] = poison
        y, others = array.multiply(x), np.arange(n) != n // 2
        assert np.isnan(y[n // 2]).all()
        np.testing.assert_array_equal(y[others], clean[others])


@pytest.mark.parametrize("name", INTEGERS)
def test_the_largest_numbers_do_not_overflow(name, rng):
    """Activations of one size and every pattern of signs that sums can be largest with."""
    array = a_matrix(name, (32 if COMPILED else 3, 256), rng)
    weight = array.to_float32()
    x = np.stack([np.sign(row) * 1e4 for row in weight] + [np.full(256, 1e4), np.full(256, -1e4)]).astype(np.float32)
    expected = x.astype(np.float64) @ weight.T.astype(np.float64)
    size = np.abs(x).astype(np.float64) @ np.abs(weight).T.astype(np.float64)
    assert (np.abs(array.multiply(x) - expected) <= 1e-5 * size.max()).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, when the compiler is off
def test_large_activations_do_not_become_nan(rng):
    """The sum of a block may be beyond float32 where there is no minimum that it would be multiplied with."""
    x = np.full((6, 32), 2e37, np.float32)
    array = a_matrix("Q4_0", (16, 32), rng)
    np.testing.assert_array_equal(array.multiply(x), np.concatenate([array.multiply(row[None]) for row in x]))
