"""Weights as they lie in a file: views of it in the precision that it stores, and float32 for writers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.errors import CheckpointError
from ...files.mapped import MappedFile
from ...quantization.formats import FORMATS, PackedArray, Weight, to_float32

# What a reader accepts for a plain array, by NumPy dtype; 16-bit floats stay packed.
PLAIN_FLOATS: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}


def stored_weight(file: MappedFile, offset: int, format_name: str, shape: tuple[int, ...], what: str) -> Weight:
    """A parameter stored at `offset` as "F32", "F64", or one of `quantization.FORMATS`.

    Vectors come as float32 arrays, matrices in the precision of the file.
    """
    if format_name in PLAIN_FLOATS:
        array = file.array(offset, PLAIN_FLOATS[format_name], shape, what)
        with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond float32 becomes infinite
            return array.astype(np.float32) if format_name == "F64" or array.ndim == 1 else array
    block = FORMATS.get(format_name)
    if block is None:
        known = ", ".join([*PLAIN_FLOATS, *FORMATS])
        raise CheckpointError(file.path, what, f"is stored as {format_name}, which is not supported ({known})")
    n_columns = shape[-1]
    if n_columns % block.block_size:
        raise CheckpointError(
            file.path, what, f"{format_name} packs {block.block_size} elements, rows of {n_columns} do not divide"
        )
    n_rows = math.prod(shape[:-1])
    raw = file.take(offset, n_rows * block.row_bytes(n_columns), what)
    packed = PackedArray(raw.reshape(n_rows, -1), block, n_columns)
    return packed.to_float32().reshape(-1) if len(shape) == 1 else packed


def float32_rows(weight: Weight, multiple: int = 1) -> Iterator[NDArray[np.float32]]:
    """The matrix as float32, some rows at a time, so that a writer never holds all of it.

    Every part but the last has a number of rows that is a multiple of `multiple`.
    """
    n_rows, n_columns = weight.shape
    step = max(1, (1 << 22) // (n_columns * multiple)) * multiple
    for start in range(0, n_rows, step):
        rows = slice(start, start + step)
        part = weight[rows] if isinstance(weight, np.ndarray) else weight.to_float32(rows)
        yield np.ascontiguousarray(part, "<f4")


def as_float32_bytes(weight: Weight) -> memoryview:
    """The whole parameter as little-endian float32, for writers."""
    return np.ascontiguousarray(to_float32(weight), "<f4").data.cast("B")
