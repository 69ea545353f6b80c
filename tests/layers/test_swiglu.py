"""SwiGLU: PyTorch, fast equals reference, dtypes and edges."""

import numpy as np
import pytest
import torch

from minillama.layers.swiglu import swiglu_backward_fast, swiglu_forward, swiglu_forward_fast

SHAPES = [(1,), (2, 3, 16), (30, 1536)]


@pytest.fixture(params=[swiglu_forward, swiglu_forward_fast], ids=["reference", "fast"])
def forward(request):
    return request.param


@pytest.mark.parametrize("shape", SHAPES)
def test_matches_pytorch(forward, shape, rng):
    gate, up = 3 * rng.normal(size=shape), rng.normal(size=shape)
    expected = torch.nn.functional.silu(torch.tensor(gate)) * torch.tensor(up)
    np.testing.assert_allclose(forward(gate, up)[0], expected.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("shape", SHAPES)
def test_fast_equals_reference(shape, rng):
    gate, up = (3 * rng.normal(size=(2, *shape))).astype(np.float32)
    np.testing.assert_allclose(swiglu_forward_fast(gate, up)[0], swiglu_forward(gate, up)[0], rtol=1e-5, atol=1e-7)


def test_extremes(forward):
    """No overflow at either end, and NaN is not swallowed."""
    gate = np.array([-1e4, -100, 0, 100, 1e4, np.nan], np.float32)
    y, _ = forward(gate, np.ones(6, np.float32))
    np.testing.assert_allclose(y, [0, 0, 0, 100, 1e4, np.nan], atol=1e-30)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_in_is_dtype_out(forward, dtype):
    assert forward(np.ones((2, 4), dtype), np.ones((2, 4), dtype))[0].dtype == dtype


def test_strided_input(forward, rng):
    gate, up = rng.normal(size=(2, 4, 16))[..., ::2]
    np.testing.assert_allclose(forward(gate, up)[0], swiglu_forward(gate.copy(), up.copy())[0])


def test_shapes_must_agree(forward):
    with pytest.raises(ValueError, match="must agree"):
        forward(np.ones((2, 4)), np.ones((2, 3)))


@pytest.mark.parametrize("rows", [5, 11, 101])
def test_the_same_numbers_elsewhere_in_memory_have_the_same_gradient(rows):
    rng = np.random.default_rng(0)
    dy, gate, up = rng.standard_normal((3, rows, 24)).astype(np.float32)
    first = swiglu_backward_fast(dy, swiglu_forward_fast(gate, up)[1])
    held = []
    for _ in range(200):
        held.append([np.empty(n, np.float32) for n in rng.integers(1, 3000, 10)][::2])  # other places are free now
        again = swiglu_backward_fast(dy.copy(), swiglu_forward_fast(gate.copy(), up.copy())[1])
        np.testing.assert_array_equal(again, first)
