"""`minillama eval run`: what it will cost, then the run, then the table.

Answers are kept as they come, so that an interrupted run goes on where it was, and one with more tasks or another
limit asks only what is new. Nothing is kept with --no-cache.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common.given import STORY_TELLER
from ..common.options import Model, Quiet, Threads, TokenizerFile
from ..common.output import compile_notice, download_bar, note, write
from ..common.streams import is_terminal
from .list import Data
from .progress import duration, shown_progress

if TYPE_CHECKING:
    from ...evaluation.common.task import Asking
    from ...evaluation.engine.cost import Cost
    from ...evaluation.engine.engine import Engine
    from ...evaluation.run import Planned
    from ...llm import LLM

_ASK_ABOVE = 120.0  # seconds: a run that takes longer is begun only when somebody says so
_DEFAULT_BATCH = 32
_MANY = 1000  # requests, whose tokens are not counted in a moment
_WIDE = 0.05  # half an interval that is worth a word


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command("run")(run)


def run(
    tasks: Annotated[
        str, typer.Option("--tasks", "-t", help="Tasks and groups, with commas: see `minillama eval list`.")
    ] = "stories_cloze",
    model: Model = STORY_TELLER,
    tokenizer: TokenizerFile = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first so many items of each task.")] = None,
    n_shots: Annotated[
        int | None, typer.Option("--fewshot", min=0, help="Examples before each question; by default the task's own.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the draw of examples; 1234 is the harness's.")] = 1234,
    chat: Annotated[bool, typer.Option("--chat", help="With the model's chat template.")] = False,
    system: Annotated[str | None, typer.Option("--system", help="The system message.")] = None,
    data: Data = None,
    hub: Annotated[bool, typer.Option("--hub/--no-hub", help="Fetch documents that no folder has.")] = True,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the results and the report.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in --out.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="All arithmetic in float32, in writing, too.")] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Log-likelihoods in integers, too, where the model has them: ± 0.01.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Sequences that run together at most.")
    ] = _DEFAULT_BATCH,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=1, help="Tokens that the model reads at most.")
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option("--interval", min=0.1, max=49, help="Say which --limit gives ± so many points, and end."),
    ] = None,
    cost: Annotated[bool, typer.Option("--cost", help="Say what it would cost, and end.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Begin without asking, however long it takes.")] = False,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep answers, and take those kept.")] = True,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Ask a model the questions of benchmarks and score its answers; by default stories, which need no network."""
    from ...evaluation.common.task import Asking
    from ...evaluation.run import run as run_planned

    if out is None and (resume or force):
        raise ValueError("--resume and --force say what to do with the run in --out: name its folder with --out")
    asking = Asking(n_shots=n_shots, limit=limit, seed=seed, chat=chat, system=system)
    planned = _planned(tasks, asking, data, hub, model, tokenizer)
    if interval is not None:
        _suggest(planned, interval)
        return
    if exact and fast:
        raise ValueError("--exact and --fast ask for opposite things: give one of them")
    engine = _engine(
        _load(model, tokenizer, threads, exact), batch_size=batch_size, max_length=max_length, cache=cache, fast=fast
    )
    if out is not None:
        _check_folder(planned, asking, engine, out, resume, force)
    seconds = None if quiet and not cost else _say_cost(engine, planned)
    if cost or not (yes or _goes_on(seconds)):
        return
    try:
        with compile_notice(), shown_progress(quiet) as progress:
            found = run_planned(planned, asking, engine, out=out, resume=resume, force=force, progress=progress)
    except KeyboardInterrupt:
        _say_how_to_go_on(cache, out)
        raise
    write(str(found))
    if out is not None:
        note(f"report: {out / 'report.html'}")


def _planned(
    tasks: str, asking: Asking, data: list[Path] | None, hub: bool, model: str, tokenizer: Path | None
) -> list[Planned]:
    """What is to be asked; before the weights are loaded, for names and documents may be wrong."""
    from ...evaluation.run import plan, renderer, sources_of, tasks_of
    from ..common.given import load_tokenizer_of

    found = tasks_of(tasks)
    render = renderer(load_tokenizer_of(model, tokenizer)) if asking.chat else None
    return plan(found, asking, sources_of(data or [], hub), render)


def _load(model: str, tokenizer: Path | None, threads: int | None, exact: bool) -> LLM:
    from ...llm import load

    with download_bar() as progress:
        return load(model, tokenizer=tokenizer, threads=threads, exact=exact, progress=progress)


def _engine(llm: LLM, *, batch_size: int, max_length: int | None, cache: bool, fast: bool) -> Engine:
    from ...evaluation.engine.engine import Engine
    from ...evaluation.engine.store import Store
    from ...files.home import cache_dir

    store = Store(cache_dir() / "evaluation") if cache else None
    return Engine(llm, batch_size=batch_size, max_length=max_length, store=store, in_float32=not fast)


def _check_folder(planned: list[Planned], asking: Asking, engine: Engine, out: Path, resume: bool, force: bool) -> None:
    """Before anything is asked: may the results be written there at all?"""
    from ...evaluation.results.folder import ResultsFolder
    from ...evaluation.run import run_settings

    ResultsFolder(out).check(run_settings(planned, asking, engine), resume=resume, force=force)


# --- what it costs -----------------------------------------------------------------------


def _suggest(planned: Sequence[Planned], points: float) -> None:
    """Which limit gives intervals of the length that is wanted."""
    from ...evaluation.statistics.power import items_for_interval

    needed = items_for_interval(points / 100)
    write(f"--limit {needed}: at most ± {points:g} points at any score, in 95 % intervals\n")
    for one in planned:
        if one.n_documents < needed:
            reach = 100 * _reach(one.n_documents)
            write(f"{one.task.name} has {one.n_documents:,} items: ± {reach:.1f} points with all of them\n")


def _reach(n: int) -> float:
    """Half an interval at a score of one half."""
    from ...evaluation.statistics.intervals import wilson

    low, high = wilson(n / 2, n)
    return (high - low) / 2


def _say_cost(engine: Engine, planned: list[Planned]) -> float:
    """Say what the run takes; its seconds, as far as they are known."""
    from ...evaluation.engine.cost import cost_of

    requests = [request for one in planned for request in one.requests]
    if len(requests) >= _MANY:
        note(f"counting the tokens of {len(requests):,} requests and measuring the pace …")
    with compile_notice():
        found = cost_of(engine, requests)
    for line in cost_lines(planned, found):
        note(line)
    return found.seconds


def cost_lines(planned: Sequence[Planned], cost: Cost) -> list[str]:
    """What is said before a run."""
    n_items = sum(len(one.items) for one in planned)
    kept = f", {cost.kept:,} of them answered before" if cost.kept else ""
    lines = [f"{_count(len(planned), 'task')}, {_count(n_items, 'item')}, {_count(cost.requests, 'request')}{kept}"]
    tokens = f"{_count(cost.tokens_shared, 'token')} to read"
    if cost.tokens_alone > 1.05 * cost.tokens_shared:
        tokens += f" ({cost.tokens_alone:,} if nothing were shared)"
    if cost.tokens_generated:
        tokens += f", at most {cost.tokens_generated:,} to write"
    if cost.kept < cost.requests:
        lines.append(f"{tokens}: about {duration(cost.seconds)}")
    if cost.truncated:
        lines.append(f"{_count(cost.truncated, 'request')} will lose the beginning of the context: it does not fit")
    lines += [f"{_count(n, 'request')} cannot be asked: {why}" for why, n in list(cost.problems.items())[:3]]
    widest = min(len(one.items) for one in planned)
    reach = _reach(widest)
    if reach > _WIDE:
        lines.append(
            f"{_count(widest, 'item')}: intervals of up to ± {100 * reach:.0f} points; --interval 3 says what ± 3 takes"
        )
    return lines


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _goes_on(seconds: float | None) -> bool:
    """Whether to begin: a long run waits for a yes, where somebody is there to give it."""
    if seconds is None or seconds < _ASK_ABOVE or not is_terminal(sys.stdin):
        return True
    return typer.confirm("Begin?", default=True, err=True)


def _say_how_to_go_on(cache: bool, out: Path | None) -> None:
    if not cache:
        note("stopped; nothing was kept, as --no-cache asked")
        return
    words = [word for word in sys.argv[1:] if word not in ("--resume", "--force")]
    command = shlex.join(["minillama", *words, *(["--resume"] if out is not None else [])])
    note(f"stopped; what was answered is kept. Go on with: {command}")
