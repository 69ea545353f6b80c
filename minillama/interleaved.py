"""Block-quantised matrices rearranged for the CPU's integer products.

`vpdpbusd` multiplies 64 bytes at once and adds them in 16 sums of four. So that each of the 16
sums is one output, 16 rows of the matrix lie interleaved: for 4 neighbouring columns, 4 bytes
of the first row, 4 of the second … The activations of those 4 columns are then the same 4 bytes
for every lane. A decoded token reads such a matrix once, front to back.

    w[r, c] = scale[r, block] * (q[r, c] - zero) + minimum[r, block]        32 columns a block

Nothing is rounded here: every format that has one scale for 32 columns fits, bit by bit.
4-bit formats stay at 4 bits, 5-bit ones take 8, scales and minima stay float16.

The activations are rounded, to 15 bits and a sign for each block of 32: two planes of int8,
x = d * (128 * high + low). The sums are exact integers, so the only difference to float32
arithmetic is that rounding, some 1e-5 of the result. 8 bits would halve the work, but decoding
waits for memory, not for products, and a small model's answer visibly changes with 8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .interleaved_kernels import multiply_rows, quantize_rows
from .jit import kernel_threads
from .quantization import PackedArray

Bytes = NDArray[Any]  # uint8
Float32 = NDArray[np.float32]

ROWS = 16  # interleaved rows, one lane each
BLOCK = 32  # columns with one scale
_ALIGNMENT = 64


class Layout(NamedTuple):
    """Where the parts of a matrix lie in its bytes, as the kernels take it: integers only."""

    quants: int
    scales: int
    minima: int  # -1: there are none
    n_groups: int  # of 16 rows
    n_blocks: int  # of 32 columns
    nibbles: int  # 1: two numbers a byte
    zero: int


class _Kind(NamedTuple):
    """What a packed format looks like when it is interleaved."""

    nibbles: bool  # two numbers a byte
    zero: int  # what is subtracted from every number
    minimum: bool
    unpack: Callable[[Bytes], Bytes]  # blocks (..., block_bytes) -> numbers (..., 32)


def _nibbles(packed: Bytes) -> Bytes:
    return np.concatenate((packed & 15, packed >> 4), axis=-1)


def _with_fifth_bits(blocks: Bytes, at: int) -> Bytes:
    """Numbers of 5 bits: the upper ones at byte `at`, the nibbles behind them."""
    fifth = np.unpackbits(blocks[..., at : at + 4], axis=-1, bitorder="little")
    return _nibbles(blocks[..., at + 4 :]) | fifth << 4


# Every format with one scale for 32 columns, which stands in the first two bytes of a block, the
# minimum in the next two. The others (16-bit floats, K formats) keep to quantization_kernels.py.
_KINDS = {
    "Q4_0": _Kind(True, 8, False, lambda blocks: _nibbles(blocks[..., 2:])),
    "Q4_1": _Kind(True, 0, True, lambda blocks: _nibbles(blocks[..., 4:])),
    "Q5_0": _Kind(False, 16, False, lambda blocks: _with_fifth_bits(blocks, 2)),
    "Q5_1": _Kind(False, 0, True, lambda blocks: _with_fifth_bits(blocks, 4)),
    "Q8_0": _Kind(False, 128, False, lambda blocks: blocks[..., 2:] + np.uint8(128)),  # int8 to uint8
}


def round_up(n: int, multiple: int) -> int:
    """The least multiple that is not below `n`."""
    return -(-n // multiple) * multiple


@dataclass(frozen=True, eq=False)
class InterleavedArray:
    """A block-quantised matrix in the order in which the CPU multiplies it.

    Attributes
    ----------
    data : uint8 ndarray (1-D); the matrix lies in it where `layout` says
    layout : Layout
    source : PackedArray
        The matrix as its file holds it; rows of it can be looked at, and written out again.
    """

    data: Bytes
    layout: Layout
    source: PackedArray

    @property
    def shape(self) -> tuple[int, int]:
        return self.source.shape

    @property
    def nbytes(self) -> int:
        return self.source.nbytes

    @property
    def format_name(self) -> str:
        return self.source.format_name

    def to_float32(self, rows: Any = slice(None)) -> Float32:
        """The rows that `rows` selects, from the packed source."""
        return self.source.to_float32(rows)

    def multiply(self, x: Float32) -> Float32:
        """`x @ weight.T` for rows x (N, D_in), activations rounded to 15 bits: (N, D_out)."""
        planes = quantize_rows(np.ascontiguousarray(x))
        y = np.empty((len(x), ROWS * self.layout.n_groups), np.float32)
        multiply_rows(self.data, np.array(self.layout, np.int64), planes, y, kernel_threads())
        return y[:, : self.shape[0]]


def interleaved_bytes(weight: PackedArray) -> int | None:
    """Bytes that `interleave` needs for a matrix; None when its format does not fit."""
    if weight.format.name not in _KINDS:
        return None
    return _layout(weight, 0)[1]


def _layout(weight: PackedArray, at: int) -> tuple[Layout, int]:
    """Where the parts of a matrix go that begins at byte `at`, and the byte after the last."""
    (n_rows, n_columns), kind = weight.shape, _KINDS[weight.format.name]
    n_groups, n_blocks = -(-n_rows // ROWS), n_columns // BLOCK
    cells = n_groups * n_blocks
    scales = round_up(at + cells * ROWS * BLOCK // (2 if kind.nibbles else 1), _ALIGNMENT)
    minima = round_up(scales + 2 * ROWS * cells, _ALIGNMENT)
    end = round_up(minima + 2 * ROWS * cells, _ALIGNMENT) if kind.minimum else minima
    return Layout(at, scales, minima if kind.minimum else -1, n_groups, n_blocks, int(kind.nibbles), kind.zero), end


def interleave(weight: PackedArray, data: Bytes | None = None, at: int = 0) -> InterleavedArray:
    """Rearrange a matrix, into `data` from byte `at` on if that is given.

    Raises
    ------
    ValueError
        When the format does not fit; see `interleaved_bytes`.
    """
    kind = _KINDS.get(weight.format.name)
    if kind is None:
        raise ValueError(f"{weight.format_name} cannot be interleaved, only {', '.join(_KINDS)}")
    layout, end = _layout(weight, at)
    data = aligned_bytes(end) if data is None else data
    padding = ROWS * layout.n_groups - weight.shape[0]
    rows = np.pad(weight.data, ((0, padding), (0, 0)))
    blocks = rows.reshape(layout.n_groups, ROWS, layout.n_blocks, weight.format.block_bytes)
    # (group, lane, block, step, 4 bytes), 8 steps of 4 columns in a block, to (group, block, step, lane, 4)
    q = kind.unpack(blocks).reshape(*blocks.shape[:3], 8, 4).transpose(0, 2, 3, 1, 4)
    if kind.nibbles:  # the first four steps in the low halves, the others in the high ones
        q = q[:, :, :4] | q[:, :, 4:] << 4
    _store(data, layout.quants, q)
    _store(data, layout.scales, blocks[..., 0:2].swapaxes(1, 2))
    if kind.minimum:
        _store(data, layout.minima, blocks[..., 2:4].swapaxes(1, 2))
    return InterleavedArray(data, layout, weight)


def aligned_bytes(n: int) -> Bytes:
    """Uninitialised bytes that begin at a cache line."""
    raw = np.empty(n + _ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % _ALIGNMENT
    return raw[first : first + n]


def _store(data: Bytes, at: int, values: Bytes) -> None:
    data[at : at + values.size] = values.reshape(-1)
