"""Matrices rearranged for the CPU's vectors, and for its integer products.

`vpdpbusd` multiplies 64 bytes at once and adds them up in 16 sums of four. So that each of the 16
sums is one output, 16 rows of the matrix lie side by side: for 4 neighbouring columns, 4 bytes
of the first row, 4 of the second … The activations of those 4 columns are then the same 4 bytes
for every lane. A decoded token reads such a matrix once, front to back.

    w[r, c] = scale[r, block] * (q[r, c] - zero) + minimum[r, block]        32 columns a block

Nothing is rounded here: every format fits, bit by bit. 4-bit formats stay at 4 bits, 5-bit ones take 8 (those of IQ4_NL
and IQ4_XS are looked up in their table of levels just before they are multiplied, the levels plus 128);
scales and minima stay float16, or become float32 in Q4_K, Q5_K and IQ4_XS, where they are products. Q2_K, Q3_K
and Q6_K have a scale for every 16 columns. They keep their blocks of 256, with small integers as scales
and minima of 16 columns and one float16 that gives those their size:

    w[r, c] = d[r, block] * scale[r, part] * (q[r, c] - zero) - d_min[r, block] * minimum[r, part]

Q6_K stays at six bits; Q2_K and Q3_K take four, because fewer are slower to unpack than to read.

The activations are rounded, to 15 bits for each block of 32, the sign among them: two planes of int8,
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
from numpy.typing import NDArray

from ..compute.array_types import Bytes, Float32
from ..compute.simd_bytes import DOT4
from .formats import FORMATS, PackedArray, format_name
from .interleaving import ROWS, interleave_fast
from .k_formats import SixteenParts, iq4_xs_parts, q2_k_parts, q3_k_parts, q4_or_q5_k_parts, q6_k_parts
from .repacked_kernels import no_planes, quantize_rows
from .repacked_layout import BRAINS, BYTES, HALVES, K_NIBBLES, K_SIXES, LEVELS, NIBBLES, SINGLES, MatrixLayout, Planes
from .repacked_rows import multiply_rows

Repackable = Float32 | PackedArray

BLOCK = 32  # columns with one scale
_ALIGNMENT = 64
# On x86 integer products are faster than BLAS even for a long prompt: a word is half a float, and a sum of
# products of words takes as many instructions as one of floats, on more of a CPU's ports.
INTEGERS_BEAT_BLAS = DOT4 in ("avx512vnni", "avxvnni", "avx2")
# With 32 registers of 16 floats, products in float32 are faster than BLAS, which copies both factors first, as long as
# the rows that meet 16 outputs stay in the second-level cache: 64 of so many columns. Measured with AVX-512 alone.
FLOATS_BEAT_BLAS = DOT4 == "avx512vnni"
_MOST_COLUMNS = 1024


class _Parts(NamedTuple):
    """Blocks of 32 columns taken apart; scale and minimum as bytes of float16, or of float32 if wide."""

    q: Bytes  # (R, B, 32), or (R, B, 16) of nibbles: number i low in byte i, number i + 16 high
    scale: Bytes  # (R, B, 2 or 4)
    minimum: Bytes  # (R, B, 2 or 4), read only where the kind has minima


class _Kind(NamedTuple):
    """What a packed format looks like when it is repacked."""

    kind: int  # BYTES, NIBBLES or LEVELS
    zero: int  # what is subtracted from every number
    minimum: bool
    wide: bool  # scales and minima are float32
    flip: int  # bits of every number to turn over: 128 makes signed bytes unsigned
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
    flat = blocks.reshape(-1, blocks.shape[-1])
    parts: list[Any] = [part.reshape(len(blocks), -1, part.shape[-1]) for part in q4_or_q5_k_parts(flat)]
    q, scale, minimum = parts
    packed = q if blocks.shape[-1] == FORMATS["Q5_K"].block_bytes else q[..., :16] | q[..., 16:] << 4
    return _Parts(packed, scale.view(np.uint8), minimum.view(np.uint8))


def _take_apart_iq4_xs(blocks: Bytes) -> _Parts:
    """A block of 256 is eight of 32; scales are products here too."""
    packed, scale = iq4_xs_parts(blocks.reshape(-1, blocks.shape[-1]))
    scale_bytes = scale.reshape(len(blocks), -1, 1).view(np.uint8)
    return _Parts(packed.reshape(len(blocks), -1, 16), scale_bytes, scale_bytes)


# Formats with one scale for 32 columns.
_KINDS = {
    "Q4_0": _Kind(NIBBLES, 8, False, False, 0, _simple(lambda blocks: blocks[..., 2:])),
    "Q4_1": _Kind(NIBBLES, 0, True, False, 0, _simple(lambda blocks: blocks[..., 4:])),
    "Q5_0": _Kind(BYTES, 16, False, False, 0, _simple(lambda blocks: _with_fifth_bits(blocks, 2))),
    "Q5_1": _Kind(BYTES, 0, True, False, 0, _simple(lambda blocks: _with_fifth_bits(blocks, 4))),
    "Q8_0": _Kind(BYTES, 128, False, False, 128, _simple(lambda blocks: blocks[..., 2:])),
    "Q4_K": _Kind(NIBBLES, 0, True, True, 0, _take_apart_k),
    "Q5_K": _Kind(BYTES, 0, True, True, 0, _take_apart_k),
    "IQ4_NL": _Kind(LEVELS, 128, False, False, 0, _simple(lambda blocks: blocks[..., 2:])),
    "IQ4_XS": _Kind(LEVELS, 128, False, True, 0, _take_apart_iq4_xs),
}


class _SixteenKind(NamedTuple):
    """What a format with a scale for 16 columns looks like when it is repacked."""

    kind: int  # K_NIBBLES or K_SIXES
    zero: int
    minimum: bool
    take_apart: Callable[[Bytes], SixteenParts]  # of blocks (n, block_bytes)

    @property
    def bytes_of_32(self) -> tuple[int, int]:
        """Of 16 rows and 32 columns: those of the numbers, and all."""
        numbers = ROWS * BLOCK * (6 if self.kind == K_SIXES else 4) // 8
        return numbers, numbers + 2 * ROWS * (2 if self.minimum else 1)

    @property
    def stride(self) -> int:
        """Bytes of 16 rows and 256 columns."""
        return 8 * self.bytes_of_32[1] + 2 * ROWS * (2 if self.minimum else 1)


_SIXTEENS = {
    "Q2_K": _SixteenKind(K_NIBBLES, 0, True, q2_k_parts),
    "Q3_K": _SixteenKind(K_NIBBLES, 4, False, q3_k_parts),
    "Q6_K": _SixteenKind(K_SIXES, 32, False, q6_k_parts),
}

# Code and bytes of a float.
_FLOATS = {"F32": (SINGLES, 4), "F16": (HALVES, 2), "BF16": (BRAINS, 2)}
_REPACKABLE = (*_KINDS, *_SIXTEENS, *_FLOATS)


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
        return self.layout.kind < SINGLES

    @property
    def beats_blas(self) -> bool:
        """Whether any number of rows is multiplied faster here than unpacked by BLAS."""
        if self.is_quantized:
            return INTEGERS_BEAT_BLAS
        return FLOATS_BEAT_BLAS and self.layout.kind == SINGLES and self.shape[1] <= _MOST_COLUMNS

    def to_float32(self, rows: Any = slice(None)) -> Float32:
        """The rows that `rows` selects, from the source."""
        source = self.source
        return source[rows] if isinstance(source, np.ndarray) else source.to_float32(rows)

    def rounded(self, x: Float32) -> Planes:
        """Rows x (N, D_in) of float32 as the products take them."""
        return quantize_rows(x) if self.is_quantized else no_planes(len(x))

    def multiply(self, x: Float32, planes: Planes | None = None) -> Float32:
        """`x @ weight.T` for rows x (N, D_in) of float32: (N, D_out); `planes` are x `rounded`, where that was done."""
        x = np.ascontiguousarray(x)
        planes = self.rounded(x) if planes is None else planes
        y = np.empty((len(x), ROWS * self.layout.n_groups), np.float32)
        multiply_rows(self.data, self.layout, x, planes, y)
        return y[:, : self.shape[0]]


def repacked_bytes(weight: Any) -> int | None:
    """Bytes that `repack` needs for a matrix; None when its format does not fit."""
    name = format_name(weight)
    return _layout(weight, 0)[1] if name in _REPACKABLE else None


def _layout(weight: Repackable, at: int) -> tuple[MatrixLayout, int]:
    """Where the parts of a matrix that begins at byte `at` go, and the byte after the last."""
    (n_rows, n_columns), name = weight.shape, format_name(weight)
    n_groups = -(-n_rows // ROWS)
    if name in _FLOATS:
        code, n_bytes = _FLOATS[name]
        end = round_up(at + n_groups * ROWS * n_columns * n_bytes, _ALIGNMENT)
        return MatrixLayout(at, 0, n_groups, n_columns, code, 0, 0, 0), end
    if name in _SIXTEENS:
        sixteens, n_blocks = _SIXTEENS[name], n_columns // 256
        end = round_up(at + n_groups * n_blocks * sixteens.stride, _ALIGNMENT)
        minima = int(sixteens.minimum)
        layout = MatrixLayout(at, sixteens.stride, n_groups, n_blocks, sixteens.kind, sixteens.zero, 0, minima)
        return layout, end
    kind, n_blocks = _KINDS[name], n_columns // BLOCK
    numbers = ROWS * BLOCK // (1 if kind.kind == BYTES else 2)
    stride = numbers + ROWS * (4 if kind.wide else 2) * (2 if kind.minimum else 1)
    end = round_up(at + n_groups * n_blocks * stride, _ALIGNMENT)
    return MatrixLayout(at, stride, n_groups, n_blocks, kind.kind, kind.zero, int(kind.wide), int(kind.minimum)), end


def repack(weight: Repackable, data: Bytes | None = None, at: int = 0) -> RepackedMatrix:
    """Rearrange a matrix, into `data` from byte `at` on if that is given.

    Raises
    ------
    ValueError
        When the format does not fit; see `repacked_bytes`.
    """
    if repacked_bytes(weight) is None:
        raise ValueError(f"{format_name(weight)} cannot be repacked, only {', '.join(_REPACKABLE)}")
    layout, end = _layout(weight, at)
    data = aligned_bytes(end) if data is None else data
    raw = weight if isinstance(weight, np.ndarray) else weight.data
    padding = ROWS * layout.n_groups - len(raw)
    rows = np.pad(raw, ((0, padding), (0, 0))) if padding else raw
    if layout.kind in (K_NIBBLES, K_SIXES):
        _store_sixteens(data, layout, rows, format_name(weight))
    elif layout.kind < SINGLES:
        _store_blocks(data, layout, rows, format_name(weight))
    else:
        n_bytes = _FLOATS[format_name(weight)][1]
        floats = np.ascontiguousarray(rows).view(np.uint8)
        columns = data[at : at + floats.size].reshape(layout.n_groups, 1, 1, -1)
        interleave_fast(floats[:, None, None], columns, n_bytes)
    return RepackedMatrix(data, layout, weight)


def _store_blocks(data: Bytes, layout: MatrixLayout, rows: Bytes, name: str) -> None:
    """Numbers, scales and minima of rows in blocks."""
    kind, at = _KINDS[name], 0
    parts = kind.take_apart(rows.reshape(len(rows), -1, FORMATS[name].block_bytes))
    blocks = _blocks_of(data, layout)[:, :, None]
    size = 4 if layout.wide else 2  # of a scale; of numbers, those of 4 columns stay together
    stored = ((parts.q, 4, kind.flip), (parts.scale, size, 0), (parts.minimum, size, 0))
    for part, n_bytes, flip in stored[: 2 + layout.minima]:
        end = at + ROWS * part.shape[-1]
        interleave_fast(part[:, :, None], blocks[..., at:end], n_bytes, flip)
        at = end


def _blocks_of(data: Bytes, layout: MatrixLayout) -> Bytes:
    """The bytes of a matrix as (group, block, stride)."""
    n_bytes = layout.n_groups * layout.n_blocks * layout.stride
    return data[layout.start : layout.start + n_bytes].reshape(layout.n_groups, layout.n_blocks, layout.stride)


def _store_sixteens(data: Bytes, layout: MatrixLayout, rows: Bytes, name: str) -> None:
    """Numbers, scales and minima of rows in blocks of 256 with a scale for every 16 columns."""
    kind, blocks = _SIXTEENS[name], _blocks_of(data, layout)
    parts = kind.take_apart(rows.reshape(-1, FORMATS[name].block_bytes))
    n_bytes, step = kind.bytes_of_32
    places = blocks[..., : 8 * step].reshape(*blocks.shape[:2], 8, step)

    def put(part: NDArray[Any], at: int, size: int) -> None:
        """What there is for every row, block and 32 columns, from byte `at` of their place on."""
        source = np.ascontiguousarray(part).view(np.uint8).reshape(len(rows), layout.n_blocks, 8, -1)
        interleave_fast(source, places[..., at : at + ROWS * source.shape[-1]], size)

    q = parts.q.reshape(-1, 8, 2, 4, 4)  # 8 times 32 columns, both halves, 4 steps of 4 columns
    put(q[:, :, 0] & 15 | q[:, :, 1] << 4, 0, 4)
    if kind.kind == K_SIXES:
        put(np.bitwise_or.reduce(q >> 4 << np.array([0, 2, 4, 6], np.uint8)[:, None], axis=3), 256, 4)
    scales = [(parts.scale.view(np.uint8), parts.d)]
    if parts.minimum is not None and parts.d_min is not None:
        scales.append((parts.minimum, -parts.d_min))
    for i, (small, factor) in enumerate(scales):
        put(small, n_bytes + 2 * ROWS * i, 1)
        at = 8 * step + 2 * ROWS * i
        source = factor.astype(np.float16).view(np.uint8).reshape(len(rows), layout.n_blocks, 1, 2)
        interleave_fast(source, blocks[:, :, None, at : at + 2 * ROWS], 2)


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
