"""A GGUF model that is split over several files, as llama-gguf-split and gguf-py write them.

    NAME-00001-of-00003.gguf    the keys of the model, and some of its tensors or none
    NAME-00002-of-00003.gguf    only split.no, split.count and split.tensors.count, and more of its tensors
    …

`split.no` counts from 0, `split.tensors.count` is that of the whole. Parts carry no mark of the model that they
belong to, so that what can be compared is: counts, names, and general keys that more than one part has.

Source: llama.cpp's llama-model-loader.cpp and gguf-split.cpp.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterable
from pathlib import Path

from ...files.errors import CheckpointError
from ...files.gguf.container import GGUFHeader, TensorInfo, read_gguf_header
from ...files.gguf.values import printable
from ...files.parts import MAX_PARTS, part_name, part_names

NO, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"


def read_whole_header(path: str | os.PathLike[str]) -> GGUFHeader:
    """The header of a GGUF file; where it is part of a split model, of any part, that of all of them joined.

    Raises
    ------
    CheckpointError
        As `read_gguf_header`; and when a part is missing, has another name than its place in the model asks
        for, or belongs to another model.
    """
    given = read_gguf_header(path)
    count = given.metadata.get(COUNT)
    if type(count) is not int or count < 2:  # what else may stand there is for the check of all keys
        return given
    if count > MAX_PARTS:
        raise given.error(COUNT, f"expected at most {MAX_PARTS} parts, found {count}")
    return _join(_part_paths(given, count))


def one_of_each(paths: Iterable[Path]) -> list[Path]:
    """Of the parts of each split model among `paths` only the first, and every other path."""
    first: dict[str, Path] = {}
    for path in sorted(paths):
        first.setdefault(part_names(path.name)[0], path)
    return list(first.values())


def _part_paths(given: GGUFHeader, count: int) -> list[Path]:
    """Where the parts must be: beside the given one, whose name has to say what its keys say."""
    path, number = given.file.path, _integer(given, NO) + 1
    if part_name(path.name, number, count) != path.name:
        raise given.error(
            NO,
            f"this is part {number} of {count} of a model: expected a name that ends in "
            f"-{number:05}-of-{count:05}.gguf, by which the others are found; give it that again (parts that were "
            "joined by cat are not a model, only llama-gguf-split --merge joins them)",
        )
    paths = [path.with_name(name) for name in part_names(path.name)]
    missing = [part for part in paths if not part.exists()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(
            missing[0], "file", f"is missing{more}: {path.name} is one of {count} parts, expected in the same folder"
        )
    return paths


def _join(paths: list[Path]) -> GGUFHeader:
    """One header with the keys of the first part and the tensors of all."""
    first = read_gguf_header(paths[0])
    tensors: dict[str, TensorInfo] = {}
    for number, path in enumerate(paths):
        part = first if number == 0 else read_gguf_header(path)
        for key, expected in ((NO, number), (COUNT, len(paths)), (TENSORS, _integer(first, TENSORS))):
            if (found := _integer(part, key)) != expected:
                raise part.error(
                    key, f"expected {expected} by its name and {paths[0].name}, found {found}: a part of another model"
                )
        _check_same_model(first, part)
        for name, info in part.tensors.items():
            if name in tensors:
                raise info.error(f"is in {tensors[name].file.path.name}, too: one of them is a part of another model")
            tensors[name] = info
    if len(tensors) != _integer(first, TENSORS):
        raise first.error(TENSORS, f"expected {_integer(first, TENSORS)} tensors in all parts, found {len(tensors)}")
    metadata = {key: value for key, value in first.metadata.items() if key not in (NO, COUNT, TENSORS)}
    return first._replace(metadata=metadata, tensors=tensors, n_parts=len(paths))


def _check_same_model(first: GGUFHeader, part: GGUFHeader) -> None:
    """Keys that a later part repeats are those of the first; and so is the alignment, which it may not repeat."""
    if part.alignment != first.alignment:  # gguf-py then aligns to the first, llama-gguf-split to the default
        raise part.error("general.alignment", f"expected {first.alignment} as in the first part, found none or another")
    for key, value in part.metadata.items():
        if key.startswith("general.") and isinstance(value, str | int | float):
            expected = first.metadata.get(key)
            if type(expected) is not type(value) or expected != value:
                raise part.error(
                    printable(key),
                    f"expected {reprlib.repr(expected)} as in {first.file.path.name}, found {reprlib.repr(value)}: "
                    "a part of another model",
                )


def _integer(header: GGUFHeader, key: str) -> int:
    value = header.metadata.get(key)
    if type(value) is not int or not 0 <= value < 1 << 31:
        found = "nothing" if value is None else reprlib.repr(value)
        raise header.error(key, f"expected an integer of 0 or more, found {found}")
    return value
