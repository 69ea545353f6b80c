"""Looking at models and moving them: `tokenize`, `info`, `models`, `pull`, `convert`, `doctor`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from .common.given import DEFAULT_MODEL, given_text, load_tokenizer_of
from .common.options import Model, TokenizerFile
from .common.output import download_bar, note, write


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command()(tokenize)
    app.command()(info)
    app.command()(models)
    app.command()(pull)
    app.command()(convert)
    app.command()(doctor)


def tokenize(
    text: Annotated[str | None, typer.Argument(help="The text, or stdin.")] = None,
    model: Model = DEFAULT_MODEL,
    tokenizer: TokenizerFile = None,
    ids: Annotated[bool, typer.Option("--ids", help="Only the ids, on one line.")] = False,
    decode: Annotated[bool, typer.Option("--decode", help="The text is ids; print the text they stand for.")] = False,
    bos: Annotated[
        bool | None, typer.Option("--bos/--no-bos", help="Begin with BOS; by default, what the model expects.")
    ] = None,
    special: Annotated[bool, typer.Option("--special", help="Read special tokens spelled out in the text.")] = False,
) -> None:
    """Show how a text is cut into tokens: one id and piece a line."""
    given = given_text(text, None)
    encoder = load_tokenizer_of(model, tokenizer)
    if decode:
        write(encoder.decode([_as_id(word) for word in given.replace(",", " ").split()], skip_special=False) + "\n")
        return
    found = encoder.encode(given, bos=bos, allow_special=special)
    if ids:
        write(" ".join(map(str, found)) + "\n")
        return
    for id_ in found:
        write(f"{id_:>6}  {json.dumps(encoder.token_text(id_), ensure_ascii=False)}\n")
    note(f"{len(found)} tokens for {len(given)} characters, {len(given.encode())} bytes")


def info(
    model: Annotated[str, typer.Argument(help="A size (7B, 13B, 34B, 70B …), a known name, a file or a folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Shapes, parameters, memory and KV cache of a model; a named size needs no weights."""
    from ..checkpoints.hub.models import KNOWN_MODELS, locate
    from ..checkpoints.hub.registry import find_known
    from ..checkpoints.info import describe, describe_text, human_bytes, stored_formats
    from ..checkpoints.loading import load_checkpoint
    from ..config import NAMED_CONFIGS, named_config
    from ..files.suggestions import did_you_mean

    path = Path(model) if Path(model).exists() else locate(model)
    if path is None and model.lower() in {name.lower() for name in NAMED_CONFIGS}:
        config = named_config(model)
        write(json.dumps(describe(config), indent=2) + "\n" if as_json else describe_text(config, model) + "\n")
        return
    if path is None:
        if known := find_known(model):
            raise ValueError(f"{known.name} is not on this machine yet: minillama pull {known.name}")
        advice = did_you_mean(model, [*KNOWN_MODELS, *NAMED_CONFIGS])
        raise ValueError(
            f"{model!r} is neither a file or folder, nor a model (see minillama models), nor a size; "
            f"{advice}sizes: {', '.join(NAMED_CONFIGS)}"
        )
    checkpoint = load_checkpoint(path)
    formats = stored_formats(checkpoint.params)
    if as_json:
        found = {"path": str(path), "format": checkpoint.format, "stored": formats, **describe(checkpoint.config)}
        write(json.dumps(found, indent=2) + "\n")
        return
    write(describe_text(checkpoint.config, f"{path}: {checkpoint.format}") + "\n\n  stored\n")
    for name, (count, size) in formats.items():
        write(f"    {name:8} {count:>4} tensors  {human_bytes(size):>12}\n")


def models() -> None:
    """List the models known by name, and which of them are on this machine."""
    from ..checkpoints.hub.models import KNOWN_MODELS, cached_models

    cached = {model.known.name: model for model in cached_models()}
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
    for name, known in KNOWN_MODELS.items():
        here = "here" if name in cached else ""
        line = f"{name:22} {known.n_bytes / 1e6:>8,.0f} MB  {here:4}  {known.description} ({known.licence})"
        write((line if len(line) <= width else line[: width - 1] + "…") + "\n")
    for name, model in cached.items():
        note(f"{name}: {model.path}")


def pull(name: Annotated[str, typer.Argument(help="A name from `minillama models`.")]) -> None:
    """Fetch a model once; it is verified and kept for every later run. Prints its path."""
    from ..checkpoints.hub.models import fetch

    with download_bar() as progress:
        path = fetch(name, progress=progress)
    write(f"{path}\n")


def convert(
    source: Annotated[str, typer.Argument(help="A known name, a file or a folder.")],
    target: Annotated[Path, typer.Argument(help="NAME.gguf, NAME.bin (llama2.c) or a folder.")],
    to: Annotated[
        str | None,
        typer.Option("--to", help="Precision of the matrices: F32, F16, BF16, Q8_0, Q4_0 …; as stored if not given."),
    ] = None,
    folder_format: Annotated[
        str, typer.Option("--format", help="For a folder: minillama or huggingface.")
    ] = "minillama",
    version: Annotated[
        int, typer.Option("--version", min=0, max=2, help="For llama2.c: 0, 1 (float32) or 2 (int8).")
    ] = 1,
    tokenizer: TokenizerFile = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write a model in another format; the ending of the target decides which."""
    from ..checkpoints.convert import convert_checkpoint

    with download_bar() as progress:
        written = convert_checkpoint(
            source,
            target,
            to=to,
            folder_format=folder_format,
            version=version,
            tokenizer=tokenizer,
            force=force,
            progress=progress,
        )
    for path in written:
        write(f"{path}\n")
    if target.suffix.lower() == ".gguf" and _strips_spaces(target):
        note("the tokenizer of this model removes extra spaces; llama.cpp does not, and gives other ids there")


def doctor() -> None:
    """Check this machine: Python, NumPy, Numba, CPU, threads, cache, optional packages."""
    from .doctor import diagnose

    findings = diagnose()
    for finding in findings:
        write(f"{'ok  ' if finding.ok else 'FIX '} {finding.what:16} {finding.found}\n")
        if finding.advice:
            write(f"     {'':16} → {finding.advice}\n")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _strips_spaces(path: Path) -> bool:
    from ..checkpoints.gguf import read_gguf_header

    return bool(read_gguf_header(path).metadata.get("tokenizer.ggml.remove_extra_whitespaces"))


def _as_id(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"{word!r} is not a token id; --decode takes integers") from None
