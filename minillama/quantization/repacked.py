"""Matrices rearranged for the CPU's vectors, and for its integer products.

`vpdpbusd` multiplies 64 bytes at once and adds them up in 16 sums of four. So that each of the 16
sums is one output, 16 rows of the matrix lie side by side: for 4 neighbouring columns, 4 bytes
of the first row, 4 of the second … The activations of those 4 columns are then the same 4 bytes
for every lane. A decoded token reads such a matrix once, front to back.

    w[r, c] = scale[r, block] * (q[r, c] - zero) + minimum[r, block]        32 columns a block

Nothing is rounded here: every format that has one scale for 32 columns fits, bit by bit. Only
Q6_K, with a scale for 16, is rounded to 8 bits. 4-bit formats stay at 4 bits, 5-bit ones take 8;
scales and minima stay float16, or become float32 in the K formats, where they are products.

The activations are rounded, to 15 bits and a sign for each block of 32: two planes of int8,
x = d * (128 * high + low). The sums are exact integers, so the only difference to float32
arithmetic is that rounding, some 1e-5 of the result. 8 bits would halve the work, but decoding
waits for memory, not for products, and a small model's answer visibly changes with 8.

Matrices of floats are repacked in the same way, column after column, and nothing is rounded: each
activation meets 16 weights of 16 rows, and no sum has to be collected from the lanes of a vector.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..compute.array_types import Bytes, Float32
from ..compute.simd_bytes import DOT4
from .formats import FORMATS, BlockFormat, PackedArray, format_name, k_block_parts, quantize
from .repacked_kernels import (
    BRAINS,
    BYTES,
    HALVES,
    NIBBLES,
    SINGLES,
    MatrixLayout,
    multiply_rows,
    no_planes,
    quantize_rows,
)

Repackable = Float32 | PackedArray

ROWS = 16  # rows side by side, one lane each
BLOCK = 32  # columns with one scale
_ALIGNMENT = 64
# With vpdpbusd integer products are faster than BLAS even for a long prompt; with other
# instructions only where memory is the limit.
INTEGERS_BEAT_BLAS = DOT4 in ("avx512vnni", "avxvnni")


class _Parts(NamedTuple):
    """Blocks of 32 columns taken apart; scale and minimum as bytes of float16, or of float32 if wide."""

    q: Bytes  # (R, B, 32), or (R, B, 16) of nibbles: number i low in byte i, number i + 16 high
    scale: Bytes  # (R, B, 2 or 4)
    minimum: Bytes  # (R, B, 2 or 4), read only where the kind has minima


class _Kind(NamedTuple):
    """What a packed format looks like when it is repacked."""

    nibbles: bool  # two numbers a byte
    zero: int  # what is subtracted from every number
    minimum: bool
    wide: bool  # scales and minima are float32
    take_apart: Callable[[Bytes], _Parts]  # of blocks (R, B, block_bytes)


def _simple(unpack: Callable[[Bytes], Bytes]) -> Callable[[Bytes], _Parts]:
    """Formats whose scale stands in the first two bytes of a block of 32, the minimum in the next two."""
    return lambda blocks: _Parts(unpack(blocks), blocks[..., 0:2], blocks[..., 2:4])


def _with_fifth_bits(blocks: Bytes, at: int) -> Bytes:
    """Numbers of 5 bits: the upper ones at byte `at`, the nibbles after them."""
    packed = blocks[..., at + 4 :]
    fifth = np.unpackbits(blocks[..., at : at + 4], axis=-1, bitorder="little")
    return np.concatenate((packed & 15, packed >> 4), axis=-1) | fifth << 4


def _take_apart_k(blocks: Bytes) -> _Parts:
    """Q4_K and Q5_K: a block of 256 is eight of 32, whose scales are products: float32."""
    parts: list[Any] = [part.reshape(len(blocks), -1, part.shape[-1]) for part in k_block_parts(blocks)]
    q, scale, minimum = parts
    packed = q if blocks.shape[-1] == FORMATS["Q5_K"].block_bytes else q[..., :16] | q[..., 16:] << 4
    return _Parts(packed, scale.view(np.uint8), minimum.view(np.uint8))


# Formats with one scale for 32 columns. Q6_K has one for 16: it is rounded to Q8_0 first.
_KINDS = {
    "Q4_0": _Kind(True, 8, False, False, _simple(lambda blocks: blocks[..., 2:])),
    "Q4_1": _Kind(True, 0, True, False, _simple(lambda blocks: blocks[..., 4:])),
    "Q5_0": _Kind(False, 16, False, False, _simple(lambda blocks: _with_fifth_bits(blocks, 2))),
    "Q5_1": _Kind(False, 0, True, False, _simple(lambda blocks: _with_fifth_bits(blocks, 4))),
    "Q8_0": _Kind(False, 128, False, False, _simple(lambda blocks: blocks[..., 2:] + np.uint8(128))),
    "Q4_K": _Kind(True, 0, True, True, _take_apart_k),
    "Q5_K": _Kind(False, 0, True, True, _take_apart_k),
}
_ROUNDED = {"Q6_K": "Q8_0"}


# Code and bytes of a float.
_FLOATS = {"F32": (SINGLES, 4), "F16": (HALVES, 2), "BF16": (BRAINS, 2)}


def round_up(n: int, multiple: int) -> int:
    """The least multiple that is not below `n`."""
    return -(-n // multiple) * multiple


@dataclass(frozen=True, eq=False)
class RepackedMatrix:
    """A matrix in the order in which the CPU multiplies it.

    Attributes
    ----------
    data : uint8 ndarray (1-D); the matrix lies in it where `layout` says
    layout : MatrixLayout
    source : ndarray or PackedArray
        The matrix as its file holds it; rows of it can be looked at, and written out again.
    """

    data: Bytes
    layout: MatrixLayout
    source: Repackable

    @property
    def shape(self) -> tuple[int, int]:
        return self.source.shape

    @property
    def nbytes(self) -> int:
        return self.source.nbytes

    @property
    def format_name(self) -> str:
        return format_name(self.source)

    @property
    def is_quantized(self) -> bool:
        """Whether products are integer ones, with rounded activations."""
        return self.layout.kind in (BYTES, NIBBLES)

    @property
    def beats_blas(self) -> bool:
        """Whether many rows, too, are multiplied faster here than unpacked by BLAS."""
        return self.is_quantized and INTEGERS_BEAT_BLAS

    def to_float32(self, rows: Any = slice(None)) -> Float32:
        """The rows that `rows` selects, from the source."""
        source = self.source
        return source[rows] if isinstance(source, np.ndarray) else source.to_float32(rows)

    def multiply(self, x: Float32) -> Float32:
        """`x @ weight.T` for rows x (N, D_in) of float32: (N, D_out)."""
        x = np.ascontiguousarray(x)
        planes = quantize_rows(x) if self.is_quantized else no_planes(len(x))
        y = np.empty((len(x), ROWS * self.layout.n_groups), np.float32)
        multiply_rows(self.data, self.layout, x, planes, y)
        return y[:, : self.shape[0]]


def repacked_bytes(weight: Any) -> int | None:
    """Bytes that `repack` needs for a matrix; None when its format does not fit."""
    name = format_name(weight)
    return _layout(weight, 0)[1] if name in (*_KINDS, *_ROUNDED, *_FLOATS) else None


def _layout(weight: Repackable, at: int) -> tuple[MatrixLayout, int]:
    """Where the parts of a matrix that begins at byte `at` go, and the byte after the last."""
    (n_rows, n_columns), name = weight.shape, format_name(weight)
    n_groups = -(-n_rows // ROWS)
    if name in _FLOATS:
        code, n_bytes = _FLOATS[name]
        end = round_up(at + n_groups * ROWS * n_columns * n_bytes, _ALIGNMENT)
        return MatrixLayout(at, 0, n_groups, n_columns, code, 0, 0, 0), end
    kind, n_blocks = _KINDS[_ROUNDED.get(name, name)], n_columns // BLOCK
    numbers = ROWS * BLOCK // (2 if kind.nibbles else 1)
    stride = numbers + ROWS * (4 if kind.wide else 2) * (2 if kind.minimum else 1)
    end = round_up(at + n_groups * n_blocks * stride, _ALIGNMENT)
    code = NIBBLES if kind.nibbles else BYTES
    return MatrixLayout(at, stride, n_groups, n_blocks, code, kind.zero, int(kind.wide), int(kind.minimum)), end


def repack(weight: Repackable, data: Bytes | None = None, at: int = 0) -> RepackedMatrix:
    """Rearrange a matrix, into `data` from byte `at` on if that is given.

    Raises
    ------
    ValueError
        When the format does not fit; see `repacked_bytes`.
    """
    if repacked_bytes(weight) is None:
        raise ValueError(f"{format_name(weight)} cannot be repacked, only {', '.join([*_KINDS, *_ROUNDED, *_FLOATS])}")
    layout, end = _layout(weight, at)
    data = aligned_bytes(end) if data is None else data
    stored = weight
    if isinstance(weight, PackedArray) and weight.format.name in _ROUNDED:
        stored = quantize(weight.to_float32(), _ROUNDED[weight.format.name])
    raw = stored if isinstance(stored, np.ndarray) else stored.data
    padding = ROWS * layout.n_groups - len(raw)
    rows = np.pad(raw, ((0, padding), (0, 0))) if padding else raw
    if layout.kind in (BYTES, NIBBLES):
        assert isinstance(stored, PackedArray)
        _store_blocks(data, layout, rows, stored.format)
    else:
        number = {2: np.uint16, 4: np.uint32}[_FLOATS[format_name(weight)][1]]
        floats = np.ascontiguousarray(rows).view(number)
        columns = floats.reshape(-1, ROWS, weight.shape[1]).swapaxes(1, 2)
        data[at : at + floats.nbytes].view(number).reshape(columns.shape)[...] = columns
    return RepackedMatrix(data, layout, weight)


def _store_blocks(data: Bytes, layout: MatrixLayout, rows: Bytes, format: BlockFormat) -> None:
    """Numbers, scales and minima of rows in blocks."""
    kind, shape = _KINDS[format.name], (layout.n_groups, ROWS, layout.n_blocks)
    parts = kind.take_apart(rows.reshape(len(rows), -1, format.block_bytes))
    blocks = data[layout.start : layout.start + layout.n_groups * layout.n_blocks * layout.stride]
    blocks = blocks.reshape(layout.n_groups, layout.n_blocks, layout.stride)
    at = 0
    for part, n_bytes in ((parts.q, 4), (parts.scale, 0), (parts.minimum, 0))[: 2 + layout.minima]:
        # (group, lane, block, number of 4 columns) to (group, block, number, lane); scales are one number
        number = np.dtype(f"u{n_bytes or (4 if layout.wide else 2)}")
        values = np.ascontiguousarray(part).view(number).reshape(*shape, -1).transpose(0, 2, 3, 1)
        size = values[0, 0].size * number.itemsize
        blocks[..., at : at + size].view(number).reshape(values.shape)[...] = values
        at += size


def aligned_bytes(n: int) -> Bytes:
    """Uninitialised bytes that begin at a cache line."""
    raw = np.empty(n + _ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % _ALIGNMENT
    return raw[first : first + n]


def release_pages(array: Any) -> None:
    """Let go of what is in memory of the file that an array is mapped from; it can be read again.

    The repacked copy takes its place: without this both would count.
    """
    while array is not None and not isinstance(array, mmap.mmap):
        array = array.data if isinstance(array, PackedArray) else getattr(array, "base", None)
    if array is not None and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)
