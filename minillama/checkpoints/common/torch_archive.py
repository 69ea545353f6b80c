"""The zip archive around the tensors of a file of torch.save; torch_pickle.py reads what they are."""

from __future__ import annotations

import io
import math
import os
import zipfile
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...files.disguise import FIRST_BYTES, ZIP, what_it_is
from ...files.errors import CheckpointError
from ...files.mapped import MappedFile
from ...quantization.formats import FORMATS, PackedArray, Weight
from .torch_pickle import MAX_PICKLE_BYTES, StoredTensor, read_state_dict
from .weights import stored_weight

# The archive's own list of members; an entry takes about 80 bytes, and 1 KB in memory.
MAX_DIRECTORY_BYTES = 1 << 20
MAX_DIMENSIONS = 8

_FORMATS = {"FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16"}
_BITS: dict[str, np.dtype[Any]] = {
    name: np.dtype(bits) for name, bits in {"F32": "<f4", "F64": "<f8", "F16": "<u2", "BF16": "<u2"}.items()
}


class TorchArchive:
    """A file of `torch.save`, whose contiguous tensors are views of the mapped bytes.

    Parameters
    ----------
    path : path-like

    Attributes
    ----------
    tensors : dict of str to StoredTensor
        The tensors of the saved dictionary.

    Raises
    ------
    CheckpointError
        When the file is not such an archive, is damaged, or holds anything but tensors.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.file = MappedFile(path)
        self.path = self.file.path
        self._members = self._read_directory()
        roots = [name.removesuffix("data.pkl") for name in self._members if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise CheckpointError(self.path, "data.pkl", f"expected one in the archive, found {len(roots)}")
        self._root = roots[0]
        self._check_byte_order()
        self.tensors = read_state_dict(self._member("data.pkl", MAX_PICKLE_BYTES), self.path)
        # Tensors may share a storage, so a small file can ask for any number of large copies.
        self._bytes_left = 2 * self.file.size
        self._counted: set[str] = set()

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, not yet compared with its storage."""
        found = self.tensors[name].shape
        if not _sizes(found) or len(found) > MAX_DIMENSIONS:
            raise CheckpointError(self.path, name, f"expected a shape of at most {MAX_DIMENSIONS} sizes")
        return found

    def weight(self, name: str) -> Weight:
        """A vector as float32, or a matrix in the precision of the file.

        Raises
        ------
        CheckpointError
            When the tensor is not one of floats, or reaches past its storage, or when all
            tensors together are larger than the file.
        """
        tensor, shape = self.tensors[name], self.shape(name)
        format_name = _FORMATS.get(tensor.storage.kind)
        if format_name is None:
            raise CheckpointError(self.path, name, f"expected floats, found {tensor.storage.kind}")
        if len(shape) not in (1, 2) or 0 in shape:
            raise CheckpointError(self.path, name, f"expected a vector or a matrix, found shape {_short(shape)}")
        start, n_elements = self._storage(name, tensor, _BITS[format_name].itemsize)
        offset, strides = tensor.offset, tensor.strides
        if not _sizes((offset,)) or not _sizes(strides) or len(strides) != len(shape):
            raise CheckpointError(self.path, name, "expected an offset and strides of non-negative integers")
        end = offset + sum((size - 1) * stride for size, stride in zip(shape, strides)) + 1
        if end > n_elements or math.prod(shape) > n_elements:
            raise CheckpointError(
                self.path,
                name,
                f"shape {_short(shape)} with strides {_short(strides)} from element {_short(offset)} "
                f"does not fit in its storage of {n_elements}",
            )
        n_bytes = math.prod(shape) * _BITS[format_name].itemsize
        if name not in self._counted:  # the embedding is read twice where a tied head is compared with it
            self._counted.add(name)
            self._bytes_left -= n_bytes
        if self._bytes_left < 0:
            raise CheckpointError(self.path, name, "the tensors together are larger than the file: they overlap")
        start += offset * _BITS[format_name].itemsize
        if all(size == 1 or stride == step for size, stride, step in zip(shape, strides, (*shape[1:], 1))):
            return stored_weight(self.file, start, format_name, shape, name)
        return self._strided(start, format_name, shape, strides, (end - offset), name)

    def _strided(
        self, start: int, format_name: str, shape: tuple[int, ...], strides: tuple[int, ...], span: int, name: str
    ) -> Weight:
        """Copy a tensor whose elements do not follow one another, such as a transpose."""
        bits = self.file.array(start, _BITS[format_name], (span,), name)
        # The stride of a single row or column is never used, and may be larger than any file.
        in_bytes = [0 if size == 1 else stride * bits.itemsize for size, stride in zip(shape, strides)]
        view = as_strided(bits, shape, in_bytes, writeable=False)
        array: Any = np.array(view, order="C", copy=True, subok=False)
        if format_name not in FORMATS:
            with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond float32 becomes infinite
                return array.astype(np.float32, copy=False)
        matrix = array.reshape(-1, shape[-1])
        packed = PackedArray(matrix.view(np.uint8), FORMATS[format_name], shape[-1])
        return packed.to_float32().reshape(-1) if len(shape) == 1 else packed

    def _storage(self, name: str, tensor: StoredTensor, itemsize: int) -> tuple[int, int]:
        """Where a storage begins in the file, and its number of elements."""
        start, n_bytes = self._find(f"data/{tensor.storage.key}")
        n_elements = tensor.storage.n_elements
        if not _sizes((n_elements,)) or n_elements * itemsize > n_bytes:
            raise CheckpointError(
                self.path, name, f"expected a storage of {_short(n_elements)} elements, found {n_bytes} bytes"
            )
        return start, n_elements

    def _read_directory(self) -> dict[str, zipfile.ZipInfo]:
        self.file.expect(ZIP)
        try:
            with _BoundedReader(self.path) as file, zipfile.ZipFile(file) as archive:
                members = archive.infolist()
        except Exception as error:  # zipfile lets out whatever a damaged directory provokes
            problem = f"expected a zip archive of torch.save: {error}"
            if what_it_is(self.file.bytes[:FIRST_BYTES].tobytes()) == ZIP:  # it begins as one
                problem += "; it is not whole: download or copy it again"
            raise CheckpointError(self.path, "file", problem) from error
        by_name = {member.filename: member for member in members}
        if len(by_name) != len(members):
            raise CheckpointError(self.path, "file", "two members of the archive have the same name")
        return by_name

    def _check_byte_order(self) -> None:
        if f"{self._root}byteorder" in self._members and self._member("byteorder", 16) != b"little":
            raise CheckpointError(
                self.path, "byteorder", f"expected b'little', found {self._member('byteorder', 16)!r}"
            )

    def _member(self, name: str, max_bytes: int) -> bytes:
        start, n_bytes = self._find(name)
        if n_bytes > max_bytes:
            raise CheckpointError(self.path, name, f"expected at most {max_bytes} bytes, found {n_bytes}")
        return self.file.take(start, n_bytes, name).tobytes()

    def _find(self, name: str) -> tuple[int, int]:
        """Where the bytes of a member begin, and how many they are."""
        what = _short(name)
        member = self._members.get(self._root + name)
        if member is None:
            raise CheckpointError(self.path, what, "is missing from the archive")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise CheckpointError(self.path, what, "is compressed; torch.save stores its members as they are")
        if member.flag_bits & 1:
            raise CheckpointError(self.path, what, "is encrypted")
        # The data follow a header of their own, whose length only that header tells.
        header = self.file.take(member.header_offset, 30, what).tobytes()
        if header[:4] != b"PK\x03\x04":
            raise CheckpointError(self.path, what, f"expected a member at byte {member.header_offset}, found none")
        name_bytes, extra_bytes = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
        start = member.header_offset + 30 + name_bytes + extra_bytes
        self.file.take(start, member.file_size, what)
        return start, member.file_size


class _BoundedReader(io.FileIO):
    """Reads a file for zipfile, which loads the directory whole, however long the file says it is."""

    def read(self, size: int | None = -1, /) -> bytes:
        limit = MAX_DIRECTORY_BYTES + 1
        found = super().read(limit if size is None or size < 0 else min(size, limit))
        if len(found) > MAX_DIRECTORY_BYTES:
            raise ValueError(f"the directory of the archive is larger than {MAX_DIRECTORY_BYTES} bytes")
        return found


def _sizes(found: Any) -> bool:
    """Whether `found` is a tuple of sizes below 2**63."""
    return isinstance(found, tuple) and all(type(size) is int and 0 <= size < 2**63 for size in found)


def _short(value: Any) -> str:
    """A value for an error message. Tuples only from `_sizes`: others may hold each other without end."""
    text = repr(value) if type(value) in (str, int) or _sizes(value) else type(value).__name__
    return text if len(text) <= 100 else f"{text[:100]}…"
