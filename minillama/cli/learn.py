"""`minillama learn`: the exercises of the book in the terminal."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from . import lab
from .common.output import note, write
from .revision import print_why, review_again

if TYPE_CHECKING:
    from ..learn.diagnosis.report import Report
    from ..learn.exercises.exercise import Exercise
    from ..learn.workspace.folder import Workspace

learn = typer.Typer(help="The exercises: write each component, be told what is wrong, run a model on it.")

Folder = Annotated[Path | None, typer.Option("--dir", "-d", help="Your folder; by default the one used last.")]
Id = Annotated[str | None, typer.Argument(help="An exercise; by default the next one.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands to the command line."""
    lab.register(learn)
    app.add_typer(learn, name="learn")


@learn.callback(invoke_without_command=True)
def show_map(context: typer.Context, folder: Folder = None) -> None:
    """Without a command: the map of the book, your progress, and what is next."""
    if context.invoked_subcommand is not None:
        return
    from ..learn.workspace.folder import WorkspaceError, find_workspace

    try:
        workspace = find_workspace(folder)
    except WorkspaceError:
        if folder is not None:
            raise
        workspace = None
    _print_map(workspace)


@learn.command()
def start(folder: Annotated[Path, typer.Argument(help="A new folder for your functions, such as my-llama.")]) -> None:
    """Copy the starters into a folder of your own, or bring that folder up to date."""
    from ..learn.capstones import CAPSTONES
    from ..learn.workspace.folder import start as make

    workspace, news = make(folder)
    note(f"{folder}: {len(news)} new" if news else f"{folder} is up to date")
    exercise = workspace.next_exercise()
    if exercise is None:
        write("Every exercise is solved. `minillama learn verify` writes the report.\n")
        return
    write(f"\nThe first one is {exercise.heading}\n   {exercise.task}\n\n")
    write(f"   1. open {workspace.path_of(exercise.id)} in an editor\n")
    write("   2. in this terminal:  minillama learn watch\n")
    write(f"   3. replace `raise NotImplementedError` in {exercise.id}, and save\n\n")
    write("`minillama learn` shows the map; `minillama learn hint` helps, `minillama learn why` opens the book.\n\n")
    write("Where it leads; `minillama learn verify` proves both:\n")
    for capstone in CAPSTONES:
        write(f"   after {capstone.after}  {capstone.goal}\n")


@learn.command()
def check(
    exercise: Id = None,
    case: Annotated[str | None, typer.Option("--case", help="One case only, as a report names it: 1x2x1x4.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: a JSON document about this one, or about all.")
    ] = False,
    folder: Folder = None,
) -> None:
    """Check one function."""
    from ..learn.exercises.exercise import parse_dims
    from ..learn.workspace.checker import check_in_process

    workspace, wanted = _wanted(folder, exercise, may_be_none=as_json)
    if as_json:
        _print_json(workspace, None if exercise is None else wanted, case)
    dims = parse_dims(wanted, case) if case else None
    report = check_in_process(wanted, workspace.path_of(wanted.id), dims)
    if dims is None and report.status != "not started":
        workspace.note_result(wanted, report.passed, report.mistake)
    if report.next_step.startswith("Stuck?"):
        about = "your mistake" if report.mistake else "it"
        report.next_step += f"; minillama learn why {wanted.id} opens the book where it is about {about}"
    _show(report)
    if report.passed and dims is None:
        _confirm(wanted)
        _print_next(workspace, wanted)
    raise typer.Exit(0 if report.passed else 1)


@learn.command()
def watch(exercise: Id = None, folder: Folder = None) -> None:
    """Check whenever you save; keys: h hint, w why, l list, n next, q quit."""
    from ..learn.chapters.catalogue import get_exercise
    from ..learn.workspace.learners_file import place_of
    from ..learn.workspace.watch import Watcher
    from ..learn.workspace.watch import watch as loop

    workspace, wanted = _wanted(folder, exercise)

    def footer() -> bool:
        write("\n [h] hint  [w] why  [l] list  [n] next  [q] quit      waiting for a save …\n")
        return True

    def show(report: Report) -> None:
        if sys.stdout.isatty():
            write("\033[2J\033[H")
        if report.next_step.startswith("Stuck?"):
            report.next_step = ""  # the keys say it
        current = watcher.current
        place = place_of(workspace.path_of(current.id), current.id)
        write(f" {place}      chapter {current.chapter}: {_topic(current.chapter)}\n\n")
        _show(report, room=5 if sys.stdout.isatty() else None)
        if report.passed:
            _print_next(workspace, current)
        footer()

    watcher = Watcher(workspace, show, wanted)

    def hint_key() -> bool:
        _print_hint(workspace, watcher.current)
        return footer()

    def why_key() -> bool:
        try:
            print_why(workspace, watcher.current)
        except ValueError as error:
            write(f"\n   {error}\n")
        return footer()

    def list_key() -> bool:
        _print_map(workspace)
        return footer()

    def next_key() -> bool:
        from ..learn.chapters.catalogue import catalogue

        ids = list(catalogue())
        following = ids[(ids.index(watcher.current.id) + 1) % len(ids)]
        upcoming = workspace.next_exercise(watcher.current)
        is_done = workspace.record(watcher.current.id).passed
        watcher.current = upcoming if is_done and upcoming is not None else get_exercise(following)
        watcher.check()
        return True

    try:
        loop(watcher, {"h": hint_key, "w": why_key, "l": list_key, "n": next_key, "q": lambda: False})
    except KeyboardInterrupt:
        write("\n")
    finally:
        watcher.close()


@learn.command()
def hint(exercise: Id = None, folder: Folder = None) -> None:
    """One more hint, up to three."""
    _print_hint(*_wanted(folder, exercise))


@learn.command()
def why(exercise: Id = None, folder: Folder = None) -> None:
    """The section of the book about your last mistake, or about the exercise."""
    print_why(*_wanted(folder, exercise))


@learn.command()
def solution(
    exercise: Annotated[str, typer.Argument(help="An exercise.")],
    give_up: Annotated[bool, typer.Option("--give-up", help="Show it before you have passed.")] = False,
    folder: Folder = None,
) -> None:
    """Yours, and the book's own solution with what it needs and why it is so, after a pass or with --give-up."""
    import textwrap

    from ..learn.chapters import texts
    from ..learn.workspace.from_notebook import is_begun
    from ..learn.workspace.learners_file import WorkspaceError, function_text, place_of

    workspace, wanted = _wanted(folder, exercise)
    record = workspace.record(wanted.id)
    if not record.passed and not give_up:
        raise WorkspaceError(f"{wanted.id} is not passed yet: `minillama learn hint {wanted.id}`, or --give-up")
    if not record.passed:
        record.solution_seen = True
        workspace.save()
    path = workspace.path_of(wanted.id)
    if is_begun(workspace, wanted.id):
        with suppress(SyntaxError):
            write(f"# Yours, {place_of(path, wanted.id)}\n{function_text(path, wanted.id)}\n\n")
    reason = textwrap.fill(wanted.why, 80, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    write(f"# The book's.\n#\n{reason}\n")
    write(texts.solution(wanted.id, known=[id for id, kept in workspace.records.items() if kept.passed]))


@learn.command()
def reset(exercise: Annotated[str, typer.Argument(help="An exercise.")], folder: Folder = None) -> None:
    """Put the starter of one function back; your file is copied first."""
    workspace, wanted = _wanted(folder, exercise)
    kept = workspace.reset(wanted)
    note(f"{wanted.id} is back to its start; your file as it was is {kept.name}")


@learn.command()
def review(exercise: Id = None, folder: Folder = None) -> None:
    """Write an exercise once more, the one that you passed longest ago; called again, check it."""
    from ..learn.workspace.folder import find_workspace

    workspace = find_workspace(folder)
    report = review_again(workspace, exercise)
    if report is not None:
        _show(report)
        if not report.passed:
            raise typer.Exit(1)


@learn.command()
def verify(
    name: Annotated[str | None, typer.Option("--name", help="On the certificate; by default as last time.")] = None,
    capstones: Annotated[
        bool, typer.Option("--capstones/--no-capstones", help="Prove what your functions do together: a minute.")
    ] = True,
    text: Annotated[Path | None, typer.Option("--text", help="A text of yours for the storyteller.")] = None,
    folder: Folder = None,
) -> None:
    """Check everything again, prove the capstones, and write a certificate with hashes and this machine's speed."""
    from .grading import verify_and_report

    workspace, _ = _wanted(folder, None, may_be_none=True)
    verify_and_report(workspace, name, _topic, with_capstones=capstones, text=text)


@learn.command()
def grade(
    folders: Annotated[list[Path], typer.Argument(help="Folders that were handed in.")],
    as_json: Annotated[bool, typer.Option("--json", help="One document with every report, in place of CSV.")] = False,
) -> None:
    """For teachers: check the folders of a class, and compare each with its verified.json. It runs their code."""
    from .grading import print_grades

    print_grades(folders, with_reports=as_json)


@learn.command()
def speed(exercise: Annotated[str, typer.Argument(help="An exercise about a kernel.")], folder: Folder = None) -> None:
    """The speed card: naive loops, NumPy, yours, the package's kernel and PyTorch on this machine."""
    from ..learn.speed import speed_card
    from ..learn.workspace.checker import check_in_process
    from ..learn.workspace.worker import load_file

    workspace, wanted = _wanted(folder, exercise)
    report = check_in_process(wanted, workspace.path_of(wanted.id))
    yours: Any = None
    if report.passed:
        yours = getattr(load_file(workspace.path_of(wanted.id)), wanted.id)
    else:
        note(f"{wanted.id} does not pass its check yet: measured without yours")
    write("\n".join(speed_card(wanted, yours).lines()) + "\n")


# --- what they share ------------------------------------------------------------------


def _wanted(folder: Path | None, id: str | None, *, may_be_none: bool = False) -> tuple[Workspace, Any]:
    from ..learn.chapters.catalogue import get_exercise
    from ..learn.workspace.folder import WorkspaceError, find_workspace

    workspace = find_workspace(folder)
    exercise = get_exercise(id) if id else workspace.next_exercise()
    if exercise is None and not may_be_none:
        raise WorkspaceError("every exercise is solved: name one, or `minillama learn verify`")
    return workspace, exercise


def _show(report: Report, room: int | None = None) -> None:
    """Print a report; with `room`, so that as many lines of the terminal are left for what stands around it."""
    from rich.console import Console
    from rich.text import Text

    colour = {"passed": "green", "not started": "cyan"}.get(report.status, "yellow")
    console = Console(highlight=False, soft_wrap=True)
    lines = report.lines()
    most = len(lines) if room is None else max(4, console.height - room)
    if len(lines) > most:
        lines = [*lines[: most - 1], f"   … all of it: minillama learn check {report.exercise}"]
    for i, line in enumerate(lines):
        console.print(Text(line, style=f"bold {colour}" if i == 0 else ""))


def _confirm(exercise: Exercise) -> None:
    """After a pass: the reference that it was compared with, beside the oracle, where PyTorch is installed."""
    import importlib.util

    if exercise.oracle is None or importlib.util.find_spec("torch") is None:
        return
    from ..learn.diagnosis.compare import compare

    other = "PyTorch" if exercise.oracle.__name__.startswith("torch_") else "another program"
    for dims in exercise.shapes:
        if not compare(exercise, exercise.run(exercise.oracle, dims), exercise.run(exercise.reference, dims)).equal:
            note(f"the book's reference and {other} disagree on this machine: please report it")
            return
    write(f"   {other[0].upper()}{other[1:]} gives the same on all {len(exercise.shapes)} shapes.\n")


def _print_json(workspace: Workspace, exercise: Exercise | None, case: str | None) -> NoReturn:
    from ..learn.chapters.catalogue import catalogue
    from .grading import print_checks

    if case is not None:
        raise ValueError("--json is about all cases: leave out --case")
    passed = print_checks(workspace, [*catalogue().values()] if exercise is None else [exercise])
    raise typer.Exit(0 if passed else 1)


def _print_next(workspace: Workspace, after: Exercise | None = None) -> None:
    upcoming = workspace.next_exercise(after)
    if upcoming is None:
        write("\n   That was the last one. `minillama learn verify` writes the report.\n")
        return
    write(f"\n   Next: {upcoming.heading} ({workspace.path_of(upcoming.id).name}, about {upcoming.minutes} minutes)\n")


def _print_hint(workspace: Workspace, exercise: Exercise) -> None:
    from ..learn.diagnosis.report import wrapped

    workspace.refresh()
    record = workspace.record(exercise.id)
    record.hints = min(record.hints + 1, len(exercise.hints))
    workspace.save()
    write(f"\n {exercise.heading}\n")
    for i, text in enumerate(exercise.hints[: record.hints], 1):
        write(f"\n   hint {i} of {len(exercise.hints)}\n" + "\n".join(wrapped(text, "   ")) + "\n")
    if record.hints == len(exercise.hints):
        write(f"\n   All hints are shown. `minillama learn solution {exercise.id} --give-up` shows the code.\n")


def _print_map(workspace: Workspace | None) -> None:
    from ..learn.capstones import CAPSTONES
    from ..learn.chapters.catalogue import catalogue
    from ..learn.workspace.certificate import proved_in

    exercises = list(catalogue().values())
    proved = proved_in(workspace.folder) if workspace else set()
    done = {e.id for e in exercises if workspace is not None and workspace.record(e.id).passed}
    chapters: dict[str, list[Exercise]] = {}
    for exercise in exercises:
        chapters.setdefault(exercise.chapter, []).append(exercise)
    write(f"\n {len(done)} of {len(exercises)} exercises" + (f" in {workspace.folder}\n" if workspace else "\n"))
    for chapter, those in chapters.items():
        write(f"\n {chapter} {_topic(chapter)}\n")
        for e in those:
            mark = "x" if e.id in done else " "
            kind = " runs the model" if e.replaces is not None else ""
            kind += " speed" if e.speed is not None else ""
            write(f"   [{mark}] {e.id:<32} {'*' * e.difficulty:<4}{e.minutes:>3} min  {kind}\n")
        for capstone in CAPSTONES:
            if capstone.after == chapter:
                write(f"   [{'x' if capstone.id in proved else ' '}] ==> {capstone.goal}\n")
                write(f"           {capstone.command}\n")
    if workspace is None:
        write("\n Begin:  minillama learn start my-llama\n")
    else:
        _print_next(workspace)


def _topic(chapter: str) -> str:
    from ..learn.workspace.folder import chapter_file

    return chapter_file(chapter)[3:].removesuffix(".py").replace("_", " ")
