"""Numba kernels that multiply by packed matrices; the formats are in formats.py.

A row is unpacked into a buffer that stays in the CPU's first-level cache and multiplied from
there: memory is read once, in its packed form. Rows are shared out to the threads in even
parts, one launch for a whole product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, prange
from numpy.typing import NDArray

from ..compute.jit import kernel
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
from .formats import PackedArray

# Multiplications below which a second thread costs more than it saves.
_SERIAL_SIZE = 65_536


@kernel
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


@kernel
def _unpack_f16(raw, out):
    for i in range(out.size):
        out[i] = _half(raw[2 * i], raw[2 * i + 1])


@kernel
def _unpack_bf16(raw, out):
    for i in range(out.size):
        out[i] = np.uint32((np.uint32(raw[2 * i]) | np.uint32(raw[2 * i + 1]) << 8) << 16).view(np.float32)


@kernel
def _unpack_q8_0(raw, out):
    for b in range(out.size // 32):
        at, to = 34 * b, 32 * b
        d = _half(raw[at], raw[at + 1])
        store_floats(out, to, scale_and_add(signed_to_float(load_bytes(raw, at + 2)), d, 0))
        store_floats(out, to + 16, scale_and_add(signed_to_float(load_bytes(raw, at + 18)), d, 0))


@kernel
def _unpack_q4(raw, out, size):
    """Q4_0 (18 bytes a block, q - 8) and Q4_1 (20 bytes, with a minimum)."""
    for b in range(out.size // 32):
        at, to = size * b, 32 * b
        d = _half(raw[at], raw[at + 1])
        m = _half(raw[at + 2], raw[at + 3]) if size == 20 else np.float32(-8) * d
        packed = load_bytes(raw, at + size - 16)
        store_floats(out, to, scale_and_add(unsigned_to_float(keep_bits(packed, 15)), d, m))
        store_floats(out, to + 16, scale_and_add(unsigned_to_float(shift_right(packed, 4)), d, m))


@kernel
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


@kernel
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


@kernel
def _unpack_q6_k(raw, out):
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


@kernel
def _unpack_row(ggml_type, raw, out):
    """Unpack one row, `raw` (row_bytes,), into `out` (n_columns,)."""
    if ggml_type == 3:
        _unpack_q4(raw, out, 20)
    elif ggml_type == 8:
        _unpack_q8_0(raw, out)
    elif ggml_type == 2:
        _unpack_q4(raw, out, 18)
    elif ggml_type == 1:
        _unpack_f16(raw, out)
    elif ggml_type == 30:
        _unpack_bf16(raw, out)
    elif ggml_type == 6:
        _unpack_q5(raw, out, 22)
    elif ggml_type == 7:
        _unpack_q5(raw, out, 24)
    elif ggml_type == 12:
        _unpack_q4_or_q5_k(raw, out, 144)
    elif ggml_type == 13:
        _unpack_q4_or_q5_k(raw, out, 176)
    elif ggml_type == 14:
        _unpack_q6_k(raw, out)


@kernel
def _dot(a, b):
    total = np.float32(0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@kernel
def _multiply_rows(ggml_type, x, data, y, first, last):
    """Rows first ... last - 1 of the matrix with every row of x (N, D_in), into y (N, D_out)."""
    buffer = np.empty(x.shape[1], np.float32)
    for r in range(first, last):
        _unpack_row(ggml_type, data[r], buffer)
        for n in range(len(x)):
            y[n, r] = _dot(buffer, x[n])


@kernel(parallel=True)
def _multiply_parallel(ggml_type, x, data, y, n_parts):
    n_rows = len(data)
    for part in prange(n_parts):
        _multiply_rows(ggml_type, x, data, y, part * n_rows // n_parts, (part + 1) * n_rows // n_parts)


@kernel(parallel=True)
def _unpack_parallel(ggml_type, data, out):
    for r in prange(len(data)):
        _unpack_row(ggml_type, data[r], out[r])


@kernel
def _matvec_rows(x, weight, y, first, last):
    for r in range(first, last):
        total = x.dtype.type(0)
        row = weight[r]
        for i in range(x.size):
            total += row[i] * x[i]
        y[r] = total


@kernel(parallel=True)
def _matvec_parallel(x, weight, y, n_parts):
    n_rows = len(weight)
    for part in prange(n_parts):
        _matvec_rows(x, weight, y, part * n_rows // n_parts, (part + 1) * n_rows // n_parts)


def _n_parts(size: int) -> int:
    return 1 if size < _SERIAL_SIZE else get_num_threads()


def matvec_packed(x: NDArray[np.float32], weight: PackedArray, y: NDArray[np.float32]) -> None:
    """Write `x @ weight.T` to `y`; x (N, D_in) for a small N, y (N, D_out), all C-contiguous."""
    ggml_type, n_parts = weight.format.ggml_type, _n_parts(weight.shape[0] * weight.shape[1])
    if n_parts == 1:
        _multiply_rows(ggml_type, x, weight.data, y, 0, weight.shape[0])
    else:
        _multiply_parallel(ggml_type, x, weight.data, y, n_parts)


def matvec_plain(x: NDArray[Any], weight: NDArray[Any], y: NDArray[Any]) -> None:
    """Write `weight @ x` to `y`; x (D_in,), weight (D_out, D_in), y (D_out,), all C-contiguous."""
    n_parts = _n_parts(weight.size)
    if n_parts == 1:
        _matvec_rows(x, weight, y, 0, len(weight))
    else:
        _matvec_parallel(x, weight, y, n_parts)


def unpack_rows(weight: PackedArray, rows: slice) -> NDArray[np.float32]:
    """`weight.to_float32(rows)` for a slice, compiled."""
    data = weight.data[rows]
    out = np.empty((len(data), weight.n_columns), np.float32)
    _unpack_parallel(weight.format.ggml_type, data, out)
    return out
