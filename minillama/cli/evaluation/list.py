"""`minillama eval list`: the tasks and groups, how each is asked, and whose documents are on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common.output import note, write

if TYPE_CHECKING:
    from ...evaluation.common.task import Task

Data = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Folder with DIR/TASK/SPLIT.jsonl (or .csv, .parquet); may be given several times."),
]


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command("list")(list_tasks)


def list_tasks(
    data: Data = None,
    every: Annotated[bool, typer.Option("--all", help="Each of MMLU's subjects, too.")] = False,
) -> None:
    """Show what can be asked: tasks, groups of them, and where their documents would come from."""
    from ...evaluation.results.table import aligned
    from ...evaluation.run import sources_of
    from ...evaluation.tasks.catalogue import GROUPS, TASKS

    sources_of(data or [], hub=False)  # says which folder is not there
    members = {name for group in GROUPS.values() if group.by_size for name in group.tasks}
    shown = [task for name, task in TASKS.items() if every or name not in members]
    rows: list[tuple[str, ...]] = [("task", "asked by", "protocol", "shots", "documents", "what")]
    rows += [_row(task, data or []) for task in shown]
    rows.append(("",) * 6)
    for group in GROUPS.values():
        missing = f"; not here: {', '.join(group.missing)}" if group.missing else ""
        rows.append(
            (
                group.name,
                f"{len(group.tasks)} task{'' if len(group.tasks) == 1 else 's'}",
                "",
                "",
                "",
                f"{group.about or group.title}{missing}",
            )
        )
    write("\n".join(aligned(rows, left=6)) + "\n")
    if not every:
        note(f"{len(members)} subjects of MMLU are not listed one by one: --all")
    note("documents that are not on this machine are fetched from the Hugging Face Hub when they are asked for")


def _row(task: Task, folders: list[Path]) -> tuple[str, ...]:
    kinds = {"choices": "options", "rolling": "perplexity", "generation": "writing"}
    n_shots = len(task.shots.given) if task.shots.rule == "given" else task.shots.default
    return task.name, kinds[task.kind], task.protocol, str(n_shots), _place(task, folders), task.about


def _place(task: Task, folders: list[Path]) -> str:
    """The folder that has a task's documents, or the Hub."""
    from ...evaluation.run import BUNDLED
    from ...evaluation.sources.errors import DocumentError
    from ...evaluation.sources.places import find, name_of

    for folder in [*folders, BUNDLED]:
        try:
            found = find(folder, name_of(task.dataset.name), task.split, task.dataset.hub.partition(":")[2])
        except DocumentError:
            return f"{folder}: unclear"
        if found:
            return "in the package" if folder == BUNDLED else str(folder)
    return "Hub"
