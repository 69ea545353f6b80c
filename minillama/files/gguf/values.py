"""The values of a GGUF file, read one after another.

A string is a u64 length and UTF-8 bytes; an array is a u32 element type, a u64 count and
the elements; everything is little-endian (ggml docs/gguf.md).

A file may lie about every count, so each is compared with the bytes that remain before
anything is allocated. Python objects are larger than the few bytes that describe them, so
their number is limited too.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..mapped import MappedFile

MAX_STRING_BYTES = 1 << 24
MAX_STRINGS = 1 << 20  # in all arrays together
MAX_INNER_ARRAYS = 1 << 14  # likewise
MAX_ARRAY_DEPTH = 4

_NEAR = 1 << 16
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


class ValueType(IntEnum):
    """The type of a key's value."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


NUMBERS: dict[int, np.dtype[Any]] = {
    ValueType.UINT8: np.dtype("u1"),
    ValueType.INT8: np.dtype("i1"),
    ValueType.UINT16: np.dtype("<u2"),
    ValueType.INT16: np.dtype("<i2"),
    ValueType.UINT32: np.dtype("<u4"),
    ValueType.INT32: np.dtype("<i4"),
    ValueType.FLOAT32: np.dtype("<f4"),
    ValueType.BOOL: np.dtype("u1"),
    ValueType.UINT64: np.dtype("<u8"),
    ValueType.INT64: np.dtype("<i8"),
    ValueType.FLOAT64: np.dtype("<f8"),
}
_SMALLEST_BYTES = {ValueType.STRING: 8, ValueType.ARRAY: 12} | {t: dtype.itemsize for t, dtype in NUMBERS.items()}


def printable(name: str) -> str:
    """A name from a file for a message: cut off when long, control characters escaped."""
    shown = name if len(name) <= 100 else name[:100] + "…"
    return shown if shown.isprintable() else ascii(shown)


class Cursor:
    """Reads one value after another and never past the end of the file."""

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self.view = file.bytes.data
        self.at = 0
        self.strings_left = MAX_STRINGS
        self.inner_arrays_left = MAX_INNER_ARRAYS

    def error(self, field: str, problem: str) -> CheckpointError:
        return CheckpointError(self.file.path, field, problem)

    def take(self, n_bytes: int, what: str) -> int:
        """Where the next `n_bytes` begin, once it is known that they are there."""
        start = self.at
        if n_bytes > self.file.size - start:
            raise self.error(what, f"needs {n_bytes} bytes at byte {start}, the file has {self.file.size - start} left")
        self.at = start + n_bytes
        return start

    def u32(self, what: str) -> int:
        return _U32.unpack_from(self.view, self.take(4, what))[0]

    def u64(self, what: str) -> int:
        return _U64.unpack_from(self.view, self.take(8, what))[0]

    def count(self, what: str, limit: int, bytes_each: int) -> int:
        """A u64 that says how many things of at least `bytes_each` bytes follow."""
        count = self.u64(what)
        left = self.file.size - self.at
        if count > limit:
            raise self.error(what, f"is {count}, at most {limit} are supported")
        if count * bytes_each > left:
            raise self.error(what, f"is {count}, which takes {count * bytes_each} bytes or more; {left} are left")
        return count

    def string(self, what: str, limit: int) -> str:
        n_bytes = self.count(f"length of {what}", limit, 1)
        start = self.take(n_bytes, what)
        try:
            return str(self.view[start : start + n_bytes], "utf-8")
        except UnicodeDecodeError as error:
            raise self.error(what, f"is not valid UTF-8 at byte {start}: {error.reason}") from error

    def strings(self, count: int, what: str) -> list[str]:
        """`count` strings. A vocabulary has 100,000 of them, so the loop is kept bare."""
        view, at, size, unpack, found = self.view, self.at, self.file.size, _U64.unpack_from, []
        near, near_at, near_end = b"", 0, 0  # bytes of the file that are at hand: slices of them are made faster
        for i in range(count):
            if at + 8 > size:
                raise self.error(what, f"ends at string {i} of {count}, at byte {at} of {size}")
            start = at + 8
            n_bytes = unpack(view, at)[0]
            at = start + n_bytes
            if at > size or n_bytes > MAX_STRING_BYTES:
                raise self.error(
                    what, f"string {i} of {count} is {n_bytes} bytes long at byte {start}; the file has {size}"
                )
            if at > near_end:
                near_at, near_end = start, max(at, min(size, start + _NEAR))
                near = bytes(view[near_at:near_end])
            try:
                found.append(near[start - near_at : at - near_at].decode())
            except UnicodeDecodeError as error:
                raise self.error(what, f"string {i} is not valid UTF-8 at byte {start}: {error.reason}") from error
        self.at = at
        return found

    def value(self, value_type: int, what: str) -> Any:
        """One value of a key, of any type."""
        if value_type == ValueType.STRING:
            return self.string(what, MAX_STRING_BYTES)
        if value_type == ValueType.ARRAY:
            return self.array(what, 1)
        return self.numbers(value_type, 1, what)[0].item()

    def numbers(self, value_type: int, count: int, what: str) -> np.ndarray:
        dtype = NUMBERS.get(value_type)
        if dtype is None:
            raise self.error(what, f"has value type {value_type}, the known ones are 0 to {max(ValueType)}")
        n_bytes = count * dtype.itemsize
        start = self.take(n_bytes, what)
        numbers = np.frombuffer(self.view[start : start + n_bytes], dtype).copy()
        if value_type == ValueType.BOOL:
            if numbers.size and numbers.max() > 1:
                raise self.error(what, f"is a bool with the value {numbers.max()}, expected 0 or 1")
            numbers = numbers.astype(bool)
        return numbers

    def array(self, what: str, depth: int) -> Any:
        """Numbers as an ndarray, strings and inner arrays as lists."""
        if depth > MAX_ARRAY_DEPTH:
            raise self.error(what, f"nests arrays deeper than {MAX_ARRAY_DEPTH}")
        element = self.u32(f"element type of {what}")
        if element not in _SMALLEST_BYTES:
            raise self.error(what, f"has element type {element}, the known ones are 0 to {max(ValueType)}")
        count = self.count(f"count of {what}", self.file.size, _SMALLEST_BYTES[ValueType(element)])
        if element in NUMBERS:
            return self.numbers(element, count, what)
        if element == ValueType.STRING:
            if count > self.strings_left:
                raise self.error(what, f"makes more than {MAX_STRINGS} strings in arrays, which is the limit")
            self.strings_left -= count
            return self.strings(count, what)
        if count > self.inner_arrays_left:
            raise self.error(what, f"makes more than {MAX_INNER_ARRAYS} arrays in arrays, which is the limit")
        self.inner_arrays_left -= count
        return [self.array(what, depth + 1) for _ in range(count)]
