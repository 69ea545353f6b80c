"""Where the tensors of a GGUF file lie, held against the bytes that there are."""

from __future__ import annotations

import math

from ...files.gguf.container import GGUFHeader, TensorInfo
from ...files.gguf.values import printable
from ...quantization.formats import FORMATS


def check_extents(header: GGUFHeader) -> None:
    """Make sure that every tensor has a known format and its own bytes inside the file.

    Raises
    ------
    CheckpointError
        When a format is not supported, rows do not divide into its blocks, a tensor
        reaches past the end of the file, or two overlap.
    """
    previous, end = "", 0
    file, cut_off = header.file, " and is not whole: download or copy it again"
    for info in sorted(header.tensors.values(), key=lambda info: (str(info.file.path), info.offset)):
        if info.file is not file:
            file, previous, end = info.file, "", 0
        name, n_bytes = printable(info.name), _tensor_bytes(info)
        if info.offset + n_bytes > file.size:
            raise info.error(f"needs bytes {info.offset} to {info.offset + n_bytes}, the file has {file.size}{cut_off}")
        if info.offset < end:
            raise info.error(f"begins at byte {info.offset}, inside of {previous}, which ends at {end}")
        previous, end = name, info.offset + n_bytes


def _tensor_bytes(info: TensorInfo) -> int:
    """Bytes of the tensor in the file."""
    if info.type_number == 0:
        return 4 * math.prod(info.shape)
    block = FORMATS.get(info.type_name)
    if block is None:
        known = ", ".join(["F32", *(block.name for block in FORMATS.values())])
        raise info.error(f"is stored as {info.type_name}, which is not supported ({known})")
    n_columns = info.shape[-1] if info.shape else 1
    if n_columns % block.block_size:
        raise info.error(f"{block.name} packs {block.block_size} elements, rows of {n_columns} do not divide")
    return math.prod(info.shape[:-1]) * block.row_bytes(n_columns)
