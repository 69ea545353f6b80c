"""Embedding: PyTorch, packed tables, range checks."""

import numpy as np
import pytest
import torch

from minillama.layers.embedding import (
    embedding_backward,
    embedding_backward_onto,
    embedding_forward,
    embedding_forward_fast,
)
from minillama.quantization.formats import quantize


@pytest.fixture(params=[embedding_forward, embedding_forward_fast], ids=["reference", "fast"])
def forward(request):
    return request.param


@pytest.mark.parametrize("shape", [(1,), (2, 3), (4, 50)])
def test_matches_pytorch(forward, shape, rng):
    tokens, weight = rng.integers(0, 11, shape), rng.normal(size=(11, 6))
    expected = torch.nn.functional.embedding(torch.tensor(tokens), torch.tensor(weight))
    np.testing.assert_array_equal(forward(tokens, weight)[0], expected.numpy())


@pytest.mark.parametrize("name", ["F16", "BF16", "Q8_0", "Q4_1"])
def test_packed_rows(forward, name, rng):
    weight, tokens = quantize(rng.normal(size=(11, 64)).astype(np.float32), name), rng.integers(0, 11, (2, 40))
    x, _ = forward(tokens, weight)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, weight.to_float32()[tokens])


@pytest.mark.parametrize("wrong", [-1, 11])
@pytest.mark.parametrize("n", [1, 100])
def test_ids_outside_the_table_are_refused(forward, wrong, n):
    tokens = np.zeros(n, np.int64)
    tokens[-1] = wrong
    with pytest.raises(ValueError, match=f"in \\[0, 11\\).*got {wrong}"):
        forward(tokens, np.zeros((11, 4), np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_of_the_table(forward, dtype):
    assert forward(np.zeros(70, np.int64), np.zeros((3, 4), dtype))[0].dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_onto_another(dtype, rng):
    """A tied head's gradient is there already; tokens that occur twice add twice."""
    tokens, before = rng.integers(0, 5, (3, 40)), rng.normal(size=(11, 6)).astype(dtype)
    dx, (_, saved) = rng.normal(size=(3, 40, 6)).astype(dtype), embedding_forward(tokens, before)
    expected = before + embedding_backward(dx, saved)
    found = embedding_backward_onto(dx, saved, before)
    assert found is before
    np.testing.assert_allclose(found, expected, atol=1e-4 if dtype == np.float32 else 1e-12)
