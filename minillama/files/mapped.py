"""A file mapped into memory, read within its bounds."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .disguise import FIRST_BYTES, refuse_disguise, what_it_is
from .errors import CheckpointError


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
            empty = isinstance(error, ValueError) and self.path.is_file()  # what cannot be mapped but read
            problem = f"is {what_it_is(b'')}" if empty else f"cannot be read: {error}"
            raise CheckpointError(self.path, "file", problem) from error
        self.size = self.bytes.size

    def expect(self, *kinds: str) -> None:
        """Raise CheckpointError when the file begins as something that is known and none of `kinds`."""
        refuse_disguise(self.path, self.bytes[:FIRST_BYTES].tobytes(), *kinds)

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
