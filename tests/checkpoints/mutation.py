"""Damages valid models in many ways, the same for the same seed, and watches what a reader does about it.

Half of the mutations know nothing of the format: bytes change, numbers become extreme, parts go
missing or come twice. The others know just enough to get past the first checks: they change one
value inside a JSON text, one key of a GGUF file or one member of a zip archive, and leave the
rest in order.
"""

from __future__ import annotations

import signal
import time
import traceback
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mutation_models import Model
from mutation_structures import mutate_gguf, mutate_json, mutate_safetensors, mutate_zip

from minillama.checkpoints.loading import load_checkpoint, tokenizer_of
from minillama.files.errors import CheckpointError
from minillama.quantization.formats import to_float32
from minillama.tokenizers import load_tokenizer
from minillama.trees import named_leaves

MAX_SECONDS = 2.0
HEADER_BYTES = 1024  # where most of what a reader believes stands, from either end of a file

Mutation = Callable[[bytes, np.random.Generator], bytes]


def max_memory(n_bytes: int) -> int:
    """What reading files of `n_bytes` may take."""
    return 4 * n_bytes + 100_000_000


# --- mutations that know nothing of the format -------------------------------------------


def _place(data: bytes, rng: np.random.Generator, n_bytes: int = 1) -> int:
    """Where a change of `n_bytes` begins: anywhere, or near the beginning or the end."""
    last = max(1, len(data) - n_bytes + 1)
    near = int(rng.integers(min(HEADER_BYTES, last)))
    return (int(rng.integers(last)), near, near, last - 1 - near)[rng.integers(4)]


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: _place(data, rng)]


def flip_anywhere(data: bytes, rng: np.random.Generator) -> bytes:
    """Change 1 to 16 bytes."""
    copy = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 17)):
        copy[place] ^= int(rng.integers(1, 256))
    return bytes(copy)


def flip_header(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one to four bytes near the beginning or the end; half of the time a single bit."""
    copy = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        copy[_place(data, rng)] ^= int(rng.integers(1, 256)) if rng.integers(2) else 1 << int(rng.integers(8))
    return bytes(copy)


def extreme_number(data: bytes, rng: np.random.Generator) -> bytes:
    """Put an extreme integer of 4 or 8 bytes somewhere, half of the time where one may stand."""
    n_bytes = (4, 8)[rng.integers(2)]
    place = _place(data, rng, n_bytes)
    if rng.integers(2):
        place -= place % 4
    values = (0, 1, -1, 2**31 - 1, 2**63 - 1, -(2**31), -(2**63), 1 << int(rng.integers(64)))
    value = values[rng.integers(len(values))] + int(rng.integers(-1, 2)) * int(rng.integers(2))
    raw = (value % 2 ** (8 * n_bytes)).to_bytes(n_bytes, "little")
    return data[:place] + raw + data[place + n_bytes :]


def move_slices(data: bytes, rng: np.random.Generator) -> bytes:
    """Swap, double, delete, overwrite or insert a part of up to 256 bytes, or a large one."""
    longest = (16, 256, len(data))[rng.integers(3)]
    size = int(rng.integers(1, longest + 1))
    a, b = sorted((_place(data, rng, size), _place(data, rng, size)))
    part, other = data[a : a + size], data[b : b + size]
    kind = rng.integers(5)
    if kind == 0 and a + size <= b:
        return data[:a] + other + data[a + size : b] + part + data[b + size :]
    if kind == 1:
        return data[:a] + part + data[a:]
    if kind == 2:
        return data[:a] + data[a + size :]
    if kind == 3:
        return data[:b] + part + data[b + size :]
    return data[:b] + rng.bytes(min(size, 4096)) + data[b:]


_BLIND: tuple[Mutation, ...] = (
    truncate, flip_anywhere, flip_header, flip_header, extreme_number, extreme_number, move_slices,
)  # fmt: skip
_STRUCTURED: dict[str, Mutation] = {
    ".json": mutate_json, ".gguf": mutate_gguf, ".pth": mutate_zip, ".safetensors": mutate_safetensors,
}  # fmt: skip


def _structured(name: str, data: bytes) -> Mutation | None:
    """What knows the container of a file; .bin is PyTorch's or llama2.c's."""
    if data.startswith(b"PK"):
        return mutate_zip
    return _STRUCTURED.get(Path(name).suffix)


def mutate(name: str, model: Model, seed: int) -> dict[str, bytes]:
    """The files of a damaged copy of `model`; one or two things were done to them.

    Parameters
    ----------
    name : str
        The format: the same seed damages each in another way.
    model : Model
    seed : int
    """
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    files = dict(model.files)
    names = list(files)
    for _ in range(1 if rng.integers(4) else 2):
        target = names[rng.integers(len(names))]
        if len(names) > 1 and not rng.integers(40):  # the wrong file, or none
            other = names[rng.integers(len(names))]
            files[target], files[other] = files[other], files[target]
            if target == other:
                del files[target]
                break
            continue
        structured = _structured(target, files[target])
        mutation = structured if structured and rng.integers(2) else _BLIND[rng.integers(len(_BLIND))]
        if files[target]:
            files[target] = mutation(files[target], rng)
    return files


# --- reading -----------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What a reader did.

    Attributes
    ----------
    kind : "loaded", "refused" or "violation"
    seconds : float
    peak : int or None
        Bytes allocated at most; None when that was not measured.
    report : str
        The message of the CheckpointError; of a violation what happened, with the traceback.
    """

    kind: str
    seconds: float
    peak: int | None
    report: str


class TooSlow(BaseException):
    """The alarm went off; no `except Exception` of a reader may swallow it."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` after `seconds`; an alarm that somebody else had set keeps running afterwards."""

    def ring(*_: object) -> None:
        raise TooSlow

    start = time.perf_counter()
    handler = signal.signal(signal.SIGALRM, ring)
    others, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if others:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, others - (time.perf_counter() - start)))


def read_everything(model: Model, folder: Path) -> None:
    """Open the model with its tokenizer and read every parameter; encode and decode with the tokenizer."""
    path = folder / model.opened
    if model.is_tokenizer:
        tokenizer = load_tokenizer(path)
    else:
        checkpoint = load_checkpoint(path)
        for _, weight in named_leaves(checkpoint.params):
            to_float32(weight).sum(dtype=np.float64)
        tokenizer = tokenizer_of(checkpoint)
    if tokenizer is not None:
        tokenizer.decode(tokenizer.encode("ab abcd 🙂"))
        tokenizer.decode(range(tokenizer.vocab_size))


def attempt(model: Model, files: dict[str, bytes], folder: Path, measure_memory: bool) -> Outcome:
    """Write `files`, read them as `model` is read, and say what came of it.

    A reading that takes too long is tried once more, so that a busy machine is not held
    against the reader.
    """
    write_files(files, folder)
    outcome = _read(model, folder, measure_memory)
    if outcome.kind == "violation" and outcome.seconds >= MAX_SECONDS:
        outcome = _read(model, folder, measure_memory)
    limit = max_memory(sum(map(len, files.values())))
    if outcome.peak is not None and outcome.peak > limit:
        return outcome._replace(
            kind="violation", report=f"took {outcome.peak} bytes of memory, at most {limit} allowed"
        )
    return outcome


def _read(model: Model, folder: Path, measure_memory: bool) -> Outcome:
    kind, report, peak = "loaded", "", None
    if measure_memory:
        tracemalloc.start()
    start = time.perf_counter()
    try:
        with (
            alarm(MAX_SECONDS),
            np.errstate(over="ignore", invalid="ignore"),  # weights may be any numbers
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message=".*tokenizer.ggml.pre")  # the one warning of a reader
            read_everything(model, folder)
    except CheckpointError as error:
        kind, report = "refused", str(error)
    except (Exception, TooSlow):
        kind, report = "violation", traceback.format_exc()
    finally:
        seconds = time.perf_counter() - start
        if measure_memory:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    if seconds >= MAX_SECONDS and kind != "violation":
        kind, report = "violation", f"took {seconds:.1f} s, {MAX_SECONDS} allowed: {report}"
    return Outcome(kind, seconds, peak, report)


def write_files(files: dict[str, bytes], folder: Path) -> None:
    """Make `folder` hold `files` and nothing else; never into a file that may still be mapped."""
    for path in folder.iterdir():
        path.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
