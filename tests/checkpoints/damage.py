"""What is done to files in tests of readers, and what a reader may do about it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from timing import within_seconds

from minillama.files.errors import CheckpointError
from minillama.quantization.formats import to_float32
from minillama.trees import named_leaves


@contextmanager
def within_bounds(n_bytes: int) -> Iterator[None]:
    """Four seconds of the processor while allocations are counted, and four times the file and 100 MB of memory."""
    tracemalloc.start()
    try:
        with within_seconds(4):
            yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * n_bytes + 100_000_000


def damaged(original: bytes, rng: np.random.Generator, n: int) -> Iterator[bytes]:
    """Copies of a file, each cut somewhere or with one to four bytes changed."""
    for i in range(n):
        if i % 4 == 0:
            yield original[: rng.integers(len(original))]
            continue
        # Half of the changes in the first and last kilobyte, where the headers are.
        near = rng.integers(min(1024, len(original)), size=4)
        places = np.concatenate([near, len(original) - 1 - near, rng.integers(len(original), size=8)])
        copy = bytearray(original)
        for place in rng.choice(places, size=rng.integers(1, 5)):
            copy[place] = rng.integers(256)
        yield bytes(copy)


def check_damage(read: Callable[[], Any], path: Path, rng: np.random.Generator, n: int = 150) -> None:
    """`read` gives a usable model or a CheckpointError, whatever happens to the file `path`."""
    original = path.read_bytes()
    messages = []
    for copy in damaged(original, rng, n):
        path.write_bytes(copy)
        with within_bounds(len(copy)):
            try:
                for _, weight in named_leaves(read().params):
                    to_float32(weight).sum(dtype=np.float64)
            except CheckpointError as error:
                messages.append(str(error))
    path.write_bytes(original)
    read()
    assert len(messages) > n // 5
    assert all(path.parent.name in message for message in messages)


def refused(read: Callable[[], Any], *words: str) -> None:
    """`read` raises a CheckpointError whose message holds all of `words`."""
    with pytest.raises(CheckpointError) as caught:
        read()
    for word in words:
        assert word in str(caught.value)
