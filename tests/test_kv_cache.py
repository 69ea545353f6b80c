"""The KV cache: growth, limits, rows that share a beginning, places for rows."""

import numpy as np
import pytest
from numba import njit

from minillama.compute.pointers import array_at as array_in_kernels
from minillama.config import ModelConfig
from minillama.kv_cache import (
    K_ADDRESS,
    K_SHARED_ADDRESS,
    N_OWN,
    N_SHARED,
    CacheOverflowError,
    CacheRows,
    ContextFullError,
    KVCache,
    as_stored,
    where_of,
)


@njit
def _array_of_four(address, shape, like):
    return array_in_kernels(address, shape, like).copy()


def array_at(address, shape, like):
    """A copy, which NumPy may hold, of what a kernel sees there; float16 goes as uint16."""
    return _array_of_four(int(address), shape, as_stored(like)).view(like.dtype)


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
    stored, _ = cache.stored()
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored[1, :, :, 7:12].view(np.float16), k.astype(np.float16))


def alone(config, n, rng, dtype=np.float32, **options):
    """A cache of one sequence of n tokens with random keys and values, and these."""
    cache = KVCache(config, 1, dtype=dtype, **options)
    new = n - int(cache.lengths[0])
    cache.reserve(new)
    k, v = rng.normal(size=(2, 1, 2, new, 2)).astype(np.float32)
    for layer in range(2):
        cache.write(layer, k + layer, v + layer, cache.positions(new))
    cache.advance(new)
    return cache, k, v


def beginning_of(config, n, rng):
    cache = KVCache(config, 1, max_seq_len=n)
    cache.reserve(n)
    k, v = rng.normal(size=(2, 1, 2, n, 2)).astype(np.float32)
    for layer in range(2):
        cache.write(layer, k + layer, v + layer, cache.positions(n))
    cache.advance(n)
    return cache.as_beginning(), k, v


def test_what_several_share_is_read_and_never_written(config, rng):
    """Growing, writing and cutting concern a sequence's own positions; what is returned is the whole."""
    beginning, k, v = beginning_of(config, 64, rng)
    kept = beginning.k.copy(), beginning.v.copy()
    one, other = (alone(config, 64 + n, rng, beginning=beginning) for n in (3, 400))
    for cache, own_k, own_v in (one, other):
        seen_k, seen_v = cache.write(1, own_k[:, :, -1:] + 1, own_v[:, :, -1:] + 1, cache.lengths[:, None] - 1)
        np.testing.assert_array_equal(seen_k, np.concatenate((k, own_k), axis=2) + 1)
        np.testing.assert_array_equal(seen_v, np.concatenate((v, own_v), axis=2) + 1)
        assert cache.capacity == 64 + cache.k.shape[3] >= cache.lengths[0]
    assert one[0].beginning.k is other[0].beginning.k
    np.testing.assert_array_equal(beginning.k, kept[0])
    np.testing.assert_array_equal(beginning.v, kept[1])
    one[0].truncate(64)
    with pytest.raises(ValueError, match="cannot cut a sequence of 64 tokens, 64 of them shared with others, to 63"):
        one[0].truncate(63)


def test_a_sequence_with_a_beginning_ends_where_others_end(config, rng):
    beginning, *_ = beginning_of(config, 960, rng)
    cache, *_ = alone(config, 999, rng, beginning=beginning)
    cache.reserve(1)
    with pytest.raises(ContextFullError, match="the context holds 1000 tokens: 999 are used, 2 more do not fit"):
        cache.reserve(2)


def test_only_a_whole_cache_can_be_a_beginning(config, rng):
    """Room that is not used, or a beginning of its own, would be kept along with it."""
    beginning, *_ = beginning_of(config, 64, rng)
    for cache in (alone(config, 5, rng)[0], alone(config, 320, rng, beginning=beginning)[0]):
        with pytest.raises(ValueError, match="a beginning is one sequence that fills its cache"):
            cache.as_beginning()


def test_a_fork_goes_its_own_way(config, rng):
    beginning, *_ = beginning_of(config, 64, rng)
    for options in ({}, {"beginning": beginning}):
        cache, k, _ = alone(config, 80, rng, **options)
        fork = cache.fork(70)
        n = 70 - fork.n_shared
        assert (fork.lengths.tolist(), cache.lengths.tolist()) == ([70], [80])
        np.testing.assert_array_equal(fork.k[1, :, :, :n], k[:, :, :n] + 1)
        fork.k[...] = 7
        np.testing.assert_array_equal(cache.k[0, :, :, : k.shape[2]], k)


def test_places_are_free_again_and_nothing_is_copied(config, rng):
    rows = CacheRows(2)
    one, other, third = (alone(config, n, rng)[0] for n in (3, 5, 9))
    arrays = [cache.k for cache in (one, other, third)]
    assert [rows.join(one), rows.join(other)] == [0, 1]
    with pytest.raises(ValueError, match="all 2 places are taken"):
        rows.join(third)
    rows.reserve(np.array([0, 1]))
    rows.advance(np.array([0, 1]))
    assert (one.lengths.tolist(), other.lengths.tolist()) == ([4], [6])
    rows.leave(0)
    rows.advance(np.array([1]))
    assert rows.join(third) == 0
    assert rows.lengths.tolist() == [9, 7]
    assert (one.lengths.tolist(), third.lengths.tolist()) == ([4], [9])  # who has left counts by itself
    assert all(a is b for a, b in zip(arrays, (one.k, other.k, third.k)))
    rows.leave(1)
    with pytest.raises(ValueError, match="place 1 is free"):
        rows.only(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_kernel_finds_keys_where_they_are_now(config, rng, dtype):
    """At the addresses of `where`, also after a row has grown; the others stay where they are."""
    rows = CacheRows(2)
    beginning, k, _ = beginning_of(config, 64, rng)
    shared, own_k, _ = alone(config, 64 + 200, rng, beginning=beginning)
    plain, plain_k, _ = alone(config, 256, rng, dtype)
    places = np.array([rows.join(shared), rows.join(plain)])
    rows.reserve(places)
    before = rows.where.copy()
    rows.reserve(places, 60)
    where = rows.where
    assert (where[:, N_OWN].tolist(), where[:, N_SHARED].tolist()) == ([512, 512], [64, 0])
    assert before[1].tolist() == where[1].tolist() == list(where_of(plain))
    found = array_at(where[0, K_ADDRESS], (2, 2, 512, 2), np.empty(0, np.float32))
    np.testing.assert_array_equal(found[1, :, :200], own_k[0] + 1)
    found = array_at(where[0, K_SHARED_ADDRESS], (2, 2, 64, 2), np.empty(0, np.float32))
    np.testing.assert_array_equal(found[1], k[0] + 1)
    found = array_at(where[1, K_ADDRESS], (2, 2, 512, 2), np.empty(0, dtype))
    np.testing.assert_array_equal(found[0, :, :256], plain_k[0].astype(dtype))


def test_bytes_of_a_beginning_count_once(config, rng):
    rows, one_position = CacheRows(4), 2 * 2 * 2 * 2 * 4
    beginning, *_ = beginning_of(config, 64, rng)
    for n in (70, 80, 90):
        rows.join(alone(config, n, rng, beginning=beginning)[0])
    assert rows.nbytes == one_position * (64 + 3 * 256)
    rows.join(alone(config, 5, rng)[0])
    assert rows.nbytes == one_position * (64 + 4 * 256)


def test_an_interrupt_while_a_row_grows_leaves_no_old_address(config, rng, monkeypatch):
    rows = CacheRows(1)
    rows.join(alone(config, 256, rng)[0])
    monkeypatch.setattr(KVCache, "reserve", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    rows.where[0] = where_of(rows.only(0))
    with pytest.raises(KeyboardInterrupt):
        rows.reserve(np.array([0]))
    assert not rows.where[0].any()
    monkeypatch.undo()
    rows.reserve(np.array([0]))
    assert rows.where[0].tolist() == list(where_of(rows.only(0)))


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
