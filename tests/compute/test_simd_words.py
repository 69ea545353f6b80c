"""Sums of products in 16 bits: equal to integer arithmetic with every instruction that this CPU has."""

import numpy as np
import pytest
from instructions import HERE, compiled_with

from minillama.compute import simd_words
from minillama.compute.simd import store_floats
from minillama.compute.simd_bytes import high_nibbles, ints_to_floats, load_64_bytes, low_nibbles
from minillama.compute.simd_packed import store_words
from minillama.compute.simd_words import add_pairs, even_words, join_words, odd_words, splat_word


def _body(weights, high, low, words, out):
    packed = load_64_bytes(weights, 0)
    store_words(words, 0, even_words(packed, 3))
    store_words(words, 32, odd_words(packed, 0))
    first, second = low_nibbles(packed), high_nibbles(packed)
    high_sums, low_sums = splat_word(-7), splat_word(5)
    for _ in range(4):  # as many as a block has
        high_sums = add_pairs(add_pairs(high_sums, first, high, 1), second, high, 5)
        low_sums = add_pairs(add_pairs(low_sums, first, low, 1), second, low, 5)
    store_words(words, 64, high_sums)
    store_floats(out, 0, ints_to_floats(join_words(high_sums, low_sums)))


@pytest.fixture(scope="module", params=HERE)
def words_kernel(request):
    planes = np.zeros(9, np.int8), np.zeros(9, np.int8)
    arrays = np.zeros(64, np.uint8), *planes, np.zeros(96, np.int16), np.zeros(16, np.float32)
    return compiled_with(request.param, _body, *arrays)


@pytest.mark.parametrize("seed", range(9))
def test_sums_in_words_are_exact(seed, words_kernel):
    """The largest weights with the largest activations of either sign among them: they fit in 16 bits."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 256, 64, dtype=np.uint8)
    high, low = (rng.integers(-127, 128, 9).astype(np.int8) for _ in range(2))
    if seed < 4:
        weights[:], high[:], low[:] = 255, [127, -127][seed % 2], [127, -127][seed // 2]
    words, out = np.empty(96, np.int16), np.empty(16, np.float32)
    words_kernel(weights, high, low, words, out)
    np.testing.assert_array_equal(words[:32].reshape(16, 2) + 3, weights.reshape(16, 4)[:, [0, 2]])
    np.testing.assert_array_equal(words[32:64].reshape(16, 2), weights.reshape(16, 4)[:, [1, 3]])
    q = np.concatenate((weights.reshape(16, 4) & 15, weights.reshape(16, 4) >> 4), axis=1).astype(np.int64)
    pairs = (q * high[1:]).reshape(16, 2, 2, 2).sum(axis=(1, 3))
    np.testing.assert_array_equal(words[64:].reshape(16, 2), 4 * pairs - 7)
    x = 128 * high.astype(np.int64) + low
    np.testing.assert_array_equal(out, 4 * (q @ x[1:]) - 128 * 14 + 10)


def test_twins(rng):
    """What takes their place where nothing compiles."""
    twin = {name: operation.twin for name, operation in vars(simd_words).items() if hasattr(operation, "twin")}
    weights, x = rng.integers(0, 16, 64).astype(np.uint8), rng.integers(-127, 128, 9).astype(np.int8)
    x[3:5], weights[:8] = 127, 15
    lanes, start = weights.reshape(16, 4).astype(np.int64), twin["splat_word"](-7)
    sums = twin["add_pairs"](start, weights, x, 3)
    expected = -7 + (lanes * x[3:7]).reshape(32, 2).sum(axis=1)
    np.testing.assert_array_equal(sums, expected)
    assert sums.dtype == np.int16
    joined = twin["join_words"](sums, start)
    np.testing.assert_array_equal(joined, 128 * expected.reshape(16, 2).sum(axis=1) - 14)
    assert joined.dtype == np.int32
    np.testing.assert_array_equal(twin["even_words"](weights, 0).reshape(16, 2), lanes[:, [0, 2]])
    np.testing.assert_array_equal(twin["odd_words"](weights, 0).reshape(16, 2), lanes[:, [1, 3]])
