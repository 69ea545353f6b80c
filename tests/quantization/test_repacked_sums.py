"""Sums of a block by bytes and by words: the same integers, those of int64, and the same product to the last bit."""

import numpy as np
import pytest
from random_blocks import random_matrix

from minillama.compute.jit import kernel
from minillama.compute.simd import store_floats
from minillama.quantization.k_formats import IQ4_LEVELS
from minillama.quantization.repacked import aligned_bytes, repack
from minillama.quantization.repacked_k_kernels import k_groups_of, part_sums
from minillama.quantization.repacked_kernels import _integer_groups_of, quantize_rows
from minillama.quantization.repacked_layout import K_NIBBLES, K_SIXES, LEVELS, Planes
from minillama.quantization.repacked_sums import byte_sums, level_sums, nibble_sums

WAYS = [False, True]  # by bytes, by words
LEVELS_ABOVE_ZERO = IQ4_LEVELS.astype(np.int64) + 128


def in_words(high, low):
    """128 * high + low in the order of words."""
    x = 128 * high.astype(np.int16) + low
    return x.reshape(-1, 4)[:, [0, 2, 1, 3]].ravel()


def planes_of(high, low):
    """One row of activations with scales of one."""
    x = (128 * high.astype(np.int64) + low).reshape(-1, 32)
    total, half = x.sum(axis=1).astype(np.float32), x[:, :16].sum(axis=1).astype(np.float32)
    return Planes(high, low, np.ones(len(x), np.float32), total, half, in_words(high, low))


def activations(seed, rng):
    """Two blocks; the largest of each plane with either sign, then any."""
    high, low = (rng.integers(-127, 128, 64).astype(np.int8) for _ in range(2))
    if seed < 4:
        high[:], low[:] = [127, -127][seed % 2], [127, -127][seed // 2]
    return high, low


def packed(q):
    """Numbers (16, 32) of 4 bits in the order of a block: columns 4 * step ... low, 16 on high."""
    steps = (q[:, :16] | q[:, 16:] << 4).reshape(16, 4, 4)
    return np.ascontiguousarray(steps.swapaxes(0, 1)).ravel()


def kernel_of(sums):
    @kernel
    def of_block(data, at, planes, b, zero, out):
        store_floats(out, 0, sums(data, at, planes, b, zero))

    return of_block


NIBBLE_KERNELS = [kernel_of(nibble_sums(way)) for way in WAYS]
LEVEL_KERNELS = [kernel_of(level_sums(way)) for way in WAYS]
BYTE_KERNELS = [kernel_of(byte_sums(way)) for way in WAYS]


def check_block(of_block, data, q, seed, rng, zero):
    high, low = activations(seed, rng)
    buffer = aligned_bytes(64 + data.size)
    buffer[64:] = data
    out = np.empty(16, np.float32)
    of_block(buffer, 64, planes_of(high, low), 1, zero, out)
    x = 128 * high.astype(np.int64) + low
    np.testing.assert_array_equal(out, ((q.astype(np.int64) - zero) @ x[32:]).astype(np.float32))


@pytest.mark.parametrize("zero", [0, 8])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("of_block", NIBBLE_KERNELS)
def test_nibbles_are_exact(of_block, seed, zero, rng):
    """Weights of 15 with activations of 127 in both planes neither saturate nor overflow."""
    q = rng.integers(0, 16, (16, 32)).astype(np.uint8)
    if seed < 4:
        q[:] = 15
    check_block(of_block, packed(q), q, seed, rng, zero)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("of_block", LEVEL_KERNELS)
def test_levels_are_exact(of_block, seed, rng):
    q = rng.integers(0, 16, (16, 32)).astype(np.uint8)
    if seed < 4:
        q[:] = 15
    check_block(of_block, packed(q), LEVELS_ABOVE_ZERO[q], seed, rng, 128)


@pytest.mark.parametrize("zero", [0, 128])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("of_block", BYTE_KERNELS)
def test_bytes_are_exact(of_block, seed, zero, rng):
    q = rng.integers(0, 256, (16, 32)).astype(np.uint8)
    if seed < 4:
        q[:] = 255
    check_block(of_block, q.reshape(16, 8, 4).swapaxes(0, 1).ravel(), q, seed, rng, zero)


def part_kernel_of(sums):
    @kernel
    def of_parts(data, at, high, low, c, out):
        first, second = sums(data, at, high, low, c)
        store_floats(out, 0, first)
        store_floats(out, 16, second)

    return of_parts


PART_KERNELS = [(sixes, part_kernel_of(part_sums(sixes, way))) for sixes in (False, True) for way in WAYS]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("sixes", "of_parts"), PART_KERNELS)
def test_parts_of_sixteen_columns_are_exact(sixes, of_parts, seed, rng):
    """Weights of 63, or 15, with the largest activations."""
    q = rng.integers(0, 64 if sixes else 16, (16, 32)).astype(np.uint8)
    if seed < 4:
        q[:] = 63 if sixes else 15
    data = np.zeros(384, np.uint8)
    data[:256] = packed(q & 15)
    for half in (0, 1):  # the upper two bits of step n are bits 2n and 2n + 1
        upper = q[:, 16 * half : 16 * half + 16].reshape(16, 4, 4) >> 4
        at = 256 + 64 * half
        data[at : at + 64] = np.bitwise_or.reduce(upper << np.array([0, 2, 4, 6], np.uint8)[:, None], axis=1).ravel()
    (high, low), out = activations(seed, rng), np.empty(32, np.float32)
    of_parts(data, 0, high, low, 32, out)
    x = 128 * high.astype(np.int64) + low
    np.testing.assert_array_equal(out[:16], q[:, :16] @ x[32:48])
    np.testing.assert_array_equal(out[16:], q[:, 16:] @ x[48:])


def product_of(groups):
    @kernel
    def product(data, layout, first, last, x, planes, y, at):
        groups(data, layout, first, last, x, planes, y, at)

    return product


PRODUCTS = {
    K_NIBBLES: [product_of(k_groups_of(False, way)) for way in WAYS],
    K_SIXES: [product_of(k_groups_of(True, way)) for way in WAYS],
    LEVELS: [product_of(_integer_groups_of(level_sums(way), byte_sums(way))) for way in WAYS],
}
OTHER_PRODUCTS = [product_of(_integer_groups_of(nibble_sums(way), byte_sums(way))) for way in WAYS]


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_1", "Q8_0", "IQ4_NL", "IQ4_XS", "Q4_K", "Q2_K", "Q3_K", "Q6_K"])
def test_both_ways_give_the_same_bits(name, rng):
    """Scales and minima meet the same integers in the same order, and so does the package's own choice of a way."""
    matrix = repack(random_matrix(name, (48, 512), rng))
    x = rng.normal(size=(1, 512)).astype(np.float32)
    planes = quantize_rows(x)
    row = Planes(*(field[0] for field in planes[:-1]), in_words(planes.high[0], planes.low[0]))
    found, layout = [], np.array(matrix.layout, np.int64)
    for product in PRODUCTS.get(matrix.layout.kind, OTHER_PRODUCTS):
        y = np.empty(48, np.float32)
        product(matrix.data, layout, 0, 3, x[0], row, y, 0)
        found.append(y)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(matrix.multiply(x)[0], found[0])
