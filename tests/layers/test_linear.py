"""Linear: PyTorch, every stored precision, few rows and many, fast equals reference."""

import numpy as np
import pytest
import torch
from random_blocks import random_matrix

from minillama.layers import linear
from minillama.layers.linear import (
    SharedRounding,
    linear_backward,
    linear_backward_into,
    linear_forward,
    linear_forward_fast,
)
from minillama.quantization.formats import FORMATS, GroupedArray, PackedArray
from minillama.quantization.repacked import INTEGERS_BEAT_BLAS, RepackedMatrix, repack


@pytest.fixture(params=[linear_forward, linear_forward_fast], ids=["reference", "fast"])
def forward(request):
    return request.param


@pytest.mark.parametrize("shape", [(1, 8), (2, 3, 8), (1, 1, 8), (0, 8)])
def test_matches_pytorch(forward, shape, rng):
    x, weight = rng.normal(size=shape), rng.normal(size=(5, 8))
    expected = torch.nn.functional.linear(torch.tensor(x), torch.tensor(weight))
    y, _ = forward(x, weight)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected.numpy(), atol=1e-13)


@pytest.mark.parametrize("rows", [1, 3, 9], ids=["decode", "few", "many"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_multiplies_as_its_unpacked_self(forward, name, rows, rng):
    weight, x = random_matrix(name, (70, 512), rng), rng.normal(size=(rows, 512)).astype(np.float32)
    expected = x.astype(np.float64) @ weight.to_float32().T.astype(np.float64)
    y, _ = forward(x, weight)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, atol=2e-6 * np.abs(expected).max() + 1e-5)


def test_large_matrix_in_parallel(forward, rng):
    """Beyond the size from which threads share the rows; no row is left out."""
    weight, x = random_matrix("Q4_1", (1001, 256), rng), rng.normal(size=(1, 256)).astype(np.float32)
    np.testing.assert_allclose(forward(x, weight)[0], x @ weight.to_float32().T, atol=1e-4)
    plain = weight.to_float32()
    np.testing.assert_allclose(forward(x, plain)[0], x @ plain.T, atol=1e-4)


def test_groups_that_cross_rows(forward, rng):
    """llama2.c's int8: 172 columns in groups of 64."""
    values = rng.integers(-127, 128, (64, 172), dtype=np.int8)
    weight = GroupedArray(values, rng.random(64 * 172 // 64, dtype=np.float32))
    flat = values.ravel().astype(np.float32) * np.repeat(weight.scales, 64)
    x = rng.normal(size=(2, 172)).astype(np.float32)
    np.testing.assert_allclose(forward(x, weight)[0], x @ flat.reshape(64, 172).T, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_in_is_dtype_out(forward, dtype):
    assert forward(np.ones((1, 4), dtype), np.ones((3, 4), dtype))[0].dtype == dtype


def test_unaligned_bytes(forward, rng):
    """Rows of a mapped file begin anywhere."""
    whole = random_matrix("Q8_0", (9, 64), rng)
    shifted = np.zeros(whole.data.size + 3, np.uint8)[3:].reshape(whole.data.shape)
    shifted[:] = whole.data
    x = rng.normal(size=(1, 64)).astype(np.float32)
    weight = PackedArray(shifted, whole.format, 64)
    np.testing.assert_array_equal(forward(x, weight)[0], forward(x, whole)[0])


def test_widths_must_agree(forward):
    with pytest.raises(ValueError, match="rows of 4, the weight"):
        forward(np.ones((2, 4)), np.ones((3, 5)))


def test_gradients_into_given_arrays(rng, monkeypatch):
    """Written over what is there, or added to it, in tiles that do not divide the rows."""
    monkeypatch.setattr(linear, "_SUM_SIZE", 3 * 8)
    _, saved = linear_forward(rng.normal(size=(2, 5, 8)), rng.normal(size=(10, 8)))
    dy = rng.normal(size=(2, 5, 10))
    expected_dx, expected = linear_backward(dy, saved)
    dx, dweight = np.full((2, 5, 8), np.nan), np.full((10, 8), np.nan)
    linear_backward_into(dy, saved, dx, dweight, add=False)
    np.testing.assert_allclose(dx, expected_dx, atol=1e-14)
    np.testing.assert_allclose(dweight, expected, atol=1e-14)
    linear_backward_into(2 * dy, saved, dx, dweight, add=True)
    np.testing.assert_allclose(dx, 2 * expected_dx, atol=1e-14)
    np.testing.assert_allclose(dweight, 3 * expected, atol=1e-13)


@pytest.mark.skipif(not INTEGERS_BEAT_BLAS, reason="this CPU multiplies many rows in floats, which are not rounded")
def test_rows_are_rounded_once_for_matrices_that_take_the_same(rng, monkeypatch):
    """Each product has the bits it has by itself, and another array is never taken for the last one."""
    roundings = []
    rounded = RepackedMatrix.rounded
    monkeypatch.setattr(RepackedMatrix, "rounded", lambda self, x: roundings.append(len(x)) or rounded(self, x))
    first, second = (repack(random_matrix("Q8_0", (32, 64), rng)) for _ in range(2))
    x = rng.normal(size=(2, 40, 64)).astype(np.float32)
    shared, other = SharedRounding(), x[:, 1:] * 2
    for weight, rows, n_roundings in ((first, x, 1), (second, x, 1), (second, other, 2), (first, x, 3)):
        y, saved = shared(rows, weight)
        assert len(roundings) == n_roundings
        np.testing.assert_array_equal(y, linear_forward_fast(rows, weight)[0])
        del roundings[n_roundings:]
        assert saved.x is rows
    y, _ = shared(x[..., :32], first.to_float32()[:, :32].copy())  # a matrix of floats
    np.testing.assert_array_equal(y, linear_forward_fast(x[..., :32], first.to_float32()[:, :32].copy())[0])
