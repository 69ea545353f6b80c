"""RoPE: PyTorch, the two layouts and the permutation between them, fast equals reference."""

import numpy as np
import pytest
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from minillama.layers.rope import (
    half_to_interleaved,
    interleaved_to_half,
    rope_forward,
    rope_forward_fast,
    rope_table,
)

SHAPES = [(1, 1, 1, 2), (2, 3, 5, 8), (1, 9, 40, 64)]


@pytest.fixture(params=[rope_forward, rope_forward_fast], ids=["reference", "fast"])
def forward(request):
    return request.param


def positions_for(shape, rng):
    return rng.integers(0, 50, (shape[0], shape[2]))


@pytest.mark.parametrize("shape", SHAPES)
def test_matches_pytorch_complex_rotation(forward, shape, rng):
    """Meta's model.py: neighbours as one complex number, times exp(j * angle)."""
    x, positions = rng.normal(size=shape), positions_for(shape, rng)
    cos, sin = rope_table(shape[-1], 50, 10000.0, np.float64)
    turn = torch.polar(torch.ones(50, shape[-1] // 2, dtype=torch.float64), torch.tensor(np.arctan2(sin, cos)))
    as_complex = torch.view_as_complex(torch.tensor(x).reshape(*shape[:-1], -1, 2))
    expected = torch.view_as_real(as_complex * turn[torch.tensor(positions)][:, None]).reshape(shape)
    y, _ = forward(x, cos, sin, positions)
    np.testing.assert_allclose(y, expected.numpy(), atol=1e-12)


def rotate_half(x, cos, sin, positions):
    """Hugging Face's rotation, of the pairs (x[i], x[i + head_dim / 2])."""
    c, s = (torch.tensor(np.concatenate((a, a), -1)[positions]) for a in (cos, sin))
    return apply_rotary_pos_emb(torch.tensor(x), torch.tensor(x), c, s)[0].numpy()


def test_layouts_agree_through_the_permutation(forward, rng):
    """Rotating interleaved rows, then permuting, equals permuting and rotating as Hugging Face does."""
    head_dim, x = 8, rng.normal(size=(1, 3, 5, 8))
    table, positions = rope_table(head_dim, 5, 10000.0, np.float64), np.arange(5)[None]
    permute = lambda a: interleaved_to_half(np.moveaxis(a, -1, 0), head_dim)  # the last axis is one head
    interleaved = permute(forward(x, *table, positions)[0])
    half = rotate_half(np.moveaxis(permute(x), 0, -1), *table, positions)
    np.testing.assert_allclose(interleaved, np.moveaxis(half, -1, 0), atol=1e-14)


def test_permutation_of_one_head():
    np.testing.assert_array_equal(interleaved_to_half(np.arange(4), 4), [0, 2, 1, 3])
    np.testing.assert_array_equal(interleaved_to_half(np.arange(12), 6), [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11])


@pytest.mark.parametrize("head_dim", [2, 4, 6, 64])
def test_permutations_are_inverse(head_dim, rng):
    rows = rng.integers(0, 256, (3 * head_dim, 5), dtype=np.uint8)
    np.testing.assert_array_equal(half_to_interleaved(interleaved_to_half(rows, head_dim), head_dim), rows)
    np.testing.assert_array_equal(interleaved_to_half(half_to_interleaved(rows, head_dim), head_dim), rows)


def test_permutation_equals_the_converter_of_transformers(rng):
    """convert_llama_weights_to_hf.py: view(heads, h/2, 2, in).transpose(1, 2)."""
    rows = rng.normal(size=(4 * 6, 10))
    expected = torch.tensor(rows).view(4, 3, 2, 10).transpose(1, 2).reshape(24, 10)
    np.testing.assert_array_equal(interleaved_to_half(rows, 6), expected.numpy())


@pytest.mark.parametrize("rows", [5, 7])
def test_permutation_refuses_partial_heads(rows):
    with pytest.raises(ValueError, match="not whole heads"):
        interleaved_to_half(np.zeros((rows, 2)), 4)


@pytest.mark.parametrize("shape", SHAPES)
def test_fast_equals_reference(shape, rng):
    x, positions = rng.normal(size=shape).astype(np.float32), positions_for(shape, rng)
    table = rope_table(shape[-1], 50, 10000.0)
    slow, fast = rope_forward(x, *table, positions)[0], rope_forward_fast(x, *table, positions)[0]
    np.testing.assert_allclose(fast, slow, atol=1e-6)


def test_scores_depend_on_distance_only(forward, rng):
    """q at m and k at n give the product that q at m + 7 and k at n + 7 give."""
    q, k = rng.normal(size=(2, 1, 1, 1, 16))
    table = rope_table(16, 64, 10000.0, np.float64)
    at = lambda x, m: forward(x, *table, np.array([[m]]))[0].ravel()
    assert at(q, 20) @ at(k, 5) == pytest.approx(at(q, 27) @ at(k, 12), abs=1e-12)


def test_table_goldens():
    """theta ** (-2i / h) for h = 128 and h = 64."""
    frequency = lambda h, i: np.arctan2(*(t[1, i] for t in rope_table(h, 2, 10000.0, np.float64)[::-1]))
    assert frequency(128, 0) == pytest.approx(1)
    assert frequency(128, 1) == pytest.approx(0.865964, abs=1e-6)
    assert frequency(128, 63) == pytest.approx(1.15478e-4, rel=1e-5)
    assert frequency(64, 31) == pytest.approx(1.33352e-4, rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_in_is_dtype_out(forward, dtype):
    x = np.ones((1, 1, 2, 4), dtype)
    assert forward(x, *rope_table(4, 2, 10000.0, dtype), np.array([[0, 1]]))[0].dtype == dtype


def test_strided_input(forward, rng):
    """The model passes heads as a transposed view."""
    x = rng.normal(size=(2, 5, 3, 8)).swapaxes(1, 2)
    table, positions = rope_table(8, 5, 10000.0, np.float64), np.tile(np.arange(5), (2, 1))
    np.testing.assert_allclose(forward(x, *table, positions)[0], rope_forward(x.copy(), *table, positions)[0])


@pytest.mark.parametrize(
    ("positions", "message"),
    [([[0, 5]], "in \\[0, 5\\)"), ([[-1, 0]], "in \\[0, 5\\)"), ([[0]], "must be \\(B, T\\)")],
)
def test_positions_are_checked(forward, positions, message):
    with pytest.raises(ValueError, match=message):
        forward(np.ones((1, 1, 2, 4)), *rope_table(4, 5, 10000.0, np.float64), np.array(positions))
