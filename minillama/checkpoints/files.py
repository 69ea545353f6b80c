"""What every checkpoint reader and writer shares: bounded reads, shape checks, atomic writes."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..config import ModelConfig
from ..params import LayerParams, Params, expected_shapes
from ..quantization import FORMATS, PackedArray, Weight, to_float32
from ..trees import named_leaves
from .errors import CheckpointError

# What a reader accepts for a plain array, by NumPy dtype; 16-bit floats stay packed.
PLAIN_FLOATS: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}


@dataclass(frozen=True)
class Checkpoint:
    """A model as read from disk; its matrices are views of the mapped file.

    Attributes
    ----------
    path : Path
        The file, or the folder of a format that is a folder.
    format : str
        For people: "GGUF v3", "llama2.c v0", "Hugging Face safetensors" …
    config : ModelConfig
    params : Params
    metadata : dict
        What else the format says: GGUF's key-value pairs, Hugging Face's config.json.
    """

    path: Path
    format: str
    config: ModelConfig
    params: Params
    metadata: dict[str, Any] = field(default_factory=dict)


class MappedFile:
    """A file mapped for reading, of which no view can reach past the end.

    Raises
    ------
    CheckpointError
        When the file is missing, empty, a folder or not readable.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self.bytes: NDArray[np.uint8] = np.memmap(self.path, np.uint8, mode="r")
        except (OSError, ValueError) as error:
            raise CheckpointError(self.path, "file", f"cannot be read: {error}") from error
        self.size = self.bytes.size

    def take(self, offset: int, n_bytes: int, what: str) -> NDArray[np.uint8]:
        """The bytes [offset, offset + n_bytes) as a view.

        Raises
        ------
        CheckpointError
            When they are not all in the file; `what` names the field for the message.
        """
        if offset < 0 or n_bytes < 0 or offset + n_bytes > self.size:
            raise CheckpointError(
                self.path, what, f"needs bytes {offset} to {offset + n_bytes}, the file has {self.size}"
            )
        return self.bytes[offset : offset + n_bytes]

    def array(self, offset: int, dtype: Any, shape: tuple[int, ...], what: str) -> NDArray[Any]:
        """An array of `dtype` and `shape` that begins at byte `offset`, aligned or copied."""
        dtype = np.dtype(dtype)
        raw = self.take(offset, math.prod(shape) * dtype.itemsize, what)
        array = raw.view(dtype).reshape(shape)
        return array if array.flags.aligned else array.copy()

    def weight(self, offset: int, format_name: str, shape: tuple[int, ...], what: str) -> Weight:
        """A parameter stored at `offset` as "F32", "F64", or one of `quantization.FORMATS`.

        Vectors come as float32 arrays, matrices in the precision of the file.
        """
        if format_name in PLAIN_FLOATS:
            array = self.array(offset, PLAIN_FLOATS[format_name], shape, what)
            with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond float32 becomes infinite
                return array.astype(np.float32) if format_name == "F64" or array.ndim == 1 else array
        block = FORMATS.get(format_name)
        if block is None:
            known = ", ".join([*PLAIN_FLOATS, *FORMATS])
            raise CheckpointError(self.path, what, f"is stored as {format_name}, which is not supported ({known})")
        n_columns = shape[-1]
        if n_columns % block.block_size:
            raise CheckpointError(
                self.path, what, f"{format_name} packs {block.block_size} elements, rows of {n_columns} do not divide"
            )
        n_rows = math.prod(shape[:-1])
        raw = self.take(offset, n_rows * block.row_bytes(n_columns), what)
        packed = PackedArray(raw.reshape(n_rows, -1), block, n_columns)
        return packed.to_float32().reshape(-1) if len(shape) == 1 else packed


def check_shape(path: Path, name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise CheckpointError unless the tensor `name` has the shape that the configuration asks for."""
    if tuple(found) != tuple(expected):
        raise CheckpointError(
            path, name, f"expected shape {tuple(expected)} from the configuration, found {tuple(found)}"
        )


def check_names(path: Path, config: ModelConfig, found: Collection[str], name_of: Callable[[str], str]) -> list[str]:
    """Raise CheckpointError unless `found` holds every parameter of `config`; return what else it holds.

    Parameters
    ----------
    found : collection of str
        The names of the tensors in the file.
    name_of : callable
        The file's name of a parameter from the package's.
    """
    # Before the names are listed: a damaged n_layers must not make a list longer than the file.
    if config.n_layers * len(LayerParams._fields) > len(found):
        raise CheckpointError(
            path,
            "n_layers",
            f"{config.n_layers} layers have {len(LayerParams._fields)} tensors each, found {len(found)} in all",
        )
    wanted = [name_of(name) for name in expected_shapes(config)]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise CheckpointError(path, missing[0], f"is missing ({len(missing)} of {len(wanted)} tensors are)")
    return sorted(set(found).difference(wanted))


def make_config(path: Path, where: str, **fields: Any) -> ModelConfig:
    """A `ModelConfig` whose ValueError becomes a CheckpointError about `where` in the file."""
    try:
        return ModelConfig(**fields)
    except (ValueError, TypeError) as error:
        raise CheckpointError(path, where, str(error)) from error


def check_params(config: ModelConfig, params: Params) -> None:
    """Raise ValueError unless `params` has the arrays and shapes of `config`, for writers."""
    found = {name: tuple(weight.shape) for name, weight in named_leaves(params)}
    for name, shape in expected_shapes(config).items():
        if found.pop(name, None) != shape:
            raise ValueError(f"{name} must have shape {shape} by the configuration, the parameters differ")
    if found:
        raise ValueError(f"parameters that the configuration does not have: {', '.join(found)}")


def float32_rows(weight: Weight, multiple: int = 1) -> Iterator[NDArray[np.float32]]:
    """The matrix as float32, some rows at a time, so that a writer never holds all of it.

    Every part but the last has a number of rows that divides by `multiple`.
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


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` only when everything was written.

    After an error or an interrupt the old file, if there was one, is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
