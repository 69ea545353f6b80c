"""RMSNorm: PyTorch, fast equals reference, dtypes and edges."""

import numpy as np
import pytest
import torch

from minillama.layers.rmsnorm import rmsnorm_forward, rmsnorm_forward_fast

SHAPES = [(1, 1, 8), (2, 3, 16), (5, 64), (40, 576)]
EPS = 1e-5


@pytest.fixture(params=[rmsnorm_forward, rmsnorm_forward_fast], ids=["reference", "fast"])
def forward(request):
    return request.param


@pytest.mark.parametrize("shape", SHAPES)
def test_matches_pytorch(forward, shape, rng):
    x, weight = rng.normal(size=shape), rng.normal(size=shape[-1])
    expected = torch.nn.functional.rms_norm(torch.tensor(x), (shape[-1],), torch.tensor(weight), EPS)
    y, _ = forward(x, weight, EPS)
    np.testing.assert_allclose(y, expected.numpy(), rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_fast_equals_reference(shape, rng):
    x, weight = rng.normal(size=shape).astype(np.float32), rng.normal(size=shape[-1]).astype(np.float32)
    slow, slow_saved = rmsnorm_forward(x, weight, EPS)
    fast, fast_saved = rmsnorm_forward_fast(x, weight, EPS)
    np.testing.assert_allclose(fast, slow, rtol=2e-6)
    np.testing.assert_allclose(fast_saved.rrms, slow_saved.rrms, rtol=1e-6)


def test_serial_equals_parallel(rng):
    """Rows are the same however many of them come at once."""
    x, weight = rng.normal(size=(400, 64)).astype(np.float32), rng.normal(size=64).astype(np.float32)
    together = rmsnorm_forward_fast(x, weight, EPS)[0]
    alone = np.concatenate([rmsnorm_forward_fast(row[None], weight, EPS)[0] for row in x])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_in_is_dtype_out(forward, dtype):
    y, _ = forward(np.ones((2, 4), dtype), np.ones(4, dtype), EPS)
    assert y.dtype == dtype


def test_half_precision_keeps_statistics_in_float32(forward):
    """The squares of 300 overflow in float16; the row still has unit root mean square."""
    y, _ = forward(np.full((1, 8), 300, np.float16), np.ones(8, np.float16), EPS)
    np.testing.assert_array_equal(y, np.ones((1, 8), np.float16))


def test_half_precision_equals_hugging_face(forward, rng):
    """The row is rounded to float16 before it meets the weight, bit for bit as in transformers."""
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    x, weight = rng.normal(size=(7, 32)).astype(np.float16), rng.normal(size=32).astype(np.float16)
    norm = LlamaRMSNorm(32, eps=EPS).half()
    norm.weight.data = torch.tensor(weight)
    y, _ = forward(x, weight, EPS)
    np.testing.assert_array_equal(y, norm(torch.tensor(x)).detach().numpy())


def test_zeros_and_nan(forward):
    """A row of zeros stays zero (eps is inside the root); NaN is not swallowed."""
    np.testing.assert_array_equal(forward(np.zeros((1, 4), np.float32), np.ones(4, np.float32), EPS)[0], 0)
    poisoned = forward(np.array([[1, np.nan]], np.float32), np.ones(2, np.float32), EPS)[0]
    assert np.isnan(poisoned).all()


def test_strided_input(forward, rng):
    x = rng.normal(size=(4, 16))[:, ::2]
    weight = rng.normal(size=8)
    np.testing.assert_allclose(forward(x, weight, EPS)[0], rmsnorm_forward(x.copy(), weight, EPS)[0], rtol=1e-12)


def test_wrong_width_is_refused(forward):
    with pytest.raises(ValueError, match=r"weight must have shape \(4,\)"):
        forward(np.ones((2, 4)), np.ones(3), EPS)
