"""Open a model of any format by looking at it."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

from ..files.disguise import FIRST_BYTES, GGUF, LLAMA2C, refuse_disguise, what_it_is
from ..files.errors import CheckpointError
from ..files.json_object import Fields, read_object
from ..tokenizers import Tokenizer, load_tokenizer, tokenizer_from_gguf
from .common.checkpoint import Checkpoint
from .gguf.reading import read_gguf
from .gguf.split import one_of_each
from .hub.models import DownloadProgress, resolve
from .huggingface.reading import is_huggingface, read_huggingface
from .llama2c import read_llama2c
from .meta.reading import is_meta, read_meta
from .native import DESCRIPTION_NAME, is_native, read_native

# A member of a folder stands for the folder.
_FOLDER_MEMBER = re.compile(
    r".*(\.safetensors|\.safetensors\.index\.json|\.pth|config\.json|params\.json|minillama\.json"
    r"|pytorch_model(-.*)?\.bin(\.index\.json)?)"
)


def open_model(
    source: str | os.PathLike[str],
    tokenizer: str | os.PathLike[str] | Tokenizer | None = None,
    *,
    progress: DownloadProgress | None = None,
) -> tuple[Checkpoint, Tokenizer | None]:
    """Find a model by name or path, fetching a known one, with the tokenizer that belongs to it.

    Parameters
    ----------
    source : str or path
        A known name, a file or a folder.
    tokenizer : path or Tokenizer, optional
        Instead of the model's own.
    progress : callable, optional
        See `hub.DownloadProgress`.

    Returns
    -------
    checkpoint : Checkpoint
    tokenizer : Tokenizer or None
        The one that was given, else that of the catalogue of known models, else what the checkpoint brings; its
        stop ids are also those of the checkpoint.

    Raises
    ------
    ValueError
        When no model has that name. CheckpointError, one of them, when a file is damaged.
    DownloadError
        When it cannot be fetched.
    """
    found = resolve(source, progress=progress)
    checkpoint = load_checkpoint(found.path)
    chosen = found.tokenizer if tokenizer is None else tokenizer
    if chosen is None:
        chosen = tokenizer_of(checkpoint)
    elif isinstance(chosen, str | os.PathLike):
        chosen = load_tokenizer(Path(chosen), vocab_size=checkpoint.config.vocab_size)
    return checkpoint, None if chosen is None else chosen.stopping_at(checkpoint.stop_ids)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a GGUF or llama2.c file, or a folder of Hugging Face, Meta or minillama; of a training
    run the best checkpoint.

    The format is recognised by content, not by name. Matrices are mapped, not copied, wherever
    the format allows it.

    Raises
    ------
    CheckpointError
        When nothing is there, or what is there is damaged or not supported.
    """
    path = Path(path)
    if path.is_file() and _FOLDER_MEMBER.fullmatch(path.name):
        path = path.parent
    if path.is_dir():
        return _load_folder(path)
    first_bytes = _first_bytes(path)
    refuse_disguise(path, first_bytes, GGUF, LLAMA2C)
    return read_gguf(path) if what_it_is(first_bytes) == GGUF else read_llama2c(path)


def _load_folder(folder: Path) -> Checkpoint:
    if is_native(folder):
        return read_native(folder)
    if is_huggingface(folder):
        return read_huggingface(folder)
    if is_meta(folder):
        return read_meta(folder)
    if (checkpoint := checkpoint_of_run(folder)) is not None:
        return read_native(checkpoint)
    files = one_of_each(path for path in folder.iterdir() if path.suffix.lower() == ".gguf")
    if len(files) == 1:
        return read_gguf(files[0])
    raise CheckpointError(
        folder,
        "folder",
        "holds no model: expected minillama.json (minillama), config.json and *.safetensors or pytorch_model*.bin "
        "(Hugging Face), params.json and consolidated.*.pth (Meta), a run of minillama train, or one model as .gguf"
        + (f"; found {len(files)}" if files else ""),
    )


def checkpoint_of_run(folder: Path) -> Path | None:
    """The best checkpoint of a training run by its validation loss, else the newest; None where there is none."""
    rated = []
    for path in sorted((folder / "checkpoints").glob("step-*")):
        if is_native(path):
            fields = Fields(read_object(path / DESCRIPTION_NAME), path / DESCRIPTION_NAME).object("metadata", {})
            loss = fields.number("validation_loss") if fields.has("validation_loss") else math.inf
            rated.append((loss, path))
    if not rated:
        return None
    best = min(loss for loss, _ in rated)
    # the earliest of equally good ones; without any validation the last
    return rated[-1][1] if best == math.inf else next(path for loss, path in rated if loss == best)


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FIRST_BYTES)
    except OSError as error:
        raise CheckpointError(path, "file", f"cannot be read: {error.strerror}") from error


def tokenizer_beside(path: Path) -> Path:
    """Where `convert` keeps the tokenizer of a llama2.c file, whose format has no place for one."""
    return path.with_name(f"{path.stem}.tokenizer.bin")


def tokenizer_of(checkpoint: Checkpoint) -> Tokenizer | None:
    """The tokenizer that a checkpoint brings along; None where its format carries none.

    Raises
    ------
    CheckpointError
        When it brings one that is damaged or not supported.
    """
    if checkpoint.format.startswith("GGUF"):
        kind = checkpoint.metadata.get("tokenizer.ggml.model", "no_vocab")
        if isinstance(kind, str) and kind == "no_vocab":  # a damaged file may have an array here
            return None
        return tokenizer_from_gguf(checkpoint.metadata, checkpoint.path)
    if not checkpoint.path.is_dir():
        beside = tokenizer_beside(checkpoint.path)
        return load_tokenizer(beside, vocab_size=checkpoint.config.vocab_size) if beside.is_file() else None
    if not any((checkpoint.path / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        return None
    return load_tokenizer(checkpoint.path, vocab_size=checkpoint.config.vocab_size)
