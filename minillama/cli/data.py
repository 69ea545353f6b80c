"""`minillama data filter`: texts in, texts that pass the filters out, with a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..data.documents import SEPARATOR
from ..data.rules import RULES
from .common.output import compile_notice, note, write
from .common.terminal import stderr

if TYPE_CHECKING:
    from ..data.pipeline.run import PipelineProgress, PipelineSettings
    from ..data.pipeline.settings import Config

data_app = typer.Typer(
    help="Prepare training data: filter texts, train a tokenizer, write tokens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def register(app: typer.Typer) -> None:
    """Add `data` with all its commands to the command line."""
    from .tokens import register as register_tokens

    if not any(command.name == "tokens" for command in data_app.registered_commands):
        register_tokens(data_app)
    app.add_typer(data_app, name="data")


@data_app.command("filter")
def filter_(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="IN...", help='.txt or .jsonl ({"text": …}) files, also .gz; or folders of these.'),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A folder of shards; or one file, ending in .txt or .jsonl, also .gz.")
    ],
    report: Annotated[
        Path | None, typer.Option("--report", help="REPORT.json, .md and .png; beside the output if not given.")
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option("--rules", help=f"Of {', '.join(RULES)}; they run in the order given. All if not given."),
    ] = None,
    without: Annotated[str | None, typer.Option("--without", help="Rules to leave out: harmful,minhash")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="A filters.toml with thresholds; see below.")] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Of the texts, English if not given: de or de,fr (ISO 639-1).")
    ] = None,
    word_list: Annotated[
        Path | None, typer.Option("--word-list", help="Words for the rule harmful, one a line.")
    ] = None,
    eval_files: Annotated[
        list[Path] | None,
        typer.Option("--eval", help="Evaluation texts (.jsonl, .csv, .json, .txt) that must not be in the output."),
    ] = None,
    separator: Annotated[
        str, typer.Option("--separator", help="In .txt files: the line between two documents.")
    ] = SEPARATOR,
    whole_files: Annotated[bool, typer.Option("--whole-files", help="Each .txt file is one document.")] = False,
    field: Annotated[str, typer.Option("--field", help="In .jsonl files: the key of the text.")] = "text",
    format_: Annotated[
        str, typer.Option("--format", help="Of the shards in a folder: jsonl.gz, jsonl, txt.gz or txt.")
    ] = "jsonl.gz",
    shard_mb: Annotated[int, typer.Option("--shard-mb", min=1, help="Largest size of a shard.")] = 256,
    max_document_mb: Annotated[
        int, typer.Option("--max-document-mb", min=1, help="Larger documents are left out, and counted.")
    ] = 32,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes; they do not change the result.")] = 1,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at bad UTF-8 or JSON; otherwise it is counted and left out.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier run wrote there.")] = False,
) -> None:
    """Keep the texts that pass quality rules, without duplicates, with personal data masked.

    A filters.toml may hold a list `rules`, and a table named after a rule with what differs from its
    published thresholds: min_words = 20 in the table gopher, or min_words = false to switch it off.
    language = "de" there is the same as --language de.
    """
    from ..data.documents import TextLayout
    from ..data.pipeline.run import PipelineSettings, work_folder

    named, languages, options = _configured(config)
    settings = PipelineSettings(
        inputs=tuple(inputs),
        out=out,
        rules=_chosen(rules, without, named, bool(eval_files)),
        options=options,
        layout=TextLayout(None if whole_files else separator, field, max_document_mb << 20),
        ending="." + format_.removeprefix("."),
        languages=languages if language is None else tuple(language.replace(",", " ").split()),
        word_list=word_list,
        eval_files=() if "contamination" in (without or "") else tuple(eval_files or ()),
        strict=strict,
        workers=workers,
        shard_bytes=shard_mb << 20,
    )
    stem = report or (out.with_name(out.name + ".report") if settings.single_file else out / "report")
    _check_files([config, word_list, *(eval_files or ())])
    _check_report(stem, force or (resume and work_folder(settings).is_dir()))
    _run(settings, stem, resume, force)


def _run(settings: PipelineSettings, stem: Path, resume: bool, force: bool) -> None:
    from ..data.pipeline.notices import language_notices
    from ..data.pipeline.report import write_report
    from ..data.pipeline.run import run_pipeline

    written: list[Path] = []

    def report(tally: dict[str, Any]) -> None:
        written.extend(write_report(stem, tally, settings))
        written.extend(_plot(stem, tally))

    try:
        with compile_notice(), filter_bar() as progress:
            result = run_pipeline(settings, resume=resume, force=force, progress=progress, report=report)
    except KeyboardInterrupt:
        note("interrupted; the same command with --resume continues")
        raise typer.Exit(130) from None
    read, kept = result.tally["read"], result.tally["written"]
    for kind, found in result.tally.get("problems", {}).items():
        note(f"left out: {kind}, {found['times']} times, first: {found['examples'][0]}")
    for notice in language_notices(result.tally, settings):
        note(notice)
    share = 100 * kept["documents"] / max(read["documents"], 1)
    speed = read["bytes"] / 1e6 / max(result.tally["seconds"], 1e-9)
    note(
        f"{kept['documents']:,} of {read['documents']:,} documents kept ({share:.1f} %), "
        f"{kept['bytes'] / 1e6:,.1f} of {read['bytes'] / 1e6:,.1f} MB, at {speed:.1f} MB/s"
    )
    for path in (*result.files, *written):
        write(f"{path}\n")


def _plot(stem: Path, tally: dict[str, Any]) -> list[Path]:
    from ..data.pipeline.plot import draw_filters
    from ..data.pipeline.report import report_paths

    path = report_paths(stem)["png"]
    try:
        draw_filters(tally, path)
    except ImportError as error:
        note(str(error))
        return []
    return [path]


def _configured(config: Path | None) -> Config:
    from ..data.pipeline.settings import Config, read_config

    _check_files([config])
    return Config(None, (), {}) if config is None else read_config(config)


def _chosen(
    rules: str | None, without: str | None, named: tuple[str, ...] | None, has_eval: bool
) -> tuple[str, ...] | None:
    """The rules by name; the command line takes precedence over the file, None is all."""

    chosen = named if rules is None else tuple(rules.replace(",", " ").split())
    if without is None:
        return chosen
    left_out = without.replace(",", " ").split()
    unknown = [rule for rule in left_out if rule not in RULES]
    if unknown:
        raise ValueError(f"--without: there is no rule {unknown[0]!r}; rules: {', '.join(RULES)}")
    if chosen is None:
        chosen = tuple(rule for rule in RULES if rule != "contamination" or has_eval)
    return tuple(rule for rule in chosen if rule not in left_out)


def _check_files(paths: list[Path | None]) -> None:
    for path in paths:
        if path is not None and not path.is_file():
            raise ValueError(f"{path} is not a file")


def _check_report(stem: Path, may_replace: bool) -> None:
    from ..data.pipeline.report import report_paths

    for path in report_paths(stem).values():
        if path.exists() and not may_replace:
            raise ValueError(f"{path} exists: choose another --report, or --force to replace it")


@contextmanager
def filter_bar() -> Iterator[Callable[[PipelineProgress], None]]:
    """Yield a progress callback that draws a bar on a terminal: MB, MB/s, kept, time left."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[megabytes]}"),
        TransferSpeedColumn(),
        TextColumn("{task.fields[kept]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def progress(found: PipelineProgress) -> None:
            if found.stage not in tasks:
                for task in tasks.values():
                    bar.remove_task(task)
                tasks.clear()
                tasks[found.stage] = bar.add_task(found.stage, total=None, megabytes="", kept="")
                if not stderr.is_terminal:
                    note(f"{found.stage} …")
            share = f"{found.kept / found.read:.0%} kept" if found.kept and found.read else f"{found.read:,} documents"
            megabytes = f"{found.done / 1e6:,.0f}/{found.total / 1e6:,.0f} MB" if found.total else ""
            bar.update(
                tasks[found.stage], completed=found.done, total=found.total or None, megabytes=megabytes, kept=share
            )

        yield progress
