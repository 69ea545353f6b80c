"""Chapter 12: quantisation and speed. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import numpy as np
from numba import njit


def q8_0_quantize_blocks(x):
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    scaled = x / np.where(d == 0, np.float32(1), d)
    q = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))  # np.round would send 0.5 to 0
    return d[:, 0].astype(np.float16), q.astype(np.int8)


def q4_0_dequantize_blocks(blocks):
    d = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)  # (n, 1)
    q = np.concatenate((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), axis=1)  # (n, 32)
    return d * (q.astype(np.float32) - 8)


def q4_0_quantize_blocks(x):
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)  # with its sign
    d = largest / np.float32(-8)
    q = np.minimum(np.trunc(x / d + np.float32(8.5)), 15).astype(np.uint8)
    scale = d.astype(np.float16).view(np.uint8)  # (n, 2)
    return np.concatenate((scale, q[:, :16] | q[:, 16:] << 4), axis=1)


def block_error_bounds(x):
    size = np.abs(x).max(axis=1)
    q8_0 = size / 127 / 2  # the nearest level is half a step away at most
    q4_0 = size / 8  # there is no level +8: a number there is clipped by a whole step
    q4_1 = (x.max(axis=1) - x.min(axis=1)) / 15 / 2
    return q8_0, q4_0, q4_1


def choose_group_size(w, sizes, bits, tolerance):
    errors = []
    for size in sizes:
        groups = w.reshape(-1, size)
        d = np.abs(groups).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
        difference = d * np.rint(groups / np.where(d == 0, 1, d)) - groups
        errors.append(np.sqrt(np.mean(difference**2) / np.mean(w**2)))
    bits_per_weight = bits + 16 / np.array(sizes)
    return bits_per_weight, np.array(errors), max(s for s, error in zip(sizes, errors) if error <= tolerance)


@njit(fastmath=True)
def _multiply_int8(q, d, x, dx, y):
    for r in range(len(q)):
        result = np.float32(0)
        for b in range(len(dx)):
            total = np.int32(0)
            for i in range(32 * b, 32 * b + 32):
                total += np.int32(np.int32(q[r, i]) * np.int32(x[i]))
            result += d[r, b] * dx[b] * np.float32(total)
        y[r] = result


def int8_block_matvec(q, d, x, dx):
    y = np.empty(len(q), np.float32)
    _multiply_int8(q, d, x, dx, y)
    return y


def zero_point_correction(sums, x, zero):
    totals = x.astype(np.int32).reshape(-1, 32).sum(axis=1)  # (B,)
    return sums - zero * totals


def dot4_lanes(sums, weights, x):
    products = weights.reshape(-1, 4).astype(np.int32) * x.astype(np.int32)  # (lanes, 4)
    return sums + products.sum(axis=1, dtype=np.int32)


def interleave_rows(q):
    n_steps = q.shape[1] // 4
    padded = np.pad(q, ((0, -len(q) % 16), (0, 0)))
    lanes = padded.reshape(-1, 16, n_steps, 4)  # (group, lane, step, k)
    return lanes.swapaxes(1, 2).reshape(-1, n_steps, 64)


def split_in_planes(x):
    blocks = x.reshape(-1, 32)
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127 * 128)
    q = np.rint(blocks / np.where(d == 0, np.float32(1), d))
    high = np.rint(q / 128)
    low = q - 128 * high  # -64 ... 64
    return high.reshape(-1).astype(np.int8), low.reshape(-1).astype(np.int8), d[:, 0], q.sum(axis=1)


@njit(fastmath=True)
def _multiply_q4_0(d, blocks, x, y):
    for r in range(len(y)):
        for b in range(d.shape[1]):
            total = np.float32(0)
            for i in range(16):
                byte = np.int32(blocks[r, b, 2 + i])
                total += np.float32((byte & 15) - 8) * x[32 * b + i]
                total += np.float32((byte >> 4) - 8) * x[32 * b + 16 + i]
            y[r] += d[r, b] * total


def q4_0_matvec(blocks, x):
    d = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0].astype(np.float32)  # (R, B)
    y = np.zeros(len(blocks), np.float32)
    _multiply_q4_0(d, blocks, x, y)
    return y


def decode_speed_bound(n_layers, dim, n_heads, n_kv_heads, hidden_dim, vocab_size, bits, head_bits, context, bandwidth):
    kv_dim = dim // n_heads * n_kv_heads
    layer = 2 * dim * dim + 2 * dim * kv_dim + 3 * dim * hidden_dim
    cache = 2 * n_layers * kv_dim * context * 4
    n_bytes = n_layers * layer * bits / 8 + vocab_size * dim * head_bits / 8 + cache
    return n_bytes, bandwidth / n_bytes
