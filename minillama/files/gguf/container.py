"""The GGUF container: its key-values and the place of its tensors, whatever model they make.

    "GGUF"  u32 version  u64 tensor_count  u64 key_value_count
    key-values:  string key, u32 type, value
    tensors:     string name, u32 n_dims, u64 dims[n_dims], u32 type, u64 offset
    zeros up to a multiple of the alignment, then the tensor data

Dimensions stand fastest first, so NumPy's shape is their reverse. Offsets count from the
beginning of the tensor data. Source: ggml docs/gguf.md; version 2 has the same layout.
"""

from __future__ import annotations

import os
import reprlib
from typing import Any, NamedTuple

from ..disguise import GGUF
from ..errors import CheckpointError
from ..mapped import MappedFile
from .values import Cursor, printable

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 1 << 16
MAX_DIMS = 4
MAX_NAME_BYTES = 64  # of a tensor, by the specification
MAX_KEY_BYTES = (1 << 16) - 1  # likewise
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 16  # a Llama of 4096 layers has 36867

# ggml's numbers of stored types, for messages too: whoever reads a tensor says which it can take.
_TYPE_NAMES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS",
    18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16",
    26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip


class TensorInfo(NamedTuple):
    """What a file says about one tensor.

    Attributes
    ----------
    name : str
    shape : tuple of int
        As NumPy has it: rows first.
    type_number : int
        ggml's number of the stored format.
    offset : int
        First byte, counted from the beginning of the file.
    file : MappedFile
        Where it lies: of a split model one of several.
    """

    name: str
    shape: tuple[int, ...]
    type_number: int
    offset: int
    file: MappedFile

    @property
    def type_name(self) -> str:
        """ "Q4_1", "F32", … or "type 99" where the number means nothing here."""
        return _TYPE_NAMES.get(self.type_number, f"type {self.type_number}")

    def error(self, problem: str) -> CheckpointError:
        """The CheckpointError about this tensor."""
        return CheckpointError(self.file.path, printable(self.name), problem)


class GGUFHeader(NamedTuple):
    """Everything in a GGUF file but the tensor data.

    Attributes
    ----------
    file : MappedFile
    version : int
    metadata : dict
        Every key-value: Python numbers, bools and strings; arrays of numbers as NumPy
        arrays, of strings and of arrays as lists.
    tensors : dict of str to TensorInfo
    alignment : int
        Every tensor begins at a multiple of it.
    n_parts : int
        Over how many files the model is split; `file` is the first of them.
    """

    file: MappedFile
    version: int
    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]
    alignment: int
    n_parts: int = 1

    def error(self, field: str, problem: str) -> CheckpointError:
        """The CheckpointError about `field` of this file."""
        return CheckpointError(self.file.path, field, problem)


def read_gguf_header(path: str | os.PathLike[str]) -> GGUFHeader:
    """Read the key-values and tensor descriptions of a GGUF file of version 2 or 3.

    Takes milliseconds however large the file is: the tensor data is not touched, and that
    it is there at all is checked only by `check_extents`.

    Raises
    ------
    CheckpointError
        When the file is not GGUF, big-endian, of another version, truncated or damaged.
    """
    cursor = Cursor(MappedFile(path))
    version = _read_version(cursor)
    # A tensor takes 25 bytes at least: length, a letter, n_dims, no dimension, type, offset.
    tensor_count = cursor.count("tensor_count", MAX_TENSORS, 25)
    # A key-value takes 13: length, type and a value of one byte.
    key_count = cursor.count("key_value_count", MAX_KEYS, 13)
    metadata: dict[str, Any] = {}
    for i in range(key_count):
        key = cursor.string(f"key {i} of {key_count}", MAX_KEY_BYTES)
        if key in metadata:
            raise cursor.error(printable(key), "the key occurs twice")
        metadata[key] = cursor.value(cursor.u32(f"type of {printable(key)}"), printable(key))
    infos = [_read_tensor_info(cursor, f"tensor {i} of {tensor_count}") for i in range(tensor_count)]
    alignment = _alignment(cursor, metadata)
    data_start = cursor.at + -cursor.at % alignment
    tensors: dict[str, TensorInfo] = {}
    for info in infos:
        if info.name in tensors:
            raise cursor.error(printable(info.name), "the tensor occurs twice")
        if info.offset % alignment:
            raise cursor.error(printable(info.name), f"offset {info.offset} is not a multiple of {alignment}")
        tensors[info.name] = info._replace(offset=data_start + info.offset)
    return GGUFHeader(cursor.file, version, metadata, tensors, alignment)


def _read_version(cursor: Cursor) -> int:
    start = cursor.take(4, "magic")
    magic = bytes(cursor.view[start : start + 4])
    if magic != MAGIC:
        cursor.file.expect(GGUF)
        raise cursor.error("magic", f"expected {MAGIC!r}, found {magic!r}: this is not a GGUF file")
    version = cursor.u32("version")
    if version in VERSIONS:
        return version
    if int.from_bytes(version.to_bytes(4, "little"), "big") in (1, *VERSIONS):
        raise cursor.error("version", f"found {version:#010x}: the file is big-endian, only little-endian is supported")
    raise cursor.error("version", f"expected one of {', '.join(map(str, VERSIONS))}, found {version}")


def _read_tensor_info(cursor: Cursor, what: str) -> TensorInfo:
    """One description; its offset still counts from the beginning of the data."""
    name = cursor.string(f"name of {what}", MAX_NAME_BYTES)
    what = printable(name)
    n_dims = cursor.u32(f"n_dims of {what}")
    if n_dims > MAX_DIMS:
        raise cursor.error(what, f"has {n_dims} dimensions, at most {MAX_DIMS} are possible")
    dims = [cursor.u64(f"dimensions of {what}") for _ in range(n_dims)]
    type_number = cursor.u32(f"type of {what}")
    return TensorInfo(name, tuple(reversed(dims)), type_number, cursor.u64(f"offset of {what}"), cursor.file)


def _alignment(cursor: Cursor, metadata: dict[str, Any]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    sane = isinstance(alignment, int) and not isinstance(alignment, bool) and 8 <= alignment <= MAX_ALIGNMENT
    if not sane or alignment & (alignment - 1):
        found = reprlib.repr(alignment)
        raise cursor.error("general.alignment", f"expected a power of two from 8 to {MAX_ALIGNMENT}, found {found}")
    return alignment
