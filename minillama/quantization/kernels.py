"""Numba kernels that multiply by packed matrices; the formats are in formats.py.

A row is unpacked into a buffer that stays in the CPU's first-level cache and multiplied from
there: memory is read once, in its packed form. Rows are shared out to the threads in even
parts, one launch for a whole product.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from ..compute.jit import helper, threaded
from ..compute.pointers import address_of, caller
from ..compute.simd import store_floats
from ..compute.simd_bytes import (
    join_bits,
    keep_bits,
    load_bytes,
    scale_and_add,
    shift_left,
    shift_right,
    signed_to_float,
    spread_bits,
    unsigned_to_float,
)
from ..compute.simd_packed import look_up
from .formats import PackedArray
from .k_formats import IQ4_LEVELS

# Multiplications from which a second thread saves more than it costs.
_THREADED_SIZE = 65_536
_LEVELS = IQ4_LEVELS.view(np.uint8)


@helper
def _half(low, high):
    """The float16 with these two bytes, as float32.

    Its exponent and fraction move to the place where float32 has them; the factor makes up
    for the different bias of the exponents. Subnormal numbers come out right by themselves.
    """
    bits = np.uint32(np.uint32(low) | np.uint32(high) << 8)
    magnitude = np.uint32((bits & 0x8000) << 16 | (bits & 0x7FFF) << 13)
    if bits & 0x7C00 == 0x7C00:  # infinity or NaN
        return np.uint32(magnitude | 0x70000000).view(np.float32)
    return magnitude.view(np.float32) * np.float32(5.192296858534828e33)  # 2 ** 112


@helper
def _unpack_f16(raw, out, size):
    for i in range(out.size):
        out[i] = _half(raw[2 * i], raw[2 * i + 1])


@helper
def _unpack_bf16(raw, out, size):
    for i in range(out.size):
        out[i] = np.uint32((np.uint32(raw[2 * i]) | np.uint32(raw[2 * i + 1]) << 8) << 16).view(np.float32)


@helper
def _unpack_q8_0(raw, out, size):
    for b in range(out.size // 32):
        at, to = 34 * b, 32 * b
        d = _half(raw[at], raw[at + 1])
        store_floats(out, to, scale_and_add(signed_to_float(load_bytes(raw, at + 2)), d, 0))
        store_floats(out, to + 16, scale_and_add(signed_to_float(load_bytes(raw, at + 18)), d, 0))


@helper
def _unpack_q4(raw, out, size):
    """Q4_0 (18 bytes a block, q - 8) and Q4_1 (20 bytes, with a minimum)."""
    for b in range(out.size // 32):
        at, to = size * b, 32 * b
        d = _half(raw[at], raw[at + 1])
        m = _half(raw[at + 2], raw[at + 3]) if size == 20 else np.float32(-8) * d
        packed = load_bytes(raw, at + size - 16)
        store_floats(out, to, scale_and_add(unsigned_to_float(keep_bits(packed, 15)), d, m))
        store_floats(out, to + 16, scale_and_add(unsigned_to_float(shift_right(packed, 4)), d, m))


@helper
def _unpack_q5(raw, out, size):
    """Q5_0 (22 bytes a block, q - 16) and Q5_1 (24 bytes, with a minimum)."""
    for b in range(out.size // 32):
        at, to = size * b, 32 * b
        d = _half(raw[at], raw[at + 1])
        m = _half(raw[at + 2], raw[at + 3]) if size == 24 else np.float32(-16) * d
        packed = load_bytes(raw, at + size - 16)
        fifth = at + size - 20  # 32 bits
        low_bits = shift_left(spread_bits(np.intp(raw[fifth]) | np.intp(raw[fifth + 1]) << 8), 4)
        high_bits = shift_left(spread_bits(np.intp(raw[fifth + 2]) | np.intp(raw[fifth + 3]) << 8), 4)
        low = unsigned_to_float(join_bits(keep_bits(packed, 15), low_bits))
        high = unsigned_to_float(join_bits(shift_right(packed, 4), high_bits))
        store_floats(out, to, scale_and_add(low, d, m))
        store_floats(out, to + 16, scale_and_add(high, d, m))


@helper
def _unpack_q4_or_q5_k(raw, out, size):
    """Q4_K (144 bytes a block) and Q5_K (176: 32 bytes of fifth bits before the nibbles)."""
    for b in range(out.size // 256):
        at = size * b
        d, d_min = _half(raw[at], raw[at + 1]), _half(raw[at + 2], raw[at + 3])
        for j in range(8):
            if j < 4:
                scale, minimum = raw[at + 4 + j] & 63, raw[at + 8 + j] & 63
            else:
                scale = raw[at + 8 + j] & 15 | raw[at + j] >> 6 << 4
                minimum = raw[at + 8 + j] >> 4 | raw[at + 4 + j] >> 6 << 4
            ds, dm = d * np.float32(scale), -d_min * np.float32(minimum)
            nibbles = at + size - 128 + 32 * (j // 2)
            for i in range(0, 32, 16):
                q = keep_bits(shift_right(load_bytes(raw, nibbles + i), 4 * (j % 2)), 15)
                if size == 176:
                    fifth = keep_bits(shift_right(load_bytes(raw, at + 16 + i), j), 1)
                    q = join_bits(q, shift_left(fifth, 4))
                store_floats(out, 256 * b + 32 * j + i, scale_and_add(unsigned_to_float(q), ds, dm))


@helper
def _unpack_q6_k(raw, out, size):
    for b in range(out.size // 256):
        at = 210 * b
        d = _half(raw[at + 208], raw[at + 209])
        for part in range(16):  # 16 elements with one scale; two parts make a row of 32
            half, row, i = part // 8, part % 8 // 2, 16 * (part % 2)
            low = keep_bits(shift_right(load_bytes(raw, at + 64 * half + 32 * (row % 2) + i), 4 * (row // 2)), 15)
            high = keep_bits(shift_right(load_bytes(raw, at + 128 + 32 * half + i), 2 * row), 3)
            scale = d * np.float32(np.int8(raw[at + 192 + part]))
            q = unsigned_to_float(join_bits(low, shift_left(high, 4)))
            store_floats(out, 256 * b + 16 * part, scale_and_add(q, scale, np.float32(-32) * scale))


@helper
def _unpack_q2_k(raw, out, size):
    for b in range(out.size // 256):
        at = 84 * b
        d, d_min = _half(raw[at + 80], raw[at + 81]), _half(raw[at + 82], raw[at + 83])
        for part in range(16):  # as in Q6_K
            packed = load_bytes(raw, at + 16 + 32 * (part // 8) + 16 * (part % 2))
            q = unsigned_to_float(keep_bits(shift_right(packed, 2 * (part % 8 // 2)), 3))
            scale, minimum = d * np.float32(raw[at + part] & 15), d_min * np.float32(raw[at + part] >> 4)
            store_floats(out, 256 * b + 16 * part, scale_and_add(q, scale, -minimum))


@helper
def _unpack_q3_k(raw, out, size):
    for b in range(out.size // 256):
        at = 110 * b
        d = _half(raw[at + 108], raw[at + 109])
        for part in range(16):  # as in Q6_K
            row, i = part // 2, 16 * (part % 2)
            low = keep_bits(shift_right(load_bytes(raw, at + 32 + 32 * (part // 8) + i), 2 * (row % 4)), 3)
            third = keep_bits(shift_right(load_bytes(raw, at + i), row), 1)
            lower, upper = raw[at + 96 + part % 8] >> 4 * (part // 8), raw[at + 104 + part % 4] >> 2 * (part // 4)
            scale = d * np.float32(np.intp(lower & 15 | (upper & 3) << 4) - 32)
            q = unsigned_to_float(join_bits(low, shift_left(third, 2)))
            store_floats(out, 256 * b + 16 * part, scale_and_add(q, scale, np.float32(-4) * scale))


@helper
def _unpack_levels(raw, at, d, out, to):
    """16 bytes of numbers of levels, in the order of Q4_0."""
    packed, table = load_bytes(raw, at), load_bytes(_LEVELS, 0)
    low, high = look_up(table, keep_bits(packed, 15)), look_up(table, shift_right(packed, 4))
    store_floats(out, to, scale_and_add(signed_to_float(low), d, 0))
    store_floats(out, to + 16, scale_and_add(signed_to_float(high), d, 0))


@helper
def _unpack_iq4_nl(raw, out, size):
    for b in range(out.size // 32):
        _unpack_levels(raw, 18 * b + 2, _half(raw[18 * b], raw[18 * b + 1]), out, 32 * b)


@helper
def _unpack_iq4_xs(raw, out, size):
    for b in range(out.size // 256):
        at = 136 * b
        d = _half(raw[at], raw[at + 1])
        for j in range(8):
            lower, upper = raw[at + 4 + j // 2] >> 4 * (j % 2), raw[at + 2 + j // 4] >> 2 * (j % 4)
            scale = d * np.float32(np.intp(lower & 15 | (upper & 3) << 4) - 32)
            _unpack_levels(raw, at + 8 + 16 * j, scale, out, 256 * b + 32 * j)


# Called by address, so that only the formats that a model has are compiled, and each once:
# _unpack_row(address, (raw, out, size)) unpacks one row, `raw` (row_bytes,), in `out` (n_columns,); `size` is
# that of a block in bytes.
_BY_FORMAT = {
    "F16": _unpack_f16,
    "BF16": _unpack_bf16,
    "Q8_0": _unpack_q8_0,
    "Q4_0": _unpack_q4,
    "Q4_1": _unpack_q4,
    "Q5_0": _unpack_q5,
    "Q5_1": _unpack_q5,
    "Q2_K": _unpack_q2_k,
    "Q3_K": _unpack_q3_k,
    "Q4_K": _unpack_q4_or_q5_k,
    "Q5_K": _unpack_q4_or_q5_k,
    "Q6_K": _unpack_q6_k,
    "IQ4_NL": _unpack_iq4_nl,
    "IQ4_XS": _unpack_iq4_xs,
}
_ROW_ARGUMENTS = (
    types.Array(types.uint8, 1, "C", readonly=True),  # files are mapped
    types.Array(types.float32, 1, "C"),
    types.intp,
)
_unpack_row = caller(_ROW_ARGUMENTS)


@functools.cache
def _address_of_format(name: str) -> int:
    return address_of(_BY_FORMAT[name], _ROW_ARGUMENTS)


@helper
def _dot(a, b):
    total = np.float32(0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@threaded(from_size=_THREADED_SIZE, borrows=False)
def _multiply(first, last, unpack, size, x, data, y):
    """Rows first ... last - 1 of the matrix with every row of x (N, D_in), into y (N, D_out)."""
    buffer = np.empty(x.shape[1], np.float32)
    for r in range(first, last):
        _unpack_row(unpack, (data[r], buffer, size))
        for n in range(len(x)):
            y[n, r] = _dot(buffer, x[n])


@threaded()
def _unpack(first, last, unpack, size, data, out):
    for r in range(first, last):
        _unpack_row(unpack, (data[r], out[r], size))


@threaded(from_size=_THREADED_SIZE)
def _matvec(first, last, x, weight, y):
    for r in range(first, last):
        total = x.dtype.type(0)
        row = weight[r]
        for i in range(x.size):
            total += row[i] * x[i]
        y[r] = total


def _readonly(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same bytes as the kernels take them, mapped or not."""
    view = data.view()
    view.flags.writeable = False
    return view


def matvec_packed(x: NDArray[np.float32], weight: PackedArray, y: NDArray[np.float32]) -> None:
    """Write `x @ weight.T` to `y`; x (N, D_in) for a small N, y (N, D_out), all C-contiguous."""
    n_rows, n_columns = weight.shape
    unpack, block_bytes = _address_of_format(weight.format.name), weight.format.block_bytes
    _multiply(n_rows, unpack, block_bytes, x, _readonly(weight.data), y, size=n_rows * n_columns)


def matvec_plain(x: NDArray[Any], weight: NDArray[Any], y: NDArray[Any]) -> None:
    """Write `weight @ x` to `y`; x (D_in,), weight (D_out, D_in), y (D_out,), all C-contiguous."""
    _matvec(len(weight), x, weight, y, size=weight.size)


def unpack_rows(weight: PackedArray, rows: slice) -> NDArray[np.float32]:
    """`weight.to_float32(rows)` for a slice, compiled."""
    data = weight.data[rows]
    out = np.empty((len(data), weight.n_columns), np.float32)
    _unpack(len(data), _address_of_format(weight.format.name), weight.format.block_bytes, _readonly(data), out)
    return out
