"""Repacked matrices: exact integer sums, every format, rounding of activations, errors."""

import numpy as np
import pytest
from random_blocks import SCALES_AT, random_matrix

from minillama.layers.linear import linear_forward, linear_forward_fast
from minillama.quantization import repacked_rows
from minillama.quantization.formats import FORMATS, GroupedArray, PackedArray, quantize
from minillama.quantization.repacked import RepackedMatrix, aligned_bytes, repack, repacked_bytes
from minillama.quantization.repacked_kernels import quantize_rows
from minillama.quantization.repacked_layout import Planes
from minillama.quantization.repacked_rows import multiply_rows

KINDS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL"]
K_KINDS = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"]  # blocks of 256


def rounded(x):
    """What the kernels compute with, in float64: 128 * high + low times the scale of the block."""
    planes = quantize_rows(x)
    q = 128 * planes.high.astype(np.int64) + planes.low
    assert (q.reshape(len(x), -1, 32).sum(axis=2) == planes.total).all()
    assert (q.reshape(len(x), -1, 32)[..., :16].sum(axis=2) == planes.half).all()
    return q * np.repeat(planes.d.astype(np.float64), 32, axis=1)


@pytest.mark.parametrize("n_rows", [16, 33, 70])
@pytest.mark.parametrize("n", [1, 3, 4, 9])
@pytest.mark.parametrize("name", KINDS)
def test_products_are_those_of_the_rounded_activations(name, n, n_rows, rng):
    """The rounding of x is all that is lost: the rest agrees to float32 accuracy."""
    weight, x = random_matrix(name, (n_rows, 96), rng), rng.normal(size=(n, 96)).astype(np.float32)
    y = repack(weight).multiply(x)
    expected = rounded(x) @ weight.to_float32().T.astype(np.float64)
    assert y.shape == (n, n_rows)
    np.testing.assert_allclose(y, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", KINDS)
def test_close_to_float32(name, rng):
    weight, x = random_matrix(name, (256, 576), rng), rng.normal(size=(5, 576)).astype(np.float32)
    expected = x @ weight.to_float32().T
    assert np.abs(repack(weight).multiply(x) - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("n_rows", [16, 70])
@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_floats_are_not_rounded(name, n_rows, rng):
    """Any number of columns; one row of activations, and a few."""
    plain = rng.normal(size=(n_rows, 43)).astype(np.float32)
    weight = plain if name == "F32" else quantize(plain, name)
    x = rng.normal(size=(3, 43)).astype(np.float32)
    array = repack(weight)
    expected = x.astype(np.float64) @ array.to_float32().T.astype(np.float64)
    np.testing.assert_allclose(array.multiply(x), expected, atol=1e-5)
    np.testing.assert_allclose(
        linear_forward_fast(np.repeat(x, 4, axis=0), array)[0], np.repeat(expected, 4, 0), atol=1e-5
    )
    assert array.format_name == name


@pytest.mark.parametrize("name", [name for name in KINDS if FORMATS[name].quantize])
def test_extreme_numbers_do_not_overflow(name, rng):
    """The largest bytes and activations everywhere: 32 products of 255 * 127 * 128 in one sum."""
    weight = quantize(np.full((16, 64), 100, np.float32) * np.resize([1, -1], (16, 64)), name)
    x = np.full((2, 64), 1e4, np.float32)
    x[1] *= np.resize([1, -1], 64)
    expected = x.astype(np.float64) @ weight.to_float32().T.astype(np.float64)
    np.testing.assert_allclose(repack(weight).multiply(x), expected, atol=1e-6 * 64 * 100 * 1e4)


@pytest.mark.parametrize("name", ["Q4_1", "Q6_K"])
def test_threads_share_every_group(name, rng, monkeypatch):
    weight, x = random_matrix(name, (1000, 256), rng), rng.normal(size=(30, 256)).astype(np.float32)
    shared = repack(weight).multiply(x)
    monkeypatch.setattr(repacked_rows._multiply_all, "from_size", 1 << 60)
    np.testing.assert_array_equal(repack(weight).multiply(x), shared)


def test_rounding_to_fifteen_bits(rng):
    x = np.concatenate([rng.normal(size=(3, 64)), np.zeros((1, 64)), np.full((1, 64), -7.25)]).astype(np.float32)
    planes = quantize_rows(x)
    assert np.abs(planes.high.astype(int)).max() <= 127
    assert planes.low.min() >= -64
    assert planes.low.max() <= 64
    step = np.repeat(planes.d, 32, axis=1)
    assert (np.abs(rounded(x) - x) <= 0.5001 * step + 1e-12).all()
    assert (planes.d[3] == 0).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, when the compiler is off
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_swallowed(poison, rng):
    weight, x = random_matrix("Q8_0", (16, 64), rng), np.ones((1, 64), np.float32)
    x[0, 40] = poison
    assert np.isnan(repack(weight).multiply(x)).all()


def test_matrices_share_one_stretch_of_memory(rng):
    """Written one after another, none touches its neighbour."""
    weights = [random_matrix(name, (48, 64), rng) for name in KINDS]
    weights += [random_matrix(name, (48, 256), rng) for name in K_KINDS]
    sizes = [repacked_bytes(weight) for weight in weights]
    data, at, arrays = aligned_bytes(sum(sizes)), 0, []
    for weight, size in zip(weights, sizes):
        arrays.append(repack(weight, data, at))
        at += size
    for weight, array in zip(weights, arrays):
        x = rng.normal(size=(2, weight.shape[1])).astype(np.float32)
        np.testing.assert_array_equal(array.multiply(x), repack(weight).multiply(x))
    assert data.ctypes.data % 64 == 0


def test_linear_takes_them(rng):
    weight, x = random_matrix("Q5_1", (33, 64), rng), rng.normal(size=(2, 3, 64)).astype(np.float32)
    array = repack(weight)
    y, _ = linear_forward_fast(x, array)
    np.testing.assert_allclose(y.reshape(6, -1), array.multiply(x.reshape(6, 64)), atol=5e-3)
    np.testing.assert_allclose(linear_forward(x, array)[0], x @ weight.to_float32().T, atol=1e-5)
    assert (array.shape, array.format_name) == ((33, 64), "Q5_1")
    assert isinstance(array, RepackedMatrix)


@pytest.mark.parametrize("n_rows", [16, 33])
@pytest.mark.parametrize("n", [1, 2, 4, 7, 70])
@pytest.mark.parametrize("name", K_KINDS)
def test_k_blocks_are_exact(name, n, n_rows, rng):
    """One row of activations, tiles that are full and not, and groups that are."""
    weight, x = random_matrix(name, (n_rows, 512), rng), rng.normal(size=(n, 512)).astype(np.float32)
    expected = rounded(x) @ weight.to_float32().T.astype(np.float64)
    y = repack(weight).multiply(x)
    assert y.shape == (n, n_rows)
    np.testing.assert_allclose(y, expected, atol=2e-6 * np.abs(expected).max())


def extreme_block(name):
    """The numbers and scales of a block that are largest by size, with alternating signs of the scales of Q6_K."""
    block = np.zeros((1, FORMATS[name].block_bytes), np.uint8)  # numbers -32, -4 or the level -127
    if name == "Q6_K":
        block[0, 192:208] = np.resize(np.array([-128, 127], np.int8).view(np.uint8), 16)
    if name == "Q2_K":
        block[:] = 255
    for at in SCALES_AT[name]:
        block[0, at : at + 2] = np.array([1], np.float16).view(np.uint8)
    return block


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("name", ["Q2_K", "Q3_K", "Q6_K", "IQ4_XS"])
def test_the_largest_sums_do_not_overflow(name, n):
    """Products of 13 bits and 15, 32 of them in a sum: all that an int32 holds."""
    weight = PackedArray(np.tile(extreme_block(name), (16, 2)), FORMATS[name], 512)
    for signs in ([1], [-1], np.repeat([1, -1], 16)):
        x = np.tile(np.resize(np.array(signs, np.float32), 512), (n, 1))
        expected = x.astype(np.float64) @ weight.to_float32().T.astype(np.float64)
        np.testing.assert_allclose(repack(weight).multiply(x), expected, rtol=2e-6)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("name", K_KINDS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, when the compiler is off
def test_k_blocks_pass_on_what_is_not_finite(name, n, rng):
    weight, x = random_matrix(name, (16, 512), rng), np.ones((n, 512), np.float32)
    x[-1, 300] = np.inf
    y = repack(weight).multiply(x)
    assert np.isnan(y[-1]).all()
    assert np.isfinite(y[:-1]).all()


def test_no_format_is_left_out(rng):
    """Every format that is read can be repacked; Q6_K takes the bytes of its file, which decoding waits for."""
    for name, format in FORMATS.items():
        weight = random_matrix(name, (16, 256), rng)
        assert repack(weight).is_quantized == (format.block_size > 1)
    assert repack(random_matrix("Q6_K", (16, 256), rng)).layout.stride == 16 * FORMATS["Q6_K"].block_bytes


def test_other_matrices_are_refused(rng):
    weight = GroupedArray(np.zeros((16, 64), np.int8), np.ones(16, np.float32))
    assert repacked_bytes(weight) is None
    with pytest.raises(ValueError, match=r"int8/64 cannot be repacked, only Q4_0"):
        repack(weight)


def test_sums_are_exact_integers(rng):
    """With scales of 1 the result is the integer product, to the last unit."""
    q = rng.integers(-128, 128, (16, 32))
    ones = np.tile(np.array([1], np.float16).view(np.uint8), (16, 1))
    raw = np.concatenate((ones, q.astype(np.int8).view(np.uint8)), axis=1)
    array = repack(PackedArray(raw, FORMATS["Q8_0"], 32))
    high, low = rng.integers(-127, 128, 32).astype(np.int8), rng.integers(-64, 64, 32).astype(np.int8)
    x = 128 * high.astype(np.int64) + low
    y = np.empty(16, np.float32)
    one, total, half = (np.array([[value]], np.float32) for value in (1, x.sum(), x[:16].sum()))
    planes = Planes(high[None], low[None], one, total, half)
    multiply_rows(array.data, array.layout, y[None], planes, y[None])
    np.testing.assert_array_equal(y, (q @ x).astype(np.float32))
