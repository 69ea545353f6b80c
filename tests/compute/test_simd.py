"""The 16-wide vector operations equal their twins in NumPy."""

import numpy as np
import pytest
from instructions import HERE, compiled_with
from numba import config

from minillama.compute import simd, simd_bytes, simd_packed
from minillama.compute.jit import kernel
from minillama.compute.simd import (
    divide,
    exp,
    load_brain_floats,
    load_floats,
    load_halves,
    load_number,
    load_numbers,
    load_singles,
    max_of,
    maximum,
    multiply,
    multiply_add,
    round_floats,
    splat_float,
    store_floats,
    store_four_sums,
    store_number,
    sum_of,
)
from minillama.compute.simd_bytes import (
    add_ints,
    dot4,
    high_nibbles,
    ints_to_floats,
    join_bits,
    join_planes,
    keep_bits,
    load_64_bytes,
    load_bytes,
    low_nibbles,
    scale_and_add,
    shift_left,
    shift_right,
    signed_to_float,
    splat_int,
    spread_bits,
    store_signed_bytes,
    unsigned_to_float,
)
from minillama.compute.simd_packed import (
    dot2,
    load_words,
    look_up,
    store_joined,
    store_words,
    with_upper_pair,
)
from minillama.compute.simd_pairs import load_twice, turn_pairs
from minillama.compute.simd_words import even_words, odd_words

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="the compiler is off: the twins are all there is")


@kernel
def _bytes_kernel(raw, at, n, out):
    a = load_bytes(raw, at)
    store_floats(out, 0, unsigned_to_float(shift_right(a, n)))
    store_floats(out, 16, unsigned_to_float(shift_left(a, n)))
    store_floats(out, 32, unsigned_to_float(keep_bits(a, 0x5A)))
    store_floats(out, 48, unsigned_to_float(join_bits(a, load_bytes(raw, at + 16))))
    store_floats(out, 64, signed_to_float(a))
    store_floats(out, 80, scale_and_add(signed_to_float(a), np.float32(0.125), np.float32(-3)))
    store_floats(out, 96, unsigned_to_float(spread_bits(np.intp(raw[at]) | np.intp(raw[at + 1]) << 8)))


@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize("n", [0, 3, 7])
def test_vectors_equal_their_twins(at, n, rng):
    raw, out = rng.integers(0, 256, 64, dtype=np.uint8), np.empty(112, np.float32)
    _bytes_kernel(raw, at, n, out)
    operations = {**vars(simd), **vars(simd_bytes)}
    twin = {name: operation.twin for name, operation in operations.items() if hasattr(operation, "twin")}
    a = twin["load_bytes"](raw, at)
    signed, unsigned = twin["signed_to_float"], twin["unsigned_to_float"]
    expected = np.concatenate(
        [
            unsigned(twin["shift_right"](a, n)),
            unsigned(twin["shift_left"](a, n)),
            unsigned(twin["keep_bits"](a, 0x5A)),
            unsigned(twin["join_bits"](a, twin["load_bytes"](raw, at + 16))),
            signed(a),
            twin["scale_and_add"](signed(a), 0.125, -3),
            unsigned(twin["spread_bits"](int(raw[at]) | int(raw[at + 1]) << 8)),
        ]
    )
    np.testing.assert_array_equal(out, expected)


@kernel
def _floats_kernel(x, raw, out):
    a, b = load_floats(x, 0), load_floats(x, 16)
    store_floats(out, 0, exp(a))
    store_floats(out, 16, multiply(a, b))
    store_floats(out, 32, divide(a, b))
    store_floats(out, 48, multiply_add(a, b, splat_float(np.float32(2))))
    store_floats(out, 64, load_halves(raw, 2))
    store_floats(out, 80, load_singles(raw, 4))
    store_floats(out, 96, load_brain_floats(raw, 2))
    out[112] = sum_of(a)
    store_four_sums(out, 113, a, b, splat_float(np.float32(3)), multiply(a, b))


def test_float_vectors_equal_their_twins(rng):
    x, out = rng.normal(size=32).astype(np.float32), np.empty(117, np.float32)
    raw = rng.integers(0, 60, 80, dtype=np.uint8)  # small bytes: no infinities among the floats
    _floats_kernel(x, raw, out)
    a, b = x[:16], x[16:]
    twin = {name: operation.twin for name, operation in vars(simd).items() if hasattr(operation, "twin")}
    loads = [twin[name](raw, at) for name, at in [("load_halves", 2), ("load_singles", 4), ("load_brain_floats", 2)]]
    two = twin["splat_float"](2)
    expected = [twin["exp"](a), twin["multiply"](a, b), twin["divide"](a, b), twin["multiply_add"](a, b, two), *loads]
    np.testing.assert_allclose(out[:112], np.concatenate(expected), rtol=3e-7, atol=1e-30)
    assert out[112] == pytest.approx(twin["sum_of"](a), abs=1e-5)
    np.testing.assert_allclose(out[113:], [a.sum(), b.sum(), 48, (a * b).sum()], rtol=1e-5)


@kernel
def _exp_kernel(x, y):
    for i in range(0, x.size, 16):
        store_floats(y, i, exp(load_floats(x, i)))


def test_exponential_over_its_whole_range():
    x = np.linspace(-86.9, 87.9, 1 << 16).astype(np.float32)
    y = np.empty_like(x)
    _exp_kernel(x, y)
    np.testing.assert_allclose(y, np.exp(x.astype(np.float64)), rtol=2e-7)
    edges = np.resize(np.array([-np.inf, -1000, -88, 89, np.inf, np.nan], np.float32), 16)
    y = np.empty_like(edges)
    _exp_kernel(edges, y)
    np.testing.assert_array_equal(y[:6], [0, 0, 0, np.inf, np.inf, np.nan])


@kernel
def _choices_kernel(x, out):
    a, b = load_floats(x, 0), load_floats(x, 16)
    store_floats(out, 0, maximum(a, b))
    store_floats(out, 16, round_floats(a))
    out[32] = max_of(a)
    out[33] = max_of(b)


def test_largest_and_rounded_equal_their_twins(rng):
    x, out = rng.normal(size=32).astype(np.float32), np.empty(34, np.float32)
    x[:4] = [0.5, 1.5, -2.5, -np.inf]
    for _ in range(16):
        x = np.concatenate((np.roll(x[:16], 1), np.roll(x[16:], 1)))
        _choices_kernel(x, out)
        np.testing.assert_array_equal(out[:16], np.maximum(x[:16], x[16:]))
        np.testing.assert_array_equal(out[16:32], np.rint(x[:16]))
        assert out[32:].tolist() == [x[:16].max(), x[16:].max()]


@kernel
def _numbers_kernel(x, stored, out):
    for i in range(x.size):
        store_number(stored, i, x[i])
    store_floats(out, 0, load_numbers(stored, 1))
    out[16] = load_number(stored, 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_numbers_of_either_width(dtype, rng):
    x, out = rng.normal(size=20).astype(np.float32), np.empty(17, np.float32)
    stored = np.zeros(20, dtype)
    _numbers_kernel(x, stored if dtype == np.float32 else stored.view(np.uint16), out)
    expected = x.astype(dtype)
    np.testing.assert_array_equal(stored, expected)
    np.testing.assert_array_equal(out, [*expected[1:17].astype(np.float32), np.float32(expected[5])])


@kernel
def _pairs_kernel(x, out):
    store_floats(out, 0, turn_pairs(load_floats(x, 0)))
    store_floats(out, 16, load_twice(x, 3))


def test_pairs_are_turned_and_doubled(rng):
    x, out = rng.normal(size=16).astype(np.float32), np.empty(32, np.float32)
    _pairs_kernel(x, out)
    np.testing.assert_array_equal(out[:4], [-x[1], x[0], -x[3], x[2]])
    np.testing.assert_array_equal(out[:16].view(np.complex64), x.view(np.complex64) * np.complex64(1j))
    np.testing.assert_array_equal(out[16:], np.repeat(x[3:11], 2))


@kernel
def _signed_kernel(x, out):
    store_signed_bytes(out, 3, load_floats(x, 0))


def test_whole_floats_as_signed_bytes(rng):
    x, out = rng.integers(-128, 128, 16).astype(np.float32), np.zeros(20, np.int8)
    x[:2] = -128, 127
    _signed_kernel(x, out)
    np.testing.assert_array_equal(out, [0, 0, 0, *x, 0])


def _dot4_body(weights, x, at, out):
    w = load_64_bytes(weights, 0)
    sums = dot4(dot4(splat_int(-5), low_nibbles(w), x, at), high_nibbles(w), x, at)
    store_floats(out, 0, join_planes(sums, dot4(splat_int(7), w, x, at + 4)))


@pytest.fixture(scope="module", params=HERE)
def dot4_kernel(request):
    arrays = np.zeros(64, np.uint8), np.zeros(16, np.int8), 0, np.zeros(16, np.float32)
    return compiled_with(request.param, _dot4_body, *arrays)


@pytest.mark.parametrize("seed", range(20))
def test_products_of_bytes_are_exact(seed, dot4_kernel):
    """Unsigned bytes with signed ones, against integer arithmetic; the extremes among them."""
    rng = np.random.default_rng(seed)
    weights, x = rng.integers(0, 256, 64, dtype=np.uint8), rng.integers(-128, 128, 16).astype(np.int8)
    if seed < 4:
        weights[:], x[:] = [0, 255][seed % 2], [-128, 127][seed // 2]
    out = np.empty(16, np.float32)
    dot4_kernel(weights, x, 3, out)
    four, lanes = x[3:7].astype(np.int64), weights.reshape(16, 4).astype(np.int64)
    first = -5 + ((lanes & 15) * four).sum(axis=1) + ((lanes >> 4) * four).sum(axis=1)
    second = 7 + (lanes * x[7:11].astype(np.int64)).sum(axis=1)
    np.testing.assert_array_equal(out, (128 * first + second).astype(np.float32))


def _packed_body(raw, table, numbers, out):
    low, upper, entries = low_nibbles(load_64_bytes(raw, 0)), load_64_bytes(raw, 64), load_bytes(table, 0)
    for n in range(4):
        store_words(out, 64 * n, even_words(with_upper_pair(low, upper, n), 32))
        store_words(out, 64 * n + 32, odd_words(with_upper_pair(low, upper, n), 32))
    found = look_up(entries, low)
    store_words(out, 256, even_words(found, 0))
    store_words(out, 288, odd_words(found, 0))
    store_floats(numbers, 0, unsigned_to_float(look_up(entries, keep_bits(load_bytes(raw, 128), 15))))


@pytest.fixture(scope="module", params=HERE)
def packed_kernel(request):
    arrays = np.zeros(144, np.uint8), np.ones(16, np.uint8), np.zeros(16, np.float32), np.zeros(320, np.int16)
    return compiled_with(request.param, _packed_body, *arrays)


@pytest.mark.parametrize("seed", range(5))
def test_numbers_of_six_bits_and_levels(seed, packed_kernel):
    rng = np.random.default_rng(seed)
    raw, table = rng.integers(0, 256, 144, dtype=np.uint8), rng.integers(0, 256, 16, dtype=np.uint8)
    numbers, out = np.empty(16, np.float32), np.empty(320, np.int16)
    packed_kernel(raw, table, numbers, out)
    low, upper = raw[:64] & 15, raw[64:128]
    for n in range(4):
        q = (low | (upper >> 2 * n & 3) << 4).reshape(16, 4).astype(np.int64) - 32
        np.testing.assert_array_equal(out[64 * n : 64 * n + 32].reshape(16, 2), q[:, [0, 2]])
        np.testing.assert_array_equal(out[64 * n + 32 : 64 * n + 64].reshape(16, 2), q[:, [1, 3]])
    entries = table[low].reshape(16, 4)
    np.testing.assert_array_equal(out[256:288].reshape(16, 2), entries[:, [0, 2]])
    np.testing.assert_array_equal(out[288:].reshape(16, 2), entries[:, [1, 3]])
    np.testing.assert_array_equal(numbers, table[raw[128:] & 15])


def _dot2_body(words, high, low, joined, out):
    store_joined(joined, 4, high, low, 2)
    sums = dot2(dot2(splat_int(-5), load_words(words, 0), joined, 4), load_words(words, 32), joined, 6)
    store_floats(out, 0, ints_to_floats(sums))
    store_floats(out, 16, ints_to_floats(add_ints(sums, splat_int(9))))


@pytest.fixture(scope="module", params=HERE)
def dot2_kernel(request):
    planes = np.zeros(20, np.int8), np.zeros(20, np.int8)
    return compiled_with(
        request.param, _dot2_body, np.zeros(64, np.int16), *planes, np.zeros(24, np.int16), np.zeros(32, np.float32)
    )


@pytest.mark.parametrize("seed", range(5))
def test_products_of_words_are_exact(seed, dot2_kernel):
    """13 bits times 15, the extremes among them; the joined planes stand in the order of words."""
    rng = np.random.default_rng(seed)
    words = rng.integers(-4096, 4097, 64).astype(np.int16)
    high, low = rng.integers(-127, 128, 20).astype(np.int8), rng.integers(-64, 65, 20).astype(np.int8)
    if seed < 2:
        words[:], high[:], low[:] = [4096, -4096][seed], 127, 0
    joined, out = np.zeros(24, np.int16), np.empty(32, np.float32)
    dot2_kernel(words, high, low, joined, out)
    x = 128 * high.astype(np.int64) + low
    np.testing.assert_array_equal(joined[4:20], x[2:18].reshape(4, 4)[:, [0, 2, 1, 3]].ravel())
    lanes = words.astype(np.int64).reshape(2, 16, 2)
    sums = -5 + (lanes[0] * joined[4:6]).sum(axis=1) + (lanes[1] * joined[6:8]).sum(axis=1)
    np.testing.assert_array_equal(out, np.concatenate((sums, sums + 9)).astype(np.float32))


def test_twins_of_packed_numbers(rng):
    """What takes their place where nothing compiles."""
    twin = {name: operation.twin for name, operation in vars(simd_packed).items() if hasattr(operation, "twin")}
    low, upper = rng.integers(0, 16, 64).astype(np.uint8), rng.integers(0, 256, 64).astype(np.uint8)
    q = twin["with_upper_pair"](low, upper, 2)
    np.testing.assert_array_equal(q, low | (upper >> 4 & 3) << 4)
    x, words = rng.integers(-16256, 16257, 4).astype(np.int16), rng.integers(-4096, 4097, 32).astype(np.int16)
    found = twin["dot2"](np.zeros(16, np.int32), words, x, 1)
    np.testing.assert_array_equal(found, words.reshape(16, 2).astype(np.int64) @ x[1:3].astype(np.int64))
