"""Causal attention: PyTorch for MHA, MQA and GQA, fast equals reference, what must not be read."""

import numpy as np
import pytest
import torch
from numba import config

from minillama.layers.attention import NO_WINDOW, attention_forward, attention_forward_fast

# Compiled kernels are equal to the last bit; without the compiler NumPy adds in an order of its own.
BITS = {"rtol": 0, "atol": 2e-6 if config.DISABLE_JIT else 0}
# B, n_heads, n_kv_heads, T, head_dim
SHAPES = [(1, 1, 1, 1, 2), (2, 4, 4, 3, 8), (2, 6, 1, 7, 4), (3, 9, 3, 5, 16), (1, 4, 2, 300, 8)]


@pytest.fixture(params=[attention_forward, attention_forward_fast], ids=["reference", "fast"])
def forward(request):
    return request.param


def make(shape, rng, dtype=np.float64, n_keys=None):
    batch, n_heads, n_kv_heads, n_tokens, head_dim = shape
    n_keys = n_tokens if n_keys is None else n_keys
    q = rng.normal(size=(batch, n_heads, n_tokens, head_dim)).astype(dtype)
    k, v = rng.normal(size=(2, batch, n_kv_heads, n_keys, head_dim)).astype(dtype)
    return q, k, v, np.tile(np.arange(n_tokens), (batch, 1))


@pytest.mark.parametrize("shape", SHAPES)
def test_matches_pytorch(forward, shape, rng):
    q, k, v, positions = make(shape, rng)
    expected = torch.nn.functional.scaled_dot_product_attention(
        *map(torch.tensor, (q, k, v)), is_causal=True, enable_gqa=True
    )
    y, _ = forward(q, k, v, positions)
    np.testing.assert_allclose(y, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_logsumexp_is_that_of_the_scores(forward, shape, rng):
    q, k, v, positions = make(shape, rng)
    group = shape[1] // shape[2]
    scores = torch.tensor(q) @ torch.tensor(np.repeat(k, group, axis=1)).mT / np.sqrt(shape[4])
    scores = scores.masked_fill(torch.triu(torch.ones(shape[3], shape[3]), 1).bool(), -torch.inf)
    _, saved = forward(q, k, v, positions)
    np.testing.assert_allclose(saved.logsumexp, torch.logsumexp(scores, -1).numpy(), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_fast_equals_reference(shape, rng):
    q, k, v, positions = make(shape, rng, np.float32)
    np.testing.assert_allclose(
        attention_forward_fast(q, k, v, positions)[0], attention_forward(q, k, v, positions)[0], atol=2e-6
    )


@pytest.mark.parametrize("n_tokens", [1, 3, 20])
def test_chunk_of_a_longer_sequence(forward, n_tokens, rng):
    """Queries that start at a position of their own in every row see their own past only."""
    q, k, v, _ = make((2, 4, 2, n_tokens, 8), rng, n_keys=200)
    starts = np.array([5, 150])
    y, _ = forward(q, k, v, starts[:, None] + np.arange(n_tokens))
    for b, start in enumerate(starts):
        for t in range(n_tokens):
            seen = slice(0, start + t + 1)
            keys, values = (torch.tensor(a[b : b + 1, :, seen]) for a in (k, v))
            alone = torch.nn.functional.scaled_dot_product_attention(
                torch.tensor(q[b : b + 1, :, t : t + 1]), keys, values, enable_gqa=True
            )
            np.testing.assert_allclose(y[b, :, t], alone[0, :, 0].numpy(), atol=1e-12)


@pytest.mark.parametrize("n_tokens", [2, 20])
def test_the_future_is_not_read(forward, n_tokens, rng):
    """Keys and values past every position may be anything, NaN included."""
    q, k, v, positions = make((1, 2, 1, n_tokens, 4), rng, n_keys=n_tokens + 10)
    clean = forward(q, k, v, positions)[0]
    k[:, :, n_tokens:], v[:, :, n_tokens:] = np.nan, np.nan
    np.testing.assert_array_equal(forward(q, k, v, positions)[0], clean)


def test_large_scores_do_not_overflow(forward):
    """Scores of 1e4 would be infinite under exp."""
    q = np.full((1, 1, 3, 4), 100, np.float32)
    k, v = np.full((1, 1, 3, 4), 200, np.float32), np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    y, _ = forward(q, k, v, np.arange(3)[None])
    np.testing.assert_allclose(y[0, 0, 2], v[0, 0].mean(axis=0))


def test_neighbouring_heads_share_keys(forward, rng):
    """Query heads 0 and 1 use key head 0, 2 and 3 key head 1: repeat, not tile."""
    q, k, v, positions = make((1, 4, 2, 3, 4), rng)
    full = attention_forward(q, np.repeat(k, 2, axis=1), np.repeat(v, 2, axis=1), positions)[0]
    np.testing.assert_allclose(forward(q, k, v, positions)[0], full, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_tokens", [1, 9])
def test_dtype_in_is_dtype_out(forward, dtype, n_tokens, rng):
    assert forward(*make((1, 2, 1, n_tokens, 4), rng, dtype))[0].dtype == dtype


def test_strided_queries(forward, rng):
    q, k, v, positions = make((2, 4, 2, 6, 8), rng)
    strided = np.ascontiguousarray(q.swapaxes(1, 2)).swapaxes(1, 2)
    np.testing.assert_allclose(forward(strided, k, v, positions)[0], forward(q, k, v, positions)[0], atol=1e-14)


def test_shapes_are_checked(forward, rng):
    q, k, v, positions = make((1, 4, 2, 3, 4), rng)
    with pytest.raises(ValueError, match="K a divisor of 4"):
        forward(q, np.repeat(k, 3, axis=1)[:, :3], np.repeat(v, 3, axis=1)[:, :3], positions)
    with pytest.raises(ValueError, match="positions must be in"):
        forward(q, k, v, positions + 1)
    with pytest.raises(ValueError, match="positions must be \\(B, T\\)"):
        forward(q, k, v, positions[:, :2])


@pytest.mark.parametrize("window", [1, 5, 31, 33, 64, 100])
@pytest.mark.parametrize(
    ("dtype", "head_dim", "first"),
    [(np.float32, 16, 0), (np.float32, 20, 0), (np.float32, 6, 0), (np.float64, 8, 0), (np.float32, 16, 67)],
    ids=["tiles", "tiles of 20", "BLAS", "float64", "few queries"],
)
def test_a_window_hides_what_lies_further_back(rng, window, dtype, head_dim, first):
    """Mistral's sliding window, against PyTorch's attention under the same mask."""
    n_keys, H, K = 70, 4, 2
    q = rng.normal(size=(2, H, n_keys, head_dim)).astype(dtype)
    k, v = (rng.normal(size=(2, K, n_keys, head_dim)).astype(dtype) for _ in range(2))
    distance = np.arange(n_keys)[:, None] - np.arange(n_keys)
    mask = torch.tensor((distance >= 0) & (distance < window))
    tensors = [torch.tensor(a, dtype=torch.float64) for a in (q, np.repeat(k, H // K, 1), np.repeat(v, H // K, 1))]
    expected = torch.nn.functional.scaled_dot_product_attention(*tensors, attn_mask=mask).numpy()[:, :, first:]
    positions = np.broadcast_to(np.arange(first, n_keys), (2, n_keys - first)).copy()
    for attend in (attention_forward, attention_forward_fast):
        y, saved = attend(q[:, :, first:], k, v, positions, window)
        error = np.abs(y - expected).max()
        print(f"largest error {error:.1e}")
        assert error < (1e-12 if dtype == np.float64 else 2e-6)
        assert y.dtype == dtype
        assert saved is None


@pytest.mark.parametrize("stored", [np.float32, np.float16])
@pytest.mark.parametrize("window", [NO_WINDOW, 1, 40, 64, 100])
@pytest.mark.parametrize(
    ("n_heads", "n_kv_heads", "head_dim"), [(9, 3, 64), (2, 2, 48), (4, 1, 20), (5, 1, 16)], ids=str
)
def test_chunks_of_a_prompt_change_no_bit(n_heads, n_kv_heads, head_dim, window, stored, rng):
    """A prompt in pieces, of one token too, gives what it gives at once; keys are those of the cache."""
    T = 150
    q = rng.normal(size=(1, n_heads, T, head_dim)).astype(np.float32)
    k, v = rng.normal(size=(2, 1, n_kv_heads, 200, head_dim)).astype(stored)
    positions = np.arange(T)[None]
    whole, saved = attention_forward_fast(q, k, v, positions, window)
    for cuts in [(64,), (128,), (7,), (100, 149), (1, 2, 3, 63, 65, 66)]:
        for first, last in zip((0, *cuts), (*cuts, T)):
            part = slice(first, last)
            y, lse = attention_forward_fast(q[:, :, part], k, v, positions[:, part], window)
            np.testing.assert_allclose(y, whole[:, :, part], **BITS)
            if saved is not None:
                np.testing.assert_allclose(lse.logsumexp, saved.logsumexp[:, :, part], **BITS)


@pytest.mark.parametrize("window", [NO_WINDOW, 30])
@pytest.mark.parametrize("head_dim", [64, 20])
def test_half_precision_is_that_of_the_numbers_it_holds(forward, head_dim, window, rng):
    """Keys and values of float16 are widened, nothing else changes."""
    q = rng.normal(size=(1, 4, 70, head_dim)).astype(np.float32)
    k, v = rng.normal(size=(2, 1, 2, 70, head_dim)).astype(np.float16)
    positions = np.arange(70)[None]
    for first in (0, 68):  # many queries and few
        part = slice(first, 70)
        found = forward(q[:, :, part], k, v, positions[:, part], window)[0]
        wide = forward(q[:, :, part], k.astype(np.float32), v.astype(np.float32), positions[:, part], window)[0]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wide, atol=1e-6)


def test_a_row_of_a_batch_is_the_row_alone(rng):
    """To the last bit, whatever positions the others are at."""
    q = rng.normal(size=(3, 6, 4, 32)).astype(np.float32)
    k, v = rng.normal(size=(2, 3, 2, 150, 32)).astype(np.float32)
    positions = np.array([0, 70, 140])[:, None] + np.arange(4)
    together = attention_forward_fast(q, k, v, positions)[0]
    for b in range(3):
        row = slice(b, b + 1)
        np.testing.assert_allclose(
            attention_forward_fast(q[row], k[row], v[row], positions[row])[0], together[row], **BITS
        )
