"""`minillama eval rate`: which of two answers is better, by programs, models or persons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.output import compile_notice, note, write
from .rate_judges import KINDS

if TYPE_CHECKING:
    from ...evaluation.preference import Pair, PreferenceFolder

_SOURCES = "What is judged"
_JUDGES = "Who judges"


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command()(rate)


def rate(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Where pairs, votes and the report are kept.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", help='JSONL of {"prompt": …} or {"messages": […]}.', rich_help_panel=_SOURCES),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="NAME=MODEL@temperature=0.7,… answers; several times.",
            rich_help_panel=_SOURCES,
        ),
    ] = None,
    answers: Annotated[
        list[str] | None,
        typer.Option("--answers", help='NAME=FILE of {"id", "answer"}; several times.', rich_help_panel=_SOURCES),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs", help='JSONL of {"chosen", "rejected"} or {"prompt", "answers": {…}}.', rich_help_panel=_SOURCES
        ),
    ] = None,
    llmbar: Annotated[
        Path | None, typer.Option("--llmbar", help="Test judges on LLMBar's files.", rich_help_panel=_SOURCES)
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="The first so many prompts.", rich_help_panel=_SOURCES)
    ] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", "-n", min=1, help="Of an answer.", rich_help_panel=_SOURCES)
    ] = 512,
    judges: Annotated[
        list[str] | None, typer.Option("--judge", help=f"{', '.join(KINDS)}; several times.", rich_help_panel=_JUDGES)
    ] = None,
    rater: Annotated[
        str | None, typer.Option("--rater", help="Your name: you judge, blind.", rich_help_panel=_JUDGES)
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="On a page in your browser, not here.", rich_help_panel=_JUDGES)
    ] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of the page.", rich_help_panel=_JUDGES)] = 0,
    safety: Annotated[
        bool | None, typer.Option("--safety/--no-safety", help="Persons also mark unsafe answers.")
    ] = None,
    orders: Annotated[str | None, typer.Option("--orders", help="Judges see both orders, or one: both, drawn.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of answers and of orders; 0 by default.")] = None,
) -> None:
    """Compare two answers to every prompt: win, tie and loss with intervals, by judges and persons.

    The folder keeps everything; the same command goes on where it was stopped, and without options writes its report
    again. A person sees which model gave which answer nowhere.
    """
    from ...evaluation.preference import PreferenceFolder
    from .rate_sources import Sources, given_pairs

    if page and rater is None:
        raise ValueError("--page needs --rater NAME: whose votes these are")
    if folder is None and llmbar is None:
        raise ValueError("give a FOLDER in which pairs, votes and the report are kept (or --llmbar DIR)")
    kept = None if folder is None else PreferenceFolder(folder)
    with _said_when_interrupted(kept is not None):
        if llmbar is not None or kept is None:
            _test_judges(kept, llmbar or Path(), judges, orders or "both", seed or 0, limit)
            return
        settings = kept.settings(seed=seed, orders=orders, safety=safety)
        sources = Sources(prompts, pairs, models or (), answers or (), limit, max_tokens, settings["seed"])
        with compile_notice():
            found = given_pairs(kept, sources, count_bar)
        kept.keep_settings(settings)
        for name in judges or ():
            _judge(kept, name, found, settings)
        if rater is not None:
            _ask(kept, rater, found, settings, page, port)
        _report(kept)


@contextmanager
def _said_when_interrupted(is_kept: bool) -> Iterator[None]:
    """After Ctrl-C: what is lost and what is not."""
    try:
        yield
    except KeyboardInterrupt:
        note("interrupted" + ("; the same command goes on where it stopped" if is_kept else ""))
        raise typer.Exit(130) from None


def _judge(kept: PreferenceFolder, name: str, pairs: list[Pair], settings: dict[str, Any]) -> None:
    from ...evaluation.preference import judge_pairs
    from .rate_judges import judge_named

    with compile_notice():
        judge = judge_named(name)
        with kept.log(judge.name) as log, count_bar(judge.name) as progress:
            judge_pairs(judge, pairs, log, orders=settings["orders"], seed=settings["seed"], progress=progress)


def _ask(
    kept: PreferenceFolder, rater: str, pairs: list[Pair], settings: dict[str, Any], page: bool, port: int
) -> None:
    """Let a person rate, here or on the page, until they stop."""
    from ...evaluation.preference import Rating

    with kept.log(rater) as log:
        rating = Rating(pairs, log, seed=settings["seed"], asks_safety=settings["safety"])
        if page:
            _serve(rating, port)
        else:
            from .rate_terminal import rate_in_terminal

            rate_in_terminal(rating)
        note(f"{rating.done} of {rating.total} pairs rated by {rater}")


def _serve(rating: Any, port: int) -> None:
    from ...evaluation.preference import RatingServer

    try:
        server = RatingServer(rating, port)
    except OSError as error:
        raise ValueError(f"the page cannot have port {port} ({error.strerror}): --port 0 takes a free one") from None
    with server:
        note("open this address in a browser on this machine; Ctrl-C ends, and every vote is kept:")
        write(f"{server.url}\n")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            note("ended")


def _report(kept: PreferenceFolder) -> None:
    results, files = kept.report()
    for c in results.comparisons:
        if not c.n_pairs:
            continue  # what the rater could not judge is said below
        low, high = c.rate.interval
        wins = f"win {c.win.value:.1%}, tie {c.tie.value:.1%}, loss {c.loss.value:.1%}"
        rate_ = f"win rate {c.rate.value:.1%} ({low:.1%} to {high:.1%})"
        note(f"{c.systems[0]} against {c.systems[1]}, by {c.rater}: {wins}; {rate_}, {c.n_pairs} pairs")
        for warning in c.warnings:
            note(f"  {warning}")
    for problem in results.problems:
        note(problem)
    for file in files:
        write(f"{file}\n")


def _test_judges(
    kept: PreferenceFolder | None, llmbar: Path, judges: list[str] | None, orders: str, seed: int, limit: int | None
) -> None:
    """The accuracy of judges on LLMBar, as tables on stdout; kept in a folder where one is given."""
    from ...evaluation.preference import accuracies, judge_pairs, read_llmbar
    from ...evaluation.preference.report import accuracy_table, as_markdown
    from .rate_judges import judge_named

    if not judges:
        raise ValueError(f"--llmbar tests judges: give --judge, one of {', '.join(KINDS)}")
    pairs = read_llmbar(llmbar)
    pairs = pairs if limit is None else [p for p in pairs if int(p.prompt.rpartition(" ")[2]) < limit]
    options: dict[str, Any] = {"orders": orders, "seed": seed}
    if kept is not None:
        kept.keep_pairs(pairs)
        kept.keep_settings(kept.settings(**options))
    for name in judges:
        with compile_notice():
            judge = judge_named(name)
            with nullcontext() if kept is None else kept.log(judge.name) as log, count_bar(judge.name) as progress:
                votes = judge_pairs(judge, pairs, log, **options, progress=progress)
        write(as_markdown(f"LLMBar: {judge.name}", [accuracy_table(accuracies(pairs, votes))]) + "\n")
    if kept is not None:
        for file in kept.report()[1]:
            note(str(file))


@contextmanager
def count_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total) that draws a bar with the time left; a line now and then without a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..common.terminal import stderr

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task, told = bar.add_task(label, total=None), [0]

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if not stderr.is_terminal and done * 4 // total > told[0]:
                told[0] = done * 4 // total
                note(f"{label}: {done} of {total}")

        yield progress
