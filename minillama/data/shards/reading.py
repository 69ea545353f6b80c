"""Texts as one long row of token ids on disk: what pretraining reads.

    FOLDER/tokens.json            what follows, and the SHA-256 of every file
           tokens-00000.bin …     token ids, little-endian uint16 (vocabularies of up to 65,536 pieces) or uint32
           document_starts.bin    int64: where in the whole row each document begins
           token_bytes.bin        uint32 (vocab_size, 2): bytes of text that each token stands for, as the first
                                  of a text and later in it; with them a loss per token becomes bits per byte

A document is BOS and the tokens of its text. By default no EOS follows, as in llama2.c: the next BOS says
that the document has ended. Whether LLaMA 2 marked ends, or let documents share a row, is not published.

The row is cut into files of `shard_tokens` wherever that falls; documents may continue in the next file. The
files are mapped, not read: a row larger than the memory takes none of it.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...files.errors import CheckpointError
from ...files.json_object import Fields, read_object
from ...files.mapped import MappedFile
from ...tokenizers.bpe.base import Tokenizer
from .writing import DESCRIPTION, DTYPES, FORMAT, VERSION, ShardProgress, tokenizer_fingerprint, write_into

__all__ = ["Shard", "TokenShards", "check_target", "tokenizer_fingerprint", "write_shards"]

SHARD_TOKENS = 1 << 26
_CHUNK = 1 << 20  # elements looked at in one go where a whole file is checked


class Shard(NamedTuple):
    """One file of token ids."""

    path: Path
    sha256: str
    tokens: NDArray[Any]


# --- reading -------------------------------------------------------------------------------------


class TokenShards:
    """The tokens in a folder that `write_shards` has written.

    Parameters
    ----------
    folder : path-like

    Attributes
    ----------
    n_tokens, n_documents : int
        BOS and EOS count as tokens.
    n_text_bytes : int
        Bytes (UTF-8) of the texts that were written.
    vocab_size : int
    bos_id, eos_id : int or None
        The token that every document begins or ends with; None where there is no such token.
    tokenizer : str
        `tokenizer_fingerprint` of the tokenizer.
    document_starts : int64 array (n_documents,)
        Positions in the whole row, mapped; the first is 0.
    token_bytes : uint32 array (vocab_size, 2)
        Bytes of each token as the first of a text, and after that.
    metadata : dict
        What the writer was given.

    Raises
    ------
    CheckpointError
        When a file is missing or damaged, or sizes do not agree. Ids are compared with the vocabulary
        when they are read, SHA-256 sums only by `verify`.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        path = self.folder / DESCRIPTION
        if not path.is_file():
            raise CheckpointError(path, "file", "is missing: the folder holds no tokens (`minillama data tokens`)")
        fields = Fields(read_object(path), path)
        if fields.text("format") != FORMAT or fields.integer("version") != VERSION:
            found = f"{fields.text('format')[:60]!r} version {fields.integer('version')}"
            raise fields.error("format", f"expected {FORMAT!r} version {VERSION}, found {found}")
        self.vocab_size = fields.positive("vocab_size")
        self.n_tokens, self.n_documents = fields.positive("n_tokens"), fields.positive("n_documents")
        self.n_text_bytes = fields.integer("n_text_bytes")
        self.tokenizer = fields.text("tokenizer")
        self.bos_id, self.eos_id = self._optional_id(fields, "bos_id"), self._optional_id(fields, "eos_id")
        self.metadata: dict[str, Any] = fields.object("metadata", {}).values
        name = fields.text("dtype")
        if name not in DTYPES:
            raise fields.error("dtype", f"expected uint16 or uint32, found {name[:60]!r}")
        self.dtype = DTYPES[name]
        self._files: dict[Path, str] = {}
        self.shards = self._read_shards(fields)
        self.shard_tokens = fields.positive("shard_tokens")
        self._check_shards(fields)
        self.document_starts = self._array(fields, "document_starts", "<i8", (self.n_documents,))
        self.token_bytes = self._array(fields, "token_bytes", "<u4", (self.vocab_size, 2))
        self._check_starts()

    def tokens(self, start: int, stop: int) -> NDArray[Any]:
        """The ids at positions [start, stop) of the whole row, copied.

        Returns
        -------
        uint16 or uint32 array (stop - start,)

        Raises
        ------
        ValueError
            When the range is not in the row.
        CheckpointError
            When the file holds an id that is not below `vocab_size`.
        """
        if not 0 <= start <= stop <= self.n_tokens:
            raise ValueError(f"expected 0 <= start <= stop <= {self.n_tokens}, got start {start}, stop {stop}")
        found = np.empty(stop - start, self.dtype)
        at = start
        while at < stop:
            n, offset = divmod(at, self.shard_tokens)
            part = self.shards[n].tokens[offset : offset + stop - at]
            found[at - start : at - start + part.size] = part
            at += part.size
        if found.size and int(found.max()) >= self.vocab_size:
            at = start + int(np.argmax(found >= self.vocab_size))
            raise CheckpointError(
                self.shards[at // self.shard_tokens].path,
                f"token {at}",
                f"expected an id below {self.vocab_size}, found {found[at - start]}",
            )
        return found

    def document(self, i: int) -> NDArray[Any]:
        """The ids of document `i`, BOS included.

        Raises
        ------
        ValueError
            When there is no such document.
        """
        length = self.document_length(i)
        start = int(self.document_starts[i])
        return self.tokens(start, start + length)

    def document_length(self, i: int) -> int:
        """Tokens of document `i`, or a ValueError when there is no such document."""
        if not 0 <= i < self.n_documents:
            raise ValueError(f"document {i} is not one of the {self.n_documents} documents")
        end = self.n_tokens if i + 1 == self.n_documents else int(self.document_starts[i + 1])
        return end - int(self.document_starts[i])

    def document_lengths(self) -> NDArray[np.int64]:
        """Tokens of every document, int64 (n_documents,)."""
        return np.diff(self.document_starts, append=np.int64(self.n_tokens))

    def verify(self) -> None:
        """Read everything once and compare the SHA-256 sums.

        Raises
        ------
        CheckpointError
            When a file is not what was written.
        """
        for path, expected in self._files.items():
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != expected:
                raise CheckpointError(path, "SHA-256", f"expected {expected}, found {found}: write the tokens again")

    def _optional_id(self, fields: Fields, key: str) -> int | None:
        if not fields.has(key):
            return None
        value = fields.integer(key)
        if not 0 <= value < self.vocab_size:
            raise fields.error(key, f"expected an id below {self.vocab_size}, found {value}")
        return value

    def _read_shards(self, fields: Fields) -> list[Shard]:
        entries = fields.values.get("shards")
        if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
            raise fields.error("shards", "expected a list of objects")
        shards = []
        for n, values in enumerate(entries):
            entry = Fields(values, fields.path, f"shards.{n}.")
            path, digest = self._file(entry)
            n_tokens = entry.positive("n_tokens")
            shards.append(Shard(path, digest, _mapped(path, self.dtype, (n_tokens,))))
        return shards

    def _check_shards(self, fields: Fields) -> None:
        """All shards but the last are full, so that a position says which shard it is in."""
        sizes = [shard.tokens.size for shard in self.shards]
        full = all(size == self.shard_tokens for size in sizes[:-1]) and sizes[-1] <= self.shard_tokens
        if sum(sizes) != self.n_tokens or not full:
            found = f"{sum(sizes)} tokens in {len(sizes)} shards"
            raise fields.error("shards", f"expected {self.n_tokens} tokens, {self.shard_tokens} a shard, found {found}")

    def _check_starts(self) -> None:
        path, before = self.folder / "document_starts.bin", -1
        for begin in range(0, self.n_documents, _CHUNK):
            part = self.document_starts[begin : begin + _CHUNK]
            if (begin == 0 and part[0] != 0) or part[0] <= before or np.any(part[1:] <= part[:-1]):
                raise CheckpointError(
                    path, f"documents {begin} to {begin + part.size - 1}", "expected rising positions"
                )
            before = int(part[-1])
        if before >= self.n_tokens:
            raise CheckpointError(path, "last", f"expected a position below {self.n_tokens}, found {before}")

    def _array(self, fields: Fields, key: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        path, _ = self._file(fields.object(key))
        return _mapped(path, np.dtype(dtype), shape)

    def _file(self, entry: Fields) -> tuple[Path, str]:
        """The path and the SHA-256 of an entry; only files in the folder itself."""
        name, digest = entry.text("file"), entry.text("sha256")
        if not name or Path(name).name != name or "\\" in name or "\0" in name:
            raise entry.error("file", f"expected the name of a file in the folder, found {name[:60]!r}")
        path = self.folder / name
        self._files[path] = digest
        return path, digest


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The whole file as an array; its size must be exactly that of the array."""
    file = MappedFile(path)
    expected = math.prod(shape) * dtype.itemsize
    if file.size != expected:
        raise CheckpointError(path, "file", f"expected {expected} bytes for {shape} of {dtype.name}, found {file.size}")
    return np.asarray(file.array(0, dtype, shape, "tokens"))


# --- writing -------------------------------------------------------------------------------------


def write_shards(
    documents: Iterable[str],
    tokenizer: Tokenizer,
    folder: str | PathLike[str],
    *,
    shard_tokens: int = SHARD_TOKENS,
    eos: bool = False,
    overwrite: bool = False,
    progress: ShardProgress | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> TokenShards:
    """Encode `documents` one after another into `folder`.

    Everything goes into a hidden folder beside it, which takes its name when all is written: after an
    error, an interrupt or a full disk there is no new `folder`, and an old one is as it was. (Only a process
    that is killed leaves ".NAME.….part" behind, to be deleted by hand.) Memory is that of one document.

    Parameters
    ----------
    documents : iterable of str
        Encoded as they are: stripping and leaving out empty ones is up to the caller.
    tokenizer : Tokenizer
    folder : path-like
    shard_tokens : int
        Tokens of a file.
    eos : bool
        End every document with EOS.
    overwrite : bool
        Replace an earlier folder of tokens; no other folder is ever replaced.
    progress : callable, optional
        Called after each document with the documents, bytes of text and tokens so far.
    metadata : mapping, optional
        Kept in the description; anything that JSON can write.

    Raises
    ------
    ValueError
        When `folder` exists, there are no documents, or the tokenizer has neither BOS nor `eos` is asked for:
        nothing would tell documents apart.
    """
    folder = Path(folder)
    check_target(folder, overwrite)
    if shard_tokens < 1:
        raise ValueError(f"shard_tokens must be at least 1, got {shard_tokens}")
    if tokenizer.bos_id is None and not eos:
        raise ValueError("the tokenizer has no BOS, so nothing would tell documents apart: give eos=True (--eos)")
    json.dumps(dict(metadata or {}), allow_nan=False)  # better now than after all the work
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        written = temporary / "tokens"
        written.mkdir()
        write_into(
            written,
            documents,
            tokenizer,
            shard_tokens=shard_tokens,
            eos=eos,
            progress=progress,
            metadata=dict(metadata or {}),
        )
        _exchange(written, folder, temporary / "old")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return TokenShards(folder)


def check_target(folder: str | PathLike[str], overwrite: bool) -> None:
    """Raise ValueError unless tokens may be written to `folder`."""
    folder = Path(folder)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()  # nothing is lost, and not every system can rename over an empty folder
    if not folder.exists():
        return
    if not (folder / DESCRIPTION).is_file():
        raise ValueError(f"{folder} exists and holds no tokens: choose another folder, this is never replaced")
    if not overwrite:
        raise ValueError(f"{folder} exists: choose another folder, or say that it is to be replaced (--force)")


def _exchange(new: Path, folder: Path, old: Path) -> None:
    """Put `new` in the place of `folder`, which goes to `old`; on failure it comes back."""
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
