"""The KV cache: growth, limits, rows."""

import numpy as np
import pytest

from minillama.config import ModelConfig
from minillama.kv_cache import CacheOverflowError, ContextFullError, KVCache


@pytest.fixture
def config():
    return ModelConfig(dim=8, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=16, vocab_size=10, max_seq_len=1000)


def filled(config, n, rng, batch=2):
    cache = KVCache(config, batch)
    cache.reserve(n)
    k, v = rng.normal(size=(2, batch, 2, n, 2)).astype(np.float32)
    for layer in range(2):
        cache.write(layer, k + layer, v + layer, np.tile(np.arange(n), (batch, 1)))
    cache.lengths += n
    return cache, k, v


def test_growing_keeps_what_was_written(config, rng):
    cache, k, v = filled(config, 200, rng)
    cache.reserve(500)
    assert cache.capacity == 700
    np.testing.assert_array_equal(cache.k[1, :, :, :200], k + 1)
    np.testing.assert_array_equal(cache.v[0, :, :, :200], v)


def test_grows_by_doubling_up_to_the_limit(config, rng):
    cache, _, _ = filled(config, 256, rng)
    cache.reserve(1)
    assert cache.capacity == 512
    cache.lengths[:] = 512
    cache.reserve(1)
    assert cache.capacity == 1000


def test_overflow_is_refused_and_changes_nothing(config, rng):
    cache, _, _ = filled(config, 200, rng)
    before = cache.k
    with pytest.raises(ContextFullError, match="the context holds 1000 tokens: 200 are used, 801 more do not fit"):
        cache.reserve(801)
    assert cache.k is before
    assert cache.lengths.tolist() == [200, 200]


def test_rows_of_different_length(config, rng):
    """Each row is written where it stands."""
    cache = KVCache(config, 2)
    cache.lengths[:] = [3, 7]
    cache.reserve(2)
    k, v = rng.normal(size=(2, 2, 2, 2, 2)).astype(np.float32)
    cache.write(0, k, v, cache.lengths[:, None] + np.arange(2))
    np.testing.assert_array_equal(cache.k[0, 0, :, 3:5], k[0])
    np.testing.assert_array_equal(cache.v[0, 1, :, 7:9], v[1])


def test_a_row_shares_memory(config, rng):
    cache, _, _ = filled(config, 5, rng)
    row = cache.row(1)
    row.lengths += 1
    row.k[0, 0, :, 5] = 9
    assert cache.lengths.tolist() == [5, 6]
    assert (cache.k[0, 1, :, 5] == 9).all()


def test_keeping_rows(config, rng):
    cache, k, _ = filled(config, 5, rng)
    cache.lengths[:] = [4, 5]
    cache.keep_rows(np.array([1]))
    assert cache.lengths.tolist() == [5]
    np.testing.assert_array_equal(cache.k[0, 0, :, :5], k[1])


def test_truncation_is_checked(config, rng):
    cache, _, _ = filled(config, 5, rng)
    cache.truncate(2, row=1)
    assert cache.lengths.tolist() == [5, 2]
    with pytest.raises(ValueError, match="cannot cut a sequence of 2 tokens to 3"):
        cache.truncate(3, row=1)


def test_bytes_are_those_of_the_configuration(config):
    cache = KVCache(config, 1, max_seq_len=100)
    assert cache.nbytes == config.kv_cache_bytes(100, bytes_per_number=4)


def test_half_precision_is_rounded_when_written_and_widened_when_read(config, rng):
    cache = KVCache(config, 2, dtype=np.float16)
    cache.reserve(300)
    k, v = rng.normal(size=(2, 2, 2, 5, 2)).astype(np.float32)
    seen_k, seen_v = cache.write(1, k, v, np.tile(np.arange(7, 12), (2, 1)))
    assert (seen_k.dtype, seen_k.shape, cache.nbytes) == (np.float32, (2, 2, 12, 2), 2 * 2 * 2 * 2 * 512 * 2 * 2)
    np.testing.assert_array_equal(seen_k[:, :, 7:], k.astype(np.float16))
    np.testing.assert_array_equal(seen_v[:, :, 7:], v.astype(np.float16))
    stored, *_ = cache.stored()
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored[1, :, :, 7:12].view(np.float16), k.astype(np.float16))


def test_kernels_get_contiguous_memory_whatever_was_done_to_the_rows(config):
    """A kernel is compiled for contiguous keys; of a row it gets the whole cache and the row's place in it."""
    cache = KVCache(config, 3, dtype=np.float16)
    cache.k[...] = np.arange(cache.k.size).reshape(cache.k.shape) % 97
    expected = cache.k[:, 2].copy()
    k, _, first = cache.row(2).stored()
    assert k.flags.c_contiguous
    np.testing.assert_array_equal(k[:, first].view(np.float16), expected)
    cache.keep_rows(np.array([2]))
    k, v, first = cache.stored()
    assert k.flags.c_contiguous
    assert v.flags.c_contiguous
    np.testing.assert_array_equal(k[:, first].view(np.float16), expected)


def test_numbers_beyond_half_precision_are_refused(config):
    """They would become infinite without a word."""
    cache, k = KVCache(config, 1, dtype=np.float16), np.ones((1, 2, 1, 2), np.float32)
    cache.reserve(1)
    for bad in (65600, -1e6):
        huge = k.copy()
        huge[0, 1, 0, 1] = bad
        for pair in ((huge, k), (k, huge)):
            with pytest.raises(CacheOverflowError, match="--kv-cache float32"):
                cache.write(0, *pair, np.zeros((1, 1), np.int64))
    assert np.isfinite(cache.k).all()
    KVCache(config, 1).write(0, huge, huge, np.zeros((1, 1), np.int64))
    cache.write(0, 65504 * k, -65504 * k, np.zeros((1, 1), np.int64))
    assert np.isfinite(cache.v).all()
