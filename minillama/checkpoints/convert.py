"""Write a model in another format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..files.names import foreign_ending
from ..params import Params
from ..quantization.formats import FORMATS, format_name, head_format, quantize, to_float32
from ..tokenizers import (
    SentencePieceBPE,
    Tokenizer,
    TokenType,
    gguf_metadata,
    save_tokenizer,
    write_llama2c_tokenizer,
)
from ..trees import map_named
from .common.checkpoint import Checkpoint
from .gguf import write_gguf
from .hub.models import DownloadProgress
from .huggingface import write_huggingface
from .llama2c import write_llama2c
from .loading import open_model, tokenizer_beside
from .native import STOP_IDS, write_native

FOLDER_FORMATS = ("minillama", "huggingface")
_PLAIN = ("F32", "F16", "BF16")


def convert_checkpoint(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    to: str | None = None,
    folder_format: str = "minillama",
    version: int = 1,
    tokenizer: str | os.PathLike[str] | None = None,
    force: bool = False,
    name: str | None = None,
    progress: DownloadProgress | None = None,
) -> list[Path]:
    """Write `source` as `target`; the ending of the target decides the format.

    NAME.gguf is GGUF, NAME.bin is llama2.c, in capitals, too; a name without an ending is a folder.

    Parameters
    ----------
    source : str or path
        A known name, a file or a folder.
    to : str, optional
        Precision of the matrices: "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0",
        "Q5_1". As stored if not given, or the nearest that the format can say.
    folder_format : "minillama" or "huggingface"
    version : 0, 1 or 2
        Of llama2.c; 2 is int8.
    tokenizer : path, optional
        Goes into the target; by default the source's own.
    force : bool
        Replace a target that exists.
    name : str, optional
        That a GGUF file gives the model, for people; by default the source's own, else that of the file.

    Returns
    -------
    list of Path
        What was written: the model, and a tokenizer beside a llama2.c file.

    Raises
    ------
    ValueError
        When the target exists or ends in something else, or the format cannot say what the model is.
    """
    target = Path(target)
    kind = _kind_of_target(target, force)
    if to is not None and to not in _PLAIN and (to not in FORMATS or FORMATS[to].quantize is None):
        writable = [*_PLAIN, *(f.name for f in FORMATS.values() if f.quantize and f.name not in _PLAIN)]
        raise ValueError(f"cannot write the precision {to!r}; possible: {', '.join(writable)}")
    if folder_format not in FOLDER_FORMATS:
        raise ValueError(f"a folder can be {' or '.join(FOLDER_FORMATS)}, got {folder_format!r}")
    checkpoint, found = open_model(source, tokenizer, progress=progress)
    if kind == ".gguf":
        return _to_gguf(checkpoint, found, target, to, name)
    if kind == ".bin":
        return _to_llama2c(checkpoint, found, target, to, version)
    return _to_folder(checkpoint, found, target, to, folder_format)


def _kind_of_target(target: Path, force: bool) -> str:
    """What the name says: ".gguf", ".bin", or nothing for a folder."""
    kind = next((ending for ending in (".gguf", ".bin") if target.name.lower().endswith(ending)), "")
    if not kind and (ending := foreign_ending(target)):
        raise ValueError(
            f"cannot write {target}: a target ends in .gguf or .bin (llama2.c), not {ending}, or is a folder; "
            "for a folder of that name, make it first"
        )
    if target.exists() and target.is_dir() == bool(kind):
        found, expected = ("a folder", "file") if kind else ("a file", "folder")
        raise ValueError(f"{target} is {found}: choose another name for the {expected}")
    if target.exists() and not force and (kind or any(target.iterdir())):
        raise ValueError(f"{target} exists; give --force to replace it")
    return kind


def _to_gguf(
    checkpoint: Checkpoint, tokenizer: Tokenizer | None, target: Path, to: str | None, name: str | None
) -> list[Path]:
    metadata = None if tokenizer is None else _padded(gguf_metadata(tokenizer), checkpoint.config.vocab_size)
    described = {key: value for key, value in checkpoint.metadata.items() if _describes(key)}
    write_gguf(
        target,
        checkpoint.config,
        checkpoint.params,
        name=name or str(checkpoint.metadata.get("general.name", target.stem)),
        tokenizer_metadata=metadata,
        general_metadata=described,
        to=to,
    )
    return [target]


def _padded(metadata: dict[str, Any], vocab_size: int) -> dict[str, Any]:
    """The vocabulary with a token for every row of the model, as GGUF wants it and llama.cpp's converter makes it."""
    tokens = metadata["tokenizer.ggml.tokens"]
    more = range(len(tokens), vocab_size)
    padded = {
        "tokenizer.ggml.tokens": [*tokens, *(f"[PAD{id_}]" for id_ in more)],
        "tokenizer.ggml.token_type": np.append(
            metadata["tokenizer.ggml.token_type"], np.full(len(more), TokenType.UNUSED, np.int32)
        ),
    }
    if "tokenizer.ggml.scores" in metadata:
        padded["tokenizer.ggml.scores"] = np.append(
            metadata["tokenizer.ggml.scores"], np.full(len(more), -1000, np.float32)
        )
    return metadata | padded


def _describes(key: str) -> bool:
    """Whether a key of GGUF says what the model is and whose: licence, authors, languages, sources."""
    numeric = ("general.architecture", "general.file_type", "general.quantization_version", "general.alignment")
    return key.startswith("general.") and key not in numeric


def _to_llama2c(
    checkpoint: Checkpoint, tokenizer: Tokenizer | None, target: Path, to: str | None, version: int
) -> list[Path]:
    if to not in (None, "F32"):
        raise ValueError(f"llama2.c holds float32 (--version 0 or 1) or its own int8 (--version 2), not {to}")
    beside, replaces = tokenizer_beside(target), target.exists()
    write_llama2c(target, checkpoint.config, checkpoint.params, version=version)
    if not isinstance(tokenizer, SentencePieceBPE):
        if replaces:
            beside.unlink(missing_ok=True)  # it was the tokenizer of the model that was here
        return [target]
    write_llama2c_tokenizer(beside, tokenizer, checkpoint.config.vocab_size)
    return [target, beside]


def _to_folder(
    checkpoint: Checkpoint, tokenizer: Tokenizer | None, target: Path, to: str | None, folder_format: str
) -> list[Path]:
    if tokenizer is not None:
        target.mkdir(parents=True, exist_ok=True)
        save_tokenizer(tokenizer, target)
    stops = sorted(checkpoint.stop_ids)
    if folder_format == "minillama":
        metadata = {STOP_IDS: stops} if stops else None
        write_native(target, checkpoint.config, _in_precision(checkpoint.params, to), metadata=metadata)
    else:
        if to not in (None, *_PLAIN):
            raise ValueError(f"a Hugging Face folder holds F32, F16 or BF16, not {to}")
        bos, eos = (None, None) if tokenizer is None else (tokenizer.bos_id, tokenizer.eos_id)
        ends = [
            *([] if eos is None else [eos]),
            *(id_ for id_ in stops if id_ != eos),
        ]  # transformers pads with the first
        eos_token_id = ends if len(ends) > 1 else next(iter(ends), None)
        write_huggingface(
            target, checkpoint.config, checkpoint.params, dtype=to, bos_token_id=bos, eos_token_id=eos_token_id
        )
    return [target]


def _in_precision(params: Params, to: str | None) -> Params:
    """Matrices in the precision `to`; vectors, and rows that do not divide into its blocks, keep theirs."""

    def change(name: str, weight: Any) -> Any:
        target = head_format(name, to)
        if target is None or len(weight.shape) == 1 or format_name(weight) == target:
            return weight
        if target == "F32":
            return to_float32(weight)
        if weight.shape[1] % FORMATS[target].block_size:
            return weight
        return quantize(to_float32(weight), target)

    return map_named(change, params)
