"""The safetensors container: a JSON header, then the tensors one after another.

    8 bytes     N, little-endian
    N bytes     UTF-8 JSON: {name: {"dtype", "shape", "data_offsets": [begin, end)}, "__metadata__"}
    the rest    raw little-endian tensors in C order; offsets count from its first byte

Source: the format's README and the checks of its reference library
(github.com/huggingface/safetensors, safetensors/src/tensor.rs): the tensors fill the rest of
the file without gap or overlap.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...files.atomic import atomic_write
from ...files.disguise import SAFETENSORS
from ...files.errors import CheckpointError
from ...files.json_object import MAX_JSON_BYTES, kind, list_names, parse_object
from ...files.mapped import MappedFile
from ...quantization.formats import Weight
from .weights import stored_weight

# The NumPy type of each stored one; what NumPy lacks comes as the unsigned integer of its bits.
DTYPES = {
    name: np.dtype(dtype)
    for name, dtype in {
        "F64": "<f8",
        "F32": "<f4",
        "F16": "<f2",
        "BF16": "<u2",
        "F8_E4M3": "u1",
        "F8_E5M2": "u1",
        "I64": "<i8",
        "I32": "<i4",
        "I16": "<i2",
        "I8": "i1",
        "U64": "<u8",
        "U32": "<u4",
        "U16": "<u2",
        "U8": "u1",
        "BOOL": "u1",
    }.items()
}
MAX_DIMENSIONS = 8
# The reference library takes headers up to 100 MB; json_object.py says why this reader stops earlier.
MAX_HEADER_BYTES = MAX_JSON_BYTES


class TensorInfo(NamedTuple):
    """One entry of the header; `offset` counts from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    n_bytes: int


class SafetensorsFile:
    """A safetensors file whose tensors are views of the mapped bytes.

    Parameters
    ----------
    path : path-like

    Attributes
    ----------
    tensors : dict of str to TensorInfo
    metadata : dict of str to str
        The header's `__metadata__`.

    Raises
    ------
    CheckpointError
        When the header is malformed, or the tensors do not exactly fill the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.file = MappedFile(path)
        self.path = self.file.path
        self.file.expect(SAFETENSORS)
        n_bytes = int(self.file.array(0, "<u8", (1,), "header length")[0])
        if n_bytes > MAX_HEADER_BYTES:
            raise CheckpointError(
                self.path, "header length", f"expected at most {MAX_HEADER_BYTES} bytes, found {n_bytes}"
            )
        raw = self.file.take(8, n_bytes, "header").tobytes()
        if not raw.startswith(b"{"):
            raise CheckpointError(self.path, "header", f"expected JSON that begins with '{{', found {raw[:8]!r}")
        header = parse_object(raw, self.path, "header")
        self.metadata = self._metadata(header.pop("__metadata__", {}))
        self.tensors = {name: self._entry(name, entry, 8 + n_bytes) for name, entry in header.items()}
        self._check_layout(8 + n_bytes)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self.tensors[name].shape

    def weight(self, name: str) -> Weight:
        """A vector or matrix of floats, as `MappedFile.weight` gives it: 16-bit matrices stay packed."""
        info = self.tensors[name]
        if len(info.shape) not in (1, 2) or 0 in info.shape:
            raise CheckpointError(self.path, name, f"expected a vector or a matrix, found shape {info.shape}")
        return stored_weight(self.file, info.offset, info.dtype, info.shape, name)

    def array(self, name: str) -> NDArray[Any]:
        """Any tensor as a read-only array of `DTYPES[dtype]`."""
        info = self.tensors[name]
        return self.file.array(info.offset, DTYPES[info.dtype], info.shape, name)

    def raw(self, name: str) -> NDArray[np.uint8]:
        """The bytes of a tensor."""
        info = self.tensors[name]
        return self.file.take(info.offset, info.n_bytes, name)

    def _metadata(self, found: Any) -> dict[str, str]:
        if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
            raise CheckpointError(self.path, "__metadata__", f"expected an object of texts, found {kind(found)}")
        return found

    def _entry(self, name: str, entry: Any, data_start: int) -> TensorInfo:
        """Check one entry of the header by itself."""
        what = f"header of {list_names([name])}"
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            found = f"the keys {list_names(sorted(entry))}" if isinstance(entry, dict) else kind(entry)
            raise CheckpointError(self.path, what, f"expected dtype, shape and data_offsets, found {found}")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise CheckpointError(self.path, what, f"dtype: expected one of {', '.join(DTYPES)}, found {kind(dtype)}")
        if not _sizes(shape) or len(shape) > MAX_DIMENSIONS:
            raise CheckpointError(
                self.path, what, f"shape: expected at most {MAX_DIMENSIONS} sizes, found {_sizes_text(shape)}"
            )
        if not _sizes(offsets) or len(offsets) != 2:
            raise CheckpointError(self.path, what, f"data_offsets: expected [begin, end], found {_sizes_text(offsets)}")
        begin, end = offsets
        n_bytes = math.prod(shape) * DTYPES[dtype].itemsize
        if end - begin != n_bytes:
            raise CheckpointError(
                self.path, what, f"data_offsets: {dtype} of shape {shape} takes {n_bytes} bytes, found {end - begin}"
            )
        return TensorInfo(dtype, tuple(shape), data_start + begin, n_bytes)

    def _check_layout(self, data_start: int) -> None:
        """The tensors follow each other from the end of the header to the end of the file."""
        position = data_start
        for name, info in sorted(self.tensors.items(), key=lambda item: (item[1].offset, item[1].n_bytes)):
            if info.offset != position:
                problem = "overlaps the tensor before it" if info.offset < position else "leaves a gap before it"
                raise CheckpointError(
                    self.path,
                    f"header of {list_names([name])}",
                    f"data_offsets: expected to begin at {position - data_start}, found {info.offset - data_start}: "
                    f"it {problem}",
                )
            position += info.n_bytes
        if position != self.file.size:
            again = " and is not whole: download or copy it again" if position > self.file.size else ""
            raise CheckpointError(
                self.path, "file", f"the header describes {position} bytes, the file has {self.file.size}{again}"
            )


def _sizes(found: Any) -> bool:
    """Whether `found` is a list of sizes below 2**63 (`true` is not one)."""
    return isinstance(found, list) and all(type(size) is int and 0 <= size < 2**63 for size in found)


def _sizes_text(found: Any) -> str:
    text = repr(found) if isinstance(found, list) and len(found) <= MAX_DIMENSIONS else kind(found)
    return text if len(text) <= 200 else f"{text[:200]}…"


class TensorToWrite(NamedTuple):
    """A tensor of a file to be written.

    Attributes
    ----------
    dtype : str
        One of `DTYPES`.
    shape : tuple of int
    chunks : callable
        Called once, when the tensor's turn comes: yields arrays whose bytes make the tensor,
        so that no more than one piece of it need be in memory.
    """

    dtype: str
    shape: tuple[int, ...]
    chunks: Callable[[], Iterable[NDArray[Any]]]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


def write_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, TensorToWrite], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, tensor by tensor; an interrupted write leaves the old file.

    Raises
    ------
    ValueError
        When a tensor's pieces are not as long as its shape says.
    """
    with atomic_write(path) as file:
        _write(file, tensors, metadata)


def write_model_folder(
    folder: str | os.PathLike[str],
    json_name: str,
    description: dict[str, Any],
    tensors: Mapping[str, TensorToWrite],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `model.safetensors` and then the JSON file that describes it.

    An interrupted write leaves the old model, or at worst weights without their description;
    never weights with the description of others.

    Raises
    ------
    CheckpointError
        When the folder holds a model of another kind, whose description would be left behind.
    """
    folder = Path(folder)
    for other in ("config.json", "minillama.json", "params.json", "model.safetensors.index.json"):
        if other != json_name and (folder / other).exists():
            raise CheckpointError(folder / other, "file", "belongs to another model; write to an empty folder")
    text = json.dumps(description, indent=2, allow_nan=False) + "\n"  # before anything is replaced
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"{json_name} takes {len(text)} bytes, at most {MAX_JSON_BYTES} can be read back")
    with atomic_write(folder / "model.safetensors") as file:
        _write(file, tensors, metadata)
        file.flush()
        (folder / json_name).unlink(missing_ok=True)
    with atomic_write(folder / json_name) as file:
        file.write(text.encode())


def _write(file: BinaryIO, tensors: Mapping[str, TensorToWrite], metadata: Mapping[str, str] | None) -> None:
    # Wide elements first, as the reference library does: then each tensor is aligned to its own.
    in_order = sorted(tensors.items(), key=lambda item: -DTYPES[item[1].dtype].itemsize)
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, tensor in in_order:
        if name == "__metadata__":
            raise ValueError("a tensor cannot be called '__metadata__'")
        end = position + tensor.n_bytes
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    if len(raw) > MAX_HEADER_BYTES:
        raise ValueError(f"the header takes {len(raw)} bytes, at most {MAX_HEADER_BYTES} can be read back")
    file.write(len(raw).to_bytes(8, "little") + raw)
    for name, tensor in in_order:
        written = 0
        for chunk in tensor.chunks():
            written += file.write(np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).data)
        if written != tensor.n_bytes:
            raise ValueError(
                f"{name}: {tensor.dtype} of shape {tensor.shape} takes {tensor.n_bytes} bytes, got {written}"
            )
