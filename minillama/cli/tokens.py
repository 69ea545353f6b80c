"""`minillama data tokenizer` and `minillama data tokens`: from texts to a vocabulary, and to token files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..data.documents import SEPARATOR
from .common.output import download_bar, note, write

Inputs = Annotated[
    list[Path],
    typer.Argument(help="Files .txt (documents between separator lines) or .jsonl, also .gz; or folders of these."),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what an earlier run wrote there.")]
Separator = Annotated[str, typer.Option("--separator", help="In .txt files: the line between documents; '' for none.")]
Field = Annotated[str, typer.Option("--field", help="In .jsonl files: the key of the text.")]


def register(app: typer.Typer) -> None:
    """Add both commands to `minillama data`."""
    app.command("tokenizer")(tokenizer)
    app.command("tokens")(tokens)


def tokenizer(
    inputs: Inputs,
    out: Out,
    vocab_size: Annotated[int, typer.Option("--vocab-size", help="Pieces in all, including 259 fixed ones.")] = 4096,
    character_coverage: Annotated[
        float,
        typer.Option("--character-coverage", help="Share of all characters that get a piece; the rest become bytes."),
    ] = 0.99995,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Do not change the result.")] = 2,
    separator: Separator = SEPARATOR,
    field: Field = "text",
    force: Force = False,
) -> None:
    """Train a tokenizer of LLaMA's kind. Prints its folder."""
    from ..data.documents import text_files
    from ..tokenizers.loading import IN_FOLDER
    from ..tokenizers.training import train_tokenizer

    files = text_files(inputs)
    if any((out / name).exists() for name in IN_FOLDER) and not force:
        raise ValueError(f"{out} has a tokenizer: choose another folder, or --force to replace it")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: expected the name of a folder")
    n_bytes = 0

    def counted() -> Iterator[str]:
        nonlocal n_bytes
        for text in texts:
            n_bytes += len(text.encode())
            yield text

    try:
        with _texts(files, separator, field) as texts:
            trained = train_tokenizer(
                counted(), vocab_size, out, character_coverage=character_coverage, n_threads=threads
            )
    except ImportError as error:
        raise ValueError(str(error)) from error
    write(f"{out}\n")
    note(f"{trained.vocab_size} pieces from {n_bytes / 1e6:,.1f} MB of text")


def tokens(
    inputs: Inputs,
    tokenizer: Annotated[Path, typer.Option("--tokenizer", "-t", help="The folder or file of the tokenizer.")],
    out: Out,
    eos: Annotated[bool, typer.Option("--eos", help="End every document with EOS; BOS begins it in any case.")] = False,
    shard_tokens: Annotated[int, typer.Option("--shard-tokens", min=1, help="The most tokens in a file.")] = 1 << 26,
    separator: Separator = SEPARATOR,
    field: Field = "text",
    force: Force = False,
) -> None:
    """Encode texts once and for all, into files that training maps. Prints their folder."""
    from ..data.documents import text_files
    from ..data.shards.reading import check_target, write_shards
    from ..tokenizers import load_tokenizer

    files = text_files(inputs)
    check_target(out, force)
    encoder = load_tokenizer(tokenizer)
    with _texts(files, separator, field) as texts:
        shards = write_shards(
            texts,
            encoder,
            out,
            shard_tokens=shard_tokens,
            eos=eos,
            overwrite=force,
            metadata={"inputs": [path.name for path in files]},
        )
    write(f"{out}\n")
    in_text = shards.n_tokens - shards.n_documents * (int(shards.bos_id is not None) + int(eos))
    note(
        f"{shards.n_tokens:,} tokens ({shards.dtype.name}) of {shards.n_documents:,} documents, "
        f"{shards.n_text_bytes / 1e6:,.1f} MB of text, {shards.n_text_bytes / max(in_text, 1):.2f} bytes a token"
    )


@contextmanager
def _texts(files: list[Path], separator: str, field: str) -> Iterator[Iterator[str]]:
    """The texts of all files without the space around them, empty ones left out; draws a bar meanwhile."""
    from ..data.documents import Problem, TextLayout, read_documents

    layout = TextLayout(separator=separator or None, field=field)
    total = sum(path.stat().st_size for path in files)
    label = f"reading {files[0].name}" if len(files) == 1 else f"reading {len(files)} files"
    with download_bar() as progress:

        def texts() -> Iterator[str]:
            before = 0
            for path in files:
                for read in read_documents(path, layout):
                    progress(before + read.done, total, label)
                    if isinstance(read.item, Problem):
                        raise ValueError(f"{path}: {read.item.message}")
                    if text := read.item.text.strip():
                        yield text
                before += path.stat().st_size

        yield texts()
