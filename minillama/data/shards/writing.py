"""Writing the files of `shards`: rows of ids cut into shards, each with its SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.atomic import atomic_write
from ...files.json_object import MAX_JSON_BYTES
from ...tokenizers.bpe.base import Tokenizer

DESCRIPTION = "tokens.json"
FORMAT, VERSION = "minillama tokens", 1
DTYPES: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}

# What `write_shards` reports after each document: documents, bytes of text and tokens so far.
ShardProgress = Callable[[int, int, int], None]


def tokenizer_fingerprint(tokenizer: Tokenizer) -> str:
    """SHA-256 of what the ids mean (pieces, their types, BOS and EOS): equal where ids are interchangeable."""
    meaning = [tokenizer.pieces, tokenizer.types, tokenizer.bos_id, tokenizer.eos_id]
    return hashlib.sha256(json.dumps(meaning, separators=(",", ":")).encode()).hexdigest()


class HashedFile:
    """A file that knows its SHA-256; `stack` closes it where `close` was not reached."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path, self._digest = path, hashlib.sha256()
        self._file = stack.enter_context(open(path, "wb"))  # noqa: SIM115

    def write(self, array: NDArray[Any]) -> None:
        raw = np.ascontiguousarray(array).data.cast("B")
        self._file.write(raw)
        self._digest.update(raw)

    def close(self) -> dict[str, Any]:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return {"file": self.path.name, "sha256": self._digest.hexdigest()}


class ShardRow:
    """Appends ids to shards of a fixed number of tokens."""

    def __init__(self, folder: Path, shard_tokens: int, stack: ExitStack) -> None:
        self._folder, self._shard_tokens, self._stack = folder, shard_tokens, stack
        self._file: HashedFile | None = None
        self._in_shard = self.n_tokens = 0
        self.entries: list[dict[str, Any]] = []

    def append(self, ids: NDArray[Any]) -> None:
        while ids.size:
            if self._file is None:
                self._file = HashedFile(self._folder / f"tokens-{len(self.entries):05d}.bin", self._stack)
            part, ids = np.split(ids, [self._shard_tokens - self._in_shard])
            self._file.write(part)
            self._in_shard += part.size
            self.n_tokens += part.size
            if self._in_shard == self._shard_tokens:
                self.close()

    def close(self) -> None:
        if self._file is not None:
            self.entries.append({**self._file.close(), "n_tokens": self._in_shard})
            self._file, self._in_shard = None, 0


def write_into(
    folder: Path,
    documents: Iterable[str],
    tokenizer: Tokenizer,
    *,
    shard_tokens: int,
    eos: bool,
    progress: ShardProgress | None,
    metadata: dict[str, Any],
) -> None:
    """Encode `documents` into files in `folder`, the description last."""
    name = "uint16" if tokenizer.vocab_size <= 1 << 16 else "uint32"
    with ExitStack() as stack:
        starts = HashedFile(folder / "document_starts.bin", stack)
        row = ShardRow(folder, shard_tokens, stack)
        n_documents = n_text_bytes = 0
        for text in documents:
            starts.write(np.array([row.n_tokens], "<i8"))
            row.append(np.array(_encode(tokenizer, text, eos, n_documents), DTYPES[name]))
            n_documents += 1
            n_text_bytes += len(text.encode())
            if progress is not None:
                progress(n_documents, n_text_bytes, row.n_tokens)
        row.close()
        if row.n_tokens == 0:
            raise ValueError("there are no documents to write")
        lengths = HashedFile(folder / "token_bytes.bin", stack)
        lengths.write(_token_bytes(tokenizer))
        description = {
            "format": FORMAT,
            "version": VERSION,
            "vocab_size": tokenizer.vocab_size,
            "dtype": name,
            "n_tokens": row.n_tokens,
            "n_documents": n_documents,
            "n_text_bytes": n_text_bytes,
            "bos_id": tokenizer.bos_id,
            "eos_id": tokenizer.eos_id if eos else None,
            "tokenizer": tokenizer_fingerprint(tokenizer),
            "shard_tokens": shard_tokens,
            "shards": row.entries,
            "document_starts": starts.close(),
            "token_bytes": lengths.close(),
            "metadata": metadata,
        }
    raw = json.dumps(description, indent=1).encode()
    if len(raw) > MAX_JSON_BYTES:
        raise ValueError(
            f"the description would have {len(raw)} bytes, at most {MAX_JSON_BYTES} can be read back: "
            f"{len(row.entries)} shards are too many (take larger shard_tokens), or the metadata is too large"
        )
    with atomic_write(folder / DESCRIPTION) as file:
        file.write(raw)


def _encode(tokenizer: Tokenizer, text: str, eos: bool, n: int) -> list[int]:
    """The ids of document `n`."""
    try:
        return tokenizer.encode(text, bos=tokenizer.bos_id is not None, eos=eos)
    except ValueError as error:
        raise ValueError(f"document {n}: {error}") from error


def _token_bytes(tokenizer: Tokenizer) -> NDArray[np.uint32]:
    """How many bytes each token adds to a decoded text: (vocab_size, 2), as its first token and later."""
    ids = range(tokenizer.vocab_size)
    first = [0 if tokenizer.is_special(i) else len(tokenizer._first_bytes(i)[0]) for i in ids]
    later = [len(tokenizer.decode_bytes(i)) for i in ids]
    return np.array([first, later], "<u4").T
