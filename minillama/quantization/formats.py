"""Matrices in the precision of their file: 16-bit floats and the block formats of GGUF.

A block format stores 32 or 256 neighbours of a row together: small integers q, and one or
two scales that give them their size back,

    w = d * q            (Q8_0, Q4_0, Q5_0)
    w = d * q + m        (Q4_1, Q5_1).

The blocks of 256, and those of llama.cpp's newer quantisers, are in k_formats.py; here is the list of all.

A matrix that does not fit in memory as float32 stays packed; the layers ask for rows of it
(`to_float32`) or multiply by it directly (kernels.py).

Layouts: ggml's ggml-common.h, restated in each function; the quantisers follow gguf-py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compute.array_types import Bytes, Float32
from .bits import half, nibbles
from .k_formats import (
    dequantize_iq4_nl,
    dequantize_iq4_xs,
    dequantize_q2_k,
    dequantize_q3_k,
    dequantize_q4_or_q5_k,
    dequantize_q6_k,
)


class BlockFormat(NamedTuple):
    """How one group of neighbours in a row is stored."""

    name: str
    ggml_type: int  # its number in a GGUF file
    block_size: int  # elements
    block_bytes: int
    dequantize: Callable[[Bytes], Float32]  # (n, block_bytes) -> (n, block_size)
    quantize: Callable[[Float32], Bytes] | None  # the way back, where ggml's is deterministic

    def row_bytes(self, n_columns: int) -> int:
        """Bytes of a row of `n_columns` elements."""
        return n_columns // self.block_size * self.block_bytes


def _dequantize_f16(blocks: Bytes) -> Float32:
    return half(blocks, 0)


def _dequantize_bf16(blocks: Bytes) -> Float32:
    """The 16 bits of a bfloat16 are the upper half of a float32."""
    bits = np.ascontiguousarray(blocks).view(np.uint16).astype(np.uint32)
    return (bits << 16).view(np.float32)


def _dequantize_q8_0(blocks: Bytes) -> Float32:
    """d (f16), 32 x int8."""
    return half(blocks, 0) * blocks[:, 2:].view(np.int8)


def _dequantize_q4_0(blocks: Bytes) -> Float32:
    """d (f16), 16 bytes: element i in the low half of byte i, element i + 16 in its high half."""
    return half(blocks, 0) * (nibbles(blocks[:, 2:]).astype(np.int8) - np.int8(8))


def _dequantize_q4_1(blocks: Bytes) -> Float32:
    """d, m (f16), nibbles as in Q4_0."""
    return half(blocks, 0) * nibbles(blocks[:, 4:]) + half(blocks, 2)


def _fifth_bits(blocks: Bytes, at: int) -> Bytes:
    """The 32 bits at byte `at` of every block as 0 or 16, (n, 32)."""
    return np.unpackbits(blocks[:, at : at + 4], axis=1, bitorder="little") << 4


def _dequantize_q5_0(blocks: Bytes) -> Float32:
    """d (f16), 32 fifth bits, nibbles as in Q4_0."""
    q = nibbles(blocks[:, 6:]) | _fifth_bits(blocks, 2)
    return half(blocks, 0) * (q.astype(np.int8) - np.int8(16))


def _dequantize_q5_1(blocks: Bytes) -> Float32:
    """d, m (f16), 32 fifth bits, nibbles as in Q4_0."""
    q = nibbles(blocks[:, 8:]) | _fifth_bits(blocks, 4)
    return half(blocks, 0) * q + half(blocks, 2)


def _reciprocal(d: Float32) -> Float32:
    """1 / d, and 0 for a block of zeros."""
    with np.errstate(divide="ignore"):
        return np.where(d == 0, np.float32(0), np.float32(1) / d).astype(np.float32)


def _as_bytes(array: NDArray[Any], dtype: Any) -> Bytes:
    """`array` cast to `dtype` and seen as bytes, (n, bytes)."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array.astype(dtype)).view(np.uint8)


def _pack_nibbles(q: Bytes) -> Bytes:
    """The inverse of `bits.nibbles`: (n, 2k) numbers below 16 to (n, k) bytes."""
    half = q.shape[1] // 2
    return q[:, :half] | q[:, half:] << 4


def _pack_fifth_bits(q: Bytes) -> Bytes:
    """The inverse of `_fifth_bits`: (n, 32) numbers below 32 to (n, 4) bytes."""
    return np.packbits(q >> 4 & 1, axis=1, bitorder="little")


def _quantize_f16(x: Float32) -> Bytes:
    return _as_bytes(x, np.float16)


def _quantize_bf16(x: Float32) -> Bytes:
    """Round to nearest, ties to even; a NaN stays a NaN."""
    bits = x.view(np.uint32)
    rounded = ((bits.astype(np.uint64) + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    quiet_nan = (bits >> 16 | 0x40).astype(np.uint16)
    return _as_bytes(np.where(np.isnan(x), quiet_nan, rounded), np.uint16)


def _quantize_q8_0(x: Float32) -> Bytes:
    """d = max|x| / 127; q = x / d, rounded half away from zero."""
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    scaled = x * _reciprocal(d)
    q = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))
    return np.concatenate((_as_bytes(d, np.float16), _as_bytes(q, np.int8)), axis=1)


def _signed_levels(x: Float32, n_levels: int) -> tuple[Float32, Bytes]:
    """d and q of Q4_0 (16 levels) and Q5_0 (32): the largest element sits on the lowest level."""
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)
    d = largest / np.float32(-n_levels // 2)
    q = np.trunc(x * _reciprocal(d) + np.float32(n_levels // 2 + 0.5))
    return d, np.clip(q, 0, n_levels - 1).astype(np.uint8)


def _affine_levels(x: Float32, n_levels: int) -> tuple[Float32, Float32, Bytes]:
    """d, m and q of Q4_1 (16 levels) and Q5_1 (32): levels from the least to the largest element."""
    m = x.min(axis=1, keepdims=True)
    d = (x.max(axis=1, keepdims=True) - m) / np.float32(n_levels - 1)
    q = np.trunc((x - m) * _reciprocal(d) + np.float32(0.5))
    return d, m, np.clip(q, 0, n_levels - 1).astype(np.uint8)


def _quantize_q4_0(x: Float32) -> Bytes:
    d, q = _signed_levels(x, 16)
    return np.concatenate((_as_bytes(d, np.float16), _pack_nibbles(q)), axis=1)


def _quantize_q4_1(x: Float32) -> Bytes:
    d, m, q = _affine_levels(x, 16)
    return np.concatenate((_as_bytes(d, np.float16), _as_bytes(m, np.float16), _pack_nibbles(q)), axis=1)


def _quantize_q5_0(x: Float32) -> Bytes:
    d, q = _signed_levels(x, 32)
    return np.concatenate((_as_bytes(d, np.float16), _pack_fifth_bits(q), _pack_nibbles(q & 15)), axis=1)


def _quantize_q5_1(x: Float32) -> Bytes:
    d, m, q = _affine_levels(x, 32)
    scales = np.concatenate((_as_bytes(d, np.float16), _as_bytes(m, np.float16)), axis=1)
    return np.concatenate((scales, _pack_fifth_bits(q), _pack_nibbles(q & 15)), axis=1)


FORMATS: dict[str, BlockFormat] = {
    f.name: f
    for f in (
        BlockFormat("F16", 1, 1, 2, _dequantize_f16, _quantize_f16),
        BlockFormat("BF16", 30, 1, 2, _dequantize_bf16, _quantize_bf16),
        BlockFormat("Q8_0", 8, 32, 34, _dequantize_q8_0, _quantize_q8_0),
        BlockFormat("Q4_0", 2, 32, 18, _dequantize_q4_0, _quantize_q4_0),
        BlockFormat("Q4_1", 3, 32, 20, _dequantize_q4_1, _quantize_q4_1),
        BlockFormat("Q5_0", 6, 32, 22, _dequantize_q5_0, _quantize_q5_0),
        BlockFormat("Q5_1", 7, 32, 24, _dequantize_q5_1, _quantize_q5_1),
        BlockFormat("Q2_K", 10, 256, 84, dequantize_q2_k, None),
        BlockFormat("Q3_K", 11, 256, 110, dequantize_q3_k, None),
        BlockFormat("Q4_K", 12, 256, 144, dequantize_q4_or_q5_k, None),
        BlockFormat("Q5_K", 13, 256, 176, dequantize_q4_or_q5_k, None),
        BlockFormat("Q6_K", 14, 256, 210, dequantize_q6_k, None),
        BlockFormat("IQ4_NL", 20, 32, 18, dequantize_iq4_nl, None),
        BlockFormat("IQ4_XS", 23, 256, 136, dequantize_iq4_xs, None),
    )
}


@dataclass(frozen=True, eq=False)
class PackedArray:
    """A matrix stored in a `BlockFormat`, usually a view of a memory-mapped file.

    Attributes
    ----------
    data : uint8 ndarray of shape (n_rows, format.row_bytes(n_columns))
    format : BlockFormat
    n_columns : int

    Raises
    ------
    ValueError
        When the bytes do not make whole rows.
    """

    data: Bytes
    format: BlockFormat
    n_columns: int

    def __post_init__(self) -> None:
        expected = self.format.row_bytes(self.n_columns)
        if self.n_columns % self.format.block_size:
            raise ValueError(
                f"{self.format.name} packs {self.format.block_size} elements together; "
                f"rows of {self.n_columns} do not divide"
            )
        if self.data.dtype != np.uint8 or self.data.ndim != 2 or self.data.shape[1] != expected:
            raise ValueError(
                f"{self.format.name} rows of {self.n_columns} take {expected} bytes each, "
                f"got {self.data.dtype} of shape {self.data.shape}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        return self.data.shape[0], self.n_columns

    @property
    def nbytes(self) -> int:
        return self.data.nbytes

    @property
    def format_name(self) -> str:
        return self.format.name

    def to_float32(self, rows: Any = slice(None)) -> Float32:
        """The rows that `rows` selects (an index array or a slice), as (n, n_columns)."""
        data = np.ascontiguousarray(self.data[rows])
        blocks = data.reshape(-1, self.format.block_bytes)
        return self.format.dequantize(blocks).reshape(-1, self.n_columns)


@dataclass(frozen=True, eq=False)
class GroupedArray:
    """A matrix as int8 with one float32 scale for each `group_size` elements (llama2.c v2).

    The groups run over the flattened matrix and may cross the ends of rows:
    w.flat[i] = scales[i // group_size] * values.flat[i].

    Attributes
    ----------
    values : int8 ndarray of shape (n_rows, n_columns)
    scales : float32 ndarray of shape (n_rows * n_columns / group_size,)
    """

    values: NDArray[np.int8]
    scales: Float32

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.scales.size == 0 or self.values.size % self.scales.size:
            raise ValueError(f"{self.scales.size} scales do not divide values of shape {self.values.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes

    @property
    def group_size(self) -> int:
        return self.values.size // self.scales.size

    @property
    def format_name(self) -> str:
        return f"int8/{self.group_size}"

    def to_float32(self, rows: Any = slice(None)) -> Float32:
        """The rows that `rows` selects (an index array or a slice), as (n, n_columns)."""
        n_columns = self.values.shape[1]
        index = np.arange(self.values.shape[0])[rows].reshape(-1, 1)
        groups = (index * n_columns + np.arange(n_columns)) // self.group_size
        return self.values[rows].reshape(-1, n_columns) * self.scales[groups]


# A matrix as it is stored: float32 (or float64 in tests), or packed as above.
Weight = NDArray[np.floating] | PackedArray | GroupedArray


def format_name(weight: Weight) -> str:
    """The stored precision of `weight` for people: "F32", "Q4_1", "int8/64" …"""
    if isinstance(weight, np.ndarray):
        return {"float32": "F32", "float64": "F64"}.get(weight.dtype.name, weight.dtype.name)
    return weight.format_name


def to_float32(weight: Weight) -> NDArray[np.floating]:
    """The whole of `weight` unpacked; a plain array is returned as it is."""
    return weight if isinstance(weight, np.ndarray) else weight.to_float32()


def head_format(name: str, to: str | None) -> str | None:
    """The format of the parameter `name` when a model is packed as `to`.

    The embedding and the output head take Q8_0 in place of 4 and 5 bits: half of the loss in
    perplexity of a small model packed in Q4_0 comes from its head. llama.cpp also keeps it larger.
    """
    return "Q8_0" if name in ("token_embedding", "output") and to in ("Q4_0", "Q4_1", "Q5_0", "Q5_1") else to


def quantize(weight: NDArray[np.float32], name: str) -> PackedArray:
    """Pack a float32 matrix in the format `name`.

    Raises
    ------
    ValueError
        When the name is unknown or only readable, or the rows do not divide into blocks.
    """
    format = FORMATS.get(name)
    if format is None or format.quantize is None:
        writable = ", ".join(f.name for f in FORMATS.values() if f.quantize)
        raise ValueError(f"cannot quantise to {name!r}; formats that can be written: {writable}")
    n_rows, n_columns = weight.shape
    if n_columns % format.block_size:
        raise ValueError(f"{name} packs {format.block_size} elements together; rows of {n_columns} do not divide")
    blocks = np.ascontiguousarray(weight, np.float32).reshape(-1, format.block_size)
    return PackedArray(format.quantize(blocks).reshape(n_rows, -1), format, n_columns)
