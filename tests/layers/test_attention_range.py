"""The kernel of decoding, as the fused token calls it: a range of keys, some of them another sequence's too."""

import numpy as np
import pytest
from numba import config, njit

from minillama.layers.attention import attention_forward_fast
from minillama.layers.attention_kernels.few import KEYS, address_of_range, attend_range_at, scratch_size

KINDS = [(np.float32, np.float32), (np.float16, np.uint16)]


@njit
def _call(address, q, k_shared, v_shared, n_shared, k, v, first, last, y, largest, total, scratch):
    attend_range_at(address, (q, k_shared, v_shared, n_shared, k, v, first, last, y, largest, total, scratch))


def attend(q, k_shared, v_shared, n_shared, k, v, first, last):
    """Softmax over keys first ... last - 1 of queries (R, head_dim), and its logarithm's denominator."""
    y, largest, total = np.empty(q.shape, np.float32), np.empty(len(q), np.float32), np.empty(len(q), np.float32)
    scratch = np.full(scratch_size(*q.shape), np.nan, np.float32)
    keys = (k_shared, v_shared, n_shared, k, v)
    _call(address_of_range(k.dtype), q, *keys, first, last, y, largest, total, scratch)
    return y, largest, total


def make(group, head_dim, n_keys, stored, seen_as, seed=0):
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(group, head_dim)).astype(np.float32)
    k, v = rng.normal(size=(2, n_keys, head_dim)).astype(stored).view(seen_as)
    return q, k, v


@pytest.mark.parametrize(("stored", "seen_as"), KINDS, ids=["float32", "float16"])
@pytest.mark.parametrize("head_dim", [4, 16, 48, 64, 80, 128, 208])
@pytest.mark.parametrize("group", [1, 2, 3, 4, 5, 7, 8, 12])
def test_a_range_of_keys_equals_float64(group, head_dim, stored, seen_as):
    q, k, v = make(group, head_dim, 300, stored, seen_as)
    for first, last in [(0, 1), (0, 64), (0, 200), (63, 65), (77, 80), (100, 299)]:
        y, largest, total = attend(q, k, v, 0, k, v, first, last)
        keys, values = (a.view(stored)[first:last].astype(np.float64) for a in (k, v))
        scores = q.astype(np.float64) @ keys.T / np.sqrt(head_dim)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        np.testing.assert_allclose(largest, scores.max(axis=1), atol=2e-6)
        np.testing.assert_allclose(total, weights.sum(axis=1), rtol=1e-5)
        np.testing.assert_allclose(y, weights @ values, atol=2e-5)


@pytest.mark.parametrize(("stored", "seen_as"), KINDS, ids=["float32", "float16"])
@pytest.mark.parametrize(("group", "head_dim"), [(1, 64), (3, 64), (5, 80), (2, 20), (9, 128)])
def test_shared_keys_change_no_bit(group, head_dim, stored, seen_as):
    """Wherever the range begins and ends, before, in and after what is shared."""
    q, k, v = make(group, head_dim, 400, stored, seen_as)
    for n_shared in (KEYS, 4 * KEYS):
        # What lies past the shared keys there, and before the own ones, is not read.
        k_shared, v_shared = k[:n_shared].copy(), v[:n_shared].copy()
        own_k, own_v = k[n_shared:].copy(), v[n_shared:].copy()
        for first, last in [(0, 400), (0, n_shared), (0, n_shared + 1), (n_shared - 3, n_shared + 70), (n_shared, 399)]:
            whole = attend(q, k, v, 0, k, v, first, last)
            parts = attend(q, k_shared, v_shared, n_shared, own_k, own_v, first, last)
            for a, b in zip(whole, parts):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("stored", "seen_as"), KINDS, ids=["float32", "float16"])
@pytest.mark.parametrize("head_dim", [20, 64, 80, 128])
def test_a_query_does_not_depend_on_those_beside_it(head_dim, stored, seen_as):
    q, k, v = make(7, head_dim, 200, stored, seen_as)
    together = attend(q, k, v, 0, k, v, 10, 200)
    for first, last in [(0, 1), (3, 4), (6, 7), (1, 4), (2, 7), (0, 6)]:
        apart = attend(q[first:last], k, v, 0, k, v, 10, 200)
        for a, b in zip(apart, together):
            np.testing.assert_array_equal(a, b[first:last])


@pytest.mark.parametrize(("stored", "seen_as"), KINDS, ids=["float32", "float16"])
@pytest.mark.parametrize(("group", "head_dim"), [(3, 64), (1, 48), (5, 20)])
@pytest.mark.parametrize("window", [1 << 62, 50])
def test_a_decoded_token_is_that_of_a_prompt(group, head_dim, window, stored, seen_as):
    """Decoding goes the same steps as a prompt."""
    q, k, v = make(group, head_dim, 200, stored, seen_as)
    for position in (0, 63, 64, 130, 199):
        y, _, total = attend(q, k, v, 0, k, v, max(0, position + 1 - window), position + 1)
        several = np.repeat(q[None, :, None], 9, axis=2)  # nine tokens that ask the same, at different places
        positions = np.minimum(position + np.arange(9), 199)[None]
        prompt, _ = attention_forward_fast(
            several, k[None, None].view(stored), v[None, None].view(stored), positions, window
        )
        # Only the division at the end may be another one.
        np.testing.assert_allclose(
            prompt[0, :, 0], y / total[:, None], rtol=3e-7, atol=2e-6 if config.DISABLE_JIT else 0
        )
