"""`minillama bench`: the options, and where the results go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common.output import note, write

if TYPE_CHECKING:
    from ..bench.rows import Results

_DEFAULT_MODEL = "smollm2-135m-instruct"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(bench)


def bench(
    model: Annotated[str, typer.Option("--model", "-m", help="A known name, a file or a folder.")] = _DEFAULT_MODEL,
    tokenizer: Annotated[Path | None, typer.Option("--tokenizer", help="Where the model's format has none.")] = None,
    threads: Annotated[
        str | None, typer.Option("--threads", help="One or more numbers: 1,2. By default 1 and all cores.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", help="Measurements of each row by each engine.")] = 5,
    rows: Annotated[
        str | None,
        typer.Option(
            "--rows",
            help="Of decode, decode-1024, prefill-512, sampled, sampled-16, sampled-64, first-token, import, "
            "import-numba, memory; all by default.",
        ),
    ] = None,
    against: Annotated[
        str, typer.Option("--against", help="Peers: llama.cpp, llama2.c, transformers, transformers-bf16.")
    ] = "",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every round's figures here.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw a roofline here (PNG or SVG).")] = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds an engine may take for one measurement.")] = 300,
    quality: Annotated[
        bool, typer.Option("--quality", help="Perplexity and KL of the fast arithmetic against float32, no speeds.")
    ] = False,
    text: Annotated[Path | None, typer.Option("--text", help="The text that --quality predicts.")] = None,
    tokens: Annotated[int, typer.Option("--tokens", help="How many tokens of it.")] = 2048,
    window: Annotated[int, typer.Option("--window", help="In pieces of so many positions.")] = 512,
) -> None:
    """Measure speed and memory, alone or beside other engines; or quality."""
    counts = _thread_counts(threads)
    if quality:
        if text is None:
            raise ValueError("--quality needs a text to predict: give --text FILE")
        _measure_quality(model, tokenizer, text, (tokens, window), counts[-1], json_file)
        return
    if text is not None:
        raise ValueError("--text belongs to --quality: give both")
    from ..bench.rows import ROWS, Settings
    from ..bench.run import run_bench

    settings = Settings(
        model,
        tokenizer=tokenizer,
        threads=counts,
        rounds=rounds,
        rows=tuple(ROWS) if rows is None else _words(rows),
        against=_words(against),
        timeout=timeout,
    )
    for target in (json_file, plot):
        _check_target(target)
    if plot is not None:
        from ..bench.plot import check_plotting

        check_plotting()
    _show(run_bench(settings, progress=note), json_file, plot)


def _show(results: Results, json_file: Path | None, plot: Path | None) -> None:
    from ..bench.report import as_json, as_text

    write(as_text(results))
    _write_json(json_file, as_json(results))
    if plot is not None:
        from ..bench.plot import draw_roofline

        draw_roofline(results, plot)
    if results.interrupted:
        raise typer.Exit(130)


def _measure_quality(
    model: str, tokenizer: Path | None, text: Path, size: tuple[int, int], threads: int, json_file: Path | None
) -> None:
    from ..bench.quality import measure_quality, quality_json, quality_text

    _check_target(json_file)
    found = measure_quality(
        model, text, tokenizer=tokenizer, n_tokens=size[0], window=size[1], threads=threads, progress=note
    )
    write(quality_text(found))
    _write_json(json_file, quality_json(found))


def _write_json(path: Path | None, content: Any) -> None:
    if path is not None:
        path.write_text(json.dumps(content, indent=2) + "\n")


def _check_target(path: Path | None) -> None:
    """Before minutes of measuring: can the result be written at all?"""
    if path is not None and not path.absolute().parent.is_dir():
        raise ValueError(f"{path} cannot be written: there is no folder {path.parent}")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _thread_counts(text: str | None) -> tuple[int, ...]:
    from ..compute.threads import most_threads

    if text is None:
        return tuple(dict.fromkeys((1, most_threads())))
    try:
        counts = tuple(int(word) for word in _words(text))
    except ValueError:
        raise ValueError(f"--threads takes numbers such as 1,2; got {text!r}") from None
    if not counts:
        raise ValueError("--threads takes numbers such as 1,2; got none")
    return counts
