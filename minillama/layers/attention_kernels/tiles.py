"""Products of attention with a tile of 32 queries side by side in the lanes of two vectors, for backward.py.

Everything is turned on its side for that: a row of scores belongs to a key,

    scores[s, lane] = k[s] . q[lane]             4 keys at a time, each number of a key for all lanes
    out[j, lane]    = sum over s of p[s, lane] * v[s, j]
"""

from __future__ import annotations

import numpy as np

from ...compute.jit import helper
from ...compute.simd import load_floats, multiply, multiply_add, splat_float, store_floats

LANES = 32  # queries of a tile
KEYS = 32  # keys of a block


@helper
def score_block(queries, k, first, n, scores):
    """Scores of keys first ... first + n - 1 for all lanes; queries (head_dim, LANES) are scaled."""
    for i in range(0, n, 4):
        k0, k1 = k[first + i], k[first + min(i + 1, n - 1)]
        k2, k3 = k[first + min(i + 2, n - 1)], k[first + min(i + 3, n - 1)]
        a0 = a1 = b0 = b1 = c0 = c1 = d0 = d1 = splat_float(np.float32(0))
        for j in range(len(queries)):
            q0, q1 = load_floats(queries[j], 0), load_floats(queries[j], 16)
            a0, a1 = multiply_add(splat_float(k0[j]), q0, a0), multiply_add(splat_float(k0[j]), q1, a1)
            b0, b1 = multiply_add(splat_float(k1[j]), q0, b0), multiply_add(splat_float(k1[j]), q1, b1)
            c0, c1 = multiply_add(splat_float(k2[j]), q0, c0), multiply_add(splat_float(k2[j]), q1, c1)
            d0, d1 = multiply_add(splat_float(k3[j]), q0, d0), multiply_add(splat_float(k3[j]), q1, d1)
        store_floats(scores[i], 0, a0)
        store_floats(scores[i], 16, a1)
        store_floats(scores[i + 1], 0, b0)
        store_floats(scores[i + 1], 16, b1)
        store_floats(scores[i + 2], 0, c0)
        store_floats(scores[i + 2], 16, c1)
        store_floats(scores[i + 3], 0, d0)
        store_floats(scores[i + 3], 16, d1)


@helper
def hide_future(scores, first, n, positions):
    for i in range(n):
        for lane in range(LANES):
            if first + i > positions[lane]:
                scores[i, lane] = -np.inf


@helper
def add_block(p, v, first, n, correction, out):
    """out (head_dim, LANES) = out * correction + values weighted with p, four dims at a time."""
    f0, f1 = load_floats(correction, 0), load_floats(correction, 16)
    for j in range(0, len(out), 4):
        a0, a1 = multiply(load_floats(out[j], 0), f0), multiply(load_floats(out[j], 16), f1)
        b0, b1 = multiply(load_floats(out[j + 1], 0), f0), multiply(load_floats(out[j + 1], 16), f1)
        c0, c1 = multiply(load_floats(out[j + 2], 0), f0), multiply(load_floats(out[j + 2], 16), f1)
        d0, d1 = multiply(load_floats(out[j + 3], 0), f0), multiply(load_floats(out[j + 3], 16), f1)
        for i in range(n):
            value = v[first + i]
            p0, p1 = load_floats(p[i], 0), load_floats(p[i], 16)
            a0, a1 = multiply_add(splat_float(value[j]), p0, a0), multiply_add(splat_float(value[j]), p1, a1)
            b0, b1 = multiply_add(splat_float(value[j + 1]), p0, b0), multiply_add(splat_float(value[j + 1]), p1, b1)
            c0, c1 = multiply_add(splat_float(value[j + 2]), p0, c0), multiply_add(splat_float(value[j + 2]), p1, c1)
            d0, d1 = multiply_add(splat_float(value[j + 3]), p0, d0), multiply_add(splat_float(value[j + 3]), p1, d1)
        store_floats(out[j], 0, a0)
        store_floats(out[j], 16, a1)
        store_floats(out[j + 1], 0, b0)
        store_floats(out[j + 1], 16, b1)
        store_floats(out[j + 2], 0, c0)
        store_floats(out[j + 2], 16, c1)
        store_floats(out[j + 3], 0, d0)
        store_floats(out[j + 3], 16, d1)
