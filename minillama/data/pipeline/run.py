"""The filter pipeline: files of texts in, files of the texts that pass the filters out.

What is published, and what this is. LLaMA 2's paper (section 2.1 and the model card) says that its
pretraining data are from public sources only, without data of Meta's products; that data from sites
with a high volume of personal information about private individuals were removed; and that factual
sources were up-sampled. It says (section 4.1) that nothing else was filtered, deliberately: to keep
the model usable for detecting hate speech, and not to erase groups of people by accident. The
quality rules, the removal of duplicates, the masking of personal data and the filter of harmful text
here are not LLaMA 2's: they are the published recipes of Gopher, C4, FineWeb and Dolma. Every one can
be switched off. Removing sites needs addresses of pages, which plain texts do not have.

Three passes, each over batches of documents in the order of the input:

1. the rules of single documents; what passes goes to a file of survivors, with its hashes;
2. which of the survivors are duplicates (`data/duplicates/`), of all documents together;
3. the rules after that (personal data, in FineWeb's order), and the output.

Without rules of duplicates the first pass writes the output. Batches are the same whatever the number
of workers and wherever a run was interrupted, so the output is the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from ..documents import text_files
from .passes import Passes, PipelineProgress
from .settings import PipelineSettings, check_filters
from .state import PipelineFolder
from .tally import Tally, count_documents, filter_tally

__all__ = ["PipelineProgress", "PipelineSettings", "Result", "run_pipeline", "work_folder"]


class Result(NamedTuple):
    """A finished run."""

    tally: Tally
    files: list[Path]
    """What was written."""


def work_folder(settings: PipelineSettings) -> Path:
    """Where an unfinished run keeps its files."""
    if settings.single_file:
        return settings.out.with_name(settings.out.name + ".filtering")
    return settings.out / ".filtering"


def run_pipeline(
    settings: PipelineSettings,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Callable[[PipelineProgress], None] | None = None,
    report: Callable[[Tally], None] | None = None,
) -> Result:
    """Filter the inputs of the settings into their output.

    Parameters
    ----------
    resume : bool
        Continue an interrupted run, if there is one.
    force : bool
        Replace what is there.
    progress : callable, optional
        Called with a `PipelineProgress` after every batch.
    report : callable, optional
        Called with the counts when the output is in its place, before the run counts as finished.

    Raises
    ------
    ValueError
        For settings that do not fit, output that exists, an input that changed since the interruption,
        and with `strict` for the first place in the input that is not a document.
    OSError
        Where the output cannot be written; a later run with `resume` continues.
    """
    files = text_files(settings.inputs)
    _check_places(settings, files)
    check_filters(settings)
    inputs = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    with closing(PipelineFolder(work_folder(settings))) as folder:
        if folder.exists and resume:
            folder.resume()
            _check_same(folder, settings, inputs)
        else:
            if resume and not force and _has_output(settings):
                raise ValueError(f"{settings.out} has output but no interrupted run to resume: --force starts over")
            _check_free(settings, folder, force)
            folder.begin(_first_state(settings, inputs))
        passes = Passes(settings, files, folder, progress)
        passes.complete()
        targets = _move(settings, folder)
        passes.tally["seconds"] = folder.state["seconds"]
        if report is not None:
            report(passes.tally)
        folder.remove()
    return Result(passes.tally, targets)


def _move(settings: PipelineSettings, folder: PipelineFolder) -> list[Path]:
    """Put the finished shards in their place."""
    folder.close_files()
    names = [f"part-{i:05d}{settings.out_ending}" for i in range(folder.state["shard"] + 1)]
    targets = [settings.out] if settings.single_file else [settings.out / name for name in names]
    for name, target in zip(names, targets):
        folder.release(name, target)
    return targets


def _first_state(settings: PipelineSettings, inputs: list[Any]) -> dict[str, Any]:
    tally: Tally = {}
    for rule in settings.in_order:
        filter_tally(tally, rule)  # in the order they run, in the report, too
    count_documents(tally, "read", 0, 0)
    count_documents(tally, "written", 0, 0)
    begun = {"stage": "filtering", "file": 0, "offset": 0, "line": 1, "batch": 0, "shard": 0, "seconds": 0.0}
    return {"digest": settings.digest(), "inputs": inputs, "tally": tally, **begun}


def _check_places(settings: PipelineSettings, files: list[Path]) -> None:
    out = settings.out.resolve()
    for path in files:
        if path.resolve() == out or out in path.resolve().parents:
            raise ValueError(f"{path} is an input and inside the output {settings.out}: choose another output")
    for path in settings.inputs:
        if path.is_dir() and path.resolve() in (out, *out.parents):
            raise ValueError(f"the output {settings.out} is inside the input {path}: choose another output")
    if settings.out.exists() and settings.out.is_dir() == settings.single_file:
        kind = "a folder" if settings.out.is_dir() else "a file"
        raise ValueError(f"{settings.out} is {kind}: end the output in {settings.out_ending} for one file only")


def _check_same(folder: PipelineFolder, settings: PipelineSettings, inputs: list[Any]) -> None:
    if folder.state["inputs"] != inputs:
        raise ValueError("the input files are not those of the interrupted run: start over with --force")
    if folder.state["digest"] != settings.digest():
        raise ValueError(
            "the settings are not those of the interrupted run: give the same ones, or start over with --force"
        )


def _has_output(settings: PipelineSettings) -> bool:
    return settings.out.is_file() or (settings.out.is_dir() and any(settings.out.glob("part-*")))


def _check_free(settings: PipelineSettings, folder: PipelineFolder, force: bool) -> None:
    """No output is replaced without `force`; with it, only files of this pipeline."""
    if folder.exists and not force:
        raise ValueError(f"{settings.out} has an interrupted run: --resume continues it, --force starts over")
    if settings.single_file:
        if settings.out.exists() and not force:
            raise ValueError(f"{settings.out} exists: choose another output, or --force to replace it")
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        settings.out.unlink(missing_ok=True)
    elif settings.out.exists():
        if any(settings.out.iterdir()) and not force:
            raise ValueError(f"{settings.out} is not empty: choose another output, or --force to replace its shards")
        for path in settings.out.glob("part-*"):
            if path.name.endswith((".txt", ".jsonl", ".jsonl.gz")):
                path.unlink()
