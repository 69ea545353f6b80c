"""Backward of every layer: PyTorch's autograd, finite differences, fast equals reference, dtypes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minillama.layers.attention import attention_backward_fast, attention_forward
from minillama.layers.linear import linear_backward, linear_forward
from minillama.layers.rope import rope_table
from minillama.ops import FAST, REFERENCE, Ops
from minillama.quantization.formats import quantize

EPS = 1e-5


@dataclass
class Layer:
    """A layer with inputs: what is differentiated comes first, the rest is fixed."""

    name: str
    inputs: Callable[[np.random.Generator], tuple[list[np.ndarray], list[Any]]]
    torch: Callable[..., torch.Tensor]
    reorder: bool = False  # the fixed arguments come first (embedding: tokens, weight)

    def run(self, ops: Ops, arrays: list[np.ndarray], fixed: list[Any]) -> tuple[np.ndarray, Any]:
        arguments = [*fixed, *arrays] if self.reorder else [*arrays, *fixed]
        return getattr(ops, f"{self.name}_forward")(*arguments)

    def back(self, ops: Ops, dy: np.ndarray, saved: Any) -> list[np.ndarray]:
        found = getattr(ops, f"{self.name}_backward")(dy, saved)
        return list(found) if isinstance(found, tuple) else [found]


def _rope(x, cos, sin, positions):
    c, s = (torch.tensor(a)[torch.tensor(positions)][:, None] for a in (cos, sin))
    return torch.stack((x[..., 0::2] * c - x[..., 1::2] * s, x[..., 0::2] * s + x[..., 1::2] * c), -1).flatten(3)


def _attention(batch, n_heads, n_kv_heads, n_tokens, head_dim, n_unseen=0):
    def make(rng):
        q = rng.normal(size=(batch, n_heads, n_tokens, head_dim))
        k, v = rng.normal(size=(2, batch, n_kv_heads, n_tokens + n_unseen, head_dim))
        return [q, k, v], [np.tile(np.arange(n_tokens), (batch, 1))]

    def in_torch(q, k, v, positions):
        return F.scaled_dot_product_attention(
            q, k[:, :, :n_tokens], v[:, :, :n_tokens], is_causal=True, enable_gqa=True
        )

    return Layer("attention", make, in_torch)


def _rms(*shape):
    return Layer(
        "rmsnorm",
        lambda rng: ([rng.normal(size=shape), rng.normal(size=shape[-1])], [EPS]),
        lambda x, w, eps: F.rms_norm(x, (shape[-1],), w, eps),
    )


LAYERS = {
    "embedding": Layer(
        "embedding",
        lambda rng: ([rng.normal(size=(11, 6))], [rng.integers(0, 11, (5, 20))]),
        lambda w, tokens: F.embedding(torch.tensor(tokens), w),
        reorder=True,
    ),
    "linear": Layer("linear", lambda rng: ([rng.normal(size=(2, 3, 7)), rng.normal(size=(5, 7))], []), F.linear),
    "rmsnorm": _rms(2, 3, 16),
    "rmsnorm-one-row": _rms(1, 8),
    "rmsnorm-many-rows": _rms(7, 41, 67),
    "swiglu": Layer("swiglu", lambda rng: (list(3 * rng.normal(size=(2, 3, 5, 37))), []), lambda g, u: F.silu(g) * u),
    "swiglu-many": Layer(
        "swiglu", lambda rng: (list(3 * rng.normal(size=(2, 90, 201))), []), lambda g, u: F.silu(g) * u
    ),
    "rope": Layer(
        "rope",
        lambda rng: (
            [rng.normal(size=(2, 3, 5, 8))],
            [*rope_table(8, 30, 1e4, np.float64), rng.integers(0, 30, (2, 5))],
        ),
        _rope,
    ),
    "attention-one-token": _attention(1, 1, 1, 1, 2),
    "attention-mha": _attention(2, 3, 3, 5, 16),
    "attention-gqa": _attention(2, 6, 2, 70, 48),
    "attention-mqa": _attention(1, 4, 1, 33, 32, n_unseen=9),
    "attention-wide": _attention(1, 2, 1, 45, 80),
    "attention-odd-width": _attention(3, 4, 2, 37, 6),
    "attention-long": _attention(1, 2, 1, 300, 16),
}


@pytest.fixture(params=LAYERS.values(), ids=LAYERS.keys())
def layer(request) -> Layer:
    return request.param


@pytest.fixture(params=[REFERENCE, FAST], ids=["reference", "fast"])
def ops(request) -> Ops:
    return request.param


def test_matches_autograd(layer, ops, rng):
    arrays, fixed = layer.inputs(rng)
    y, saved = layer.run(ops, arrays, fixed)
    dy = rng.normal(size=y.shape)
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = torch.autograd.grad(layer.torch(*tensors, *fixed), tensors, torch.tensor(dy))
    for found, gradient in zip(layer.back(ops, dy, saved), expected, strict=True):
        np.testing.assert_allclose(found, gradient.numpy(), rtol=1e-9, atol=1e-11)


def test_matches_finite_differences(layer, ops, rng):
    """Along a random direction the result changes as the gradient says."""
    arrays, fixed = layer.inputs(rng)
    y, saved = layer.run(ops, arrays, fixed)
    dy, step = rng.normal(size=y.shape), 1e-6
    for i, gradient in enumerate(layer.back(ops, dy, saved)):
        direction = rng.normal(size=arrays[i].shape)
        moved = [[a + s * step * direction if i == j else a for j, a in enumerate(arrays)] for s in (1, -1)]
        up, down = (layer.run(ops, m, fixed)[0] for m in moved)
        expected = np.sum((up - down) * dy) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-5, atol=1e-6)


def test_fast_equals_reference_in_float32(layer, rng):
    arrays, fixed = layer.inputs(rng)
    arrays = [a.astype(np.float32) for a in arrays]
    fixed = [f.astype(np.float32) if getattr(f, "dtype", None) == np.float64 else f for f in fixed]
    y, saved = layer.run(REFERENCE, arrays, fixed)
    _, fast_saved = layer.run(FAST, arrays, fixed)
    dy = rng.normal(size=y.shape).astype(np.float32)
    for fast, slow in zip(layer.back(FAST, dy, fast_saved), layer.back(REFERENCE, dy, saved), strict=True):
        assert fast.dtype == slow.dtype == np.float32
        np.testing.assert_allclose(fast, slow, atol=2e-6 * np.abs(slow).max())


def test_one_thread_equals_many(layer, rng):
    """A worker's kernels, on its one thread, give what several threads give."""
    import numba

    arrays, fixed = layer.inputs(rng)
    arrays = [a.astype(np.float32) for a in arrays]
    fixed = [f.astype(np.float32) if getattr(f, "dtype", None) == np.float64 else f for f in fixed]
    y, saved = layer.run(FAST, arrays, fixed)
    dy = rng.normal(size=y.shape).astype(np.float32)
    together = layer.back(FAST, dy, saved)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone = layer.back(FAST, dy, layer.run(FAST, arrays, fixed)[1])
    finally:
        numba.set_num_threads(threads)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6 * np.abs(b).max())


def test_arguments_stay_as_they_are(layer, ops, rng):
    arrays, fixed = layer.inputs(rng)
    y, saved = layer.run(ops, arrays, fixed)
    dy = rng.normal(size=y.shape)
    before = [a.copy() for a in (dy, *arrays)]
    layer.back(ops, dy, saved)
    for a, b in zip((dy, *arrays), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_large_gates_do_not_overflow(ops):
    gate, up = np.array([-1e4, -89, 0, 89, 1e4], np.float32), np.ones(5, np.float32)
    _, saved = ops.swiglu_forward(gate, up)
    dgate, dup = ops.swiglu_backward(up, saved)
    np.testing.assert_allclose(dgate, [0, 0, 0.5, 1, 1], atol=1e-6)
    np.testing.assert_allclose(dup, [0, 0, 0, 89, 1e4], atol=1e-6)


def test_a_packed_matrix_has_no_gradient(rng):
    weight = quantize(rng.normal(size=(4, 32)).astype(np.float32), "Q8_0")
    y, saved = linear_forward(np.ones((1, 32), np.float32), weight)
    with pytest.raises(ValueError, match="train plain float32"):
        linear_backward(y, saved)


def test_attention_in_chunks_has_its_share_of_the_gradient(rng):
    """Queries that start at position 20: the gradient is that of the full sequence with the other dy zero."""
    q, (k, v) = rng.normal(size=(1, 4, 50, 16)), rng.normal(size=(2, 1, 2, 50, 16))
    positions = np.arange(50)[None]
    dy = rng.normal(size=q.shape)
    dy[:, :, :20] = 0
    _, saved = attention_forward(q, k, v, positions)
    expected = REFERENCE.attention_backward(dy, saved)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        _, part = attention_forward(*(a.astype(dtype) for a in (q[:, :, 20:], k, v)), positions[:, 20:])
        dq, dk, dv = attention_backward_fast(dy[:, :, 20:].astype(dtype), part)
        for found, whole in ((dq, expected[0][:, :, 20:]), (dk, expected[1]), (dv, expected[2])):
            np.testing.assert_allclose(found, whole, atol=tolerance)


@pytest.mark.parametrize("ops", [REFERENCE, FAST], ids=["reference", "fast"])
@pytest.mark.parametrize("head_dim", [6, 16])
def test_large_scores_of_the_future_do_not_overflow(ops, head_dim):
    """A hidden key may score far above all that are seen."""
    q, k = np.full((1, 1, 3, head_dim), 30, np.float32), np.zeros((1, 1, 3, head_dim), np.float32)
    k[:, :, 2] = 30
    _, saved = ops.attention_forward(q, k, k.copy(), np.array([[0, 1, 1]]))
    for gradient in ops.attention_backward(np.ones_like(q), saved):
        assert np.isfinite(gradient).all()
