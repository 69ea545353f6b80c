"""All tasks by name, and the groups that stand for several."""

from __future__ import annotations

from collections.abc import Sequence

from ...files.suggestions import did_you_mean
from ..common.task import Task
from . import (
    arc,
    boolq,
    groups,
    gsm8k,
    hellaswag,
    mmlu,
    nq_open,
    openbookqa,
    piqa,
    stories_cloze,
    triviaqa,
    truthfulqa,
    wikitext,
    winogrande,
)

BENCHMARKS = (
    stories_cloze,
    arc,
    boolq,
    gsm8k,
    hellaswag,
    nq_open,
    openbookqa,
    piqa,
    triviaqa,
    truthfulqa,
    wikitext,
    winogrande,
    mmlu,
)
TASKS: dict[str, Task] = {task.name: task for benchmark in BENCHMARKS for task in benchmark.TASKS}
GROUPS: dict[str, groups.Group] = {group.name: group for group in groups.ALL}


def task_names() -> list[str]:
    """The names of all tasks, groups not among them."""
    return list(TASKS)


def find_tasks(names: Sequence[str]) -> list[Task]:
    """Tasks by their names and their groups' names, each once, in the order in which they were named.

    Raises
    ------
    ValueError
        Nothing has such a name.
    """
    found: dict[str, Task] = {}
    for name in names:
        members = GROUPS[name].tasks if name in GROUPS else [name]
        for member in members:
            if member not in TASKS:
                raise ValueError(
                    f"there is no task or group {name[:60]!r}: {did_you_mean(name, [*TASKS, *GROUPS])}"
                    "`minillama eval list` shows all"
                )
            found[member] = TASKS[member]
    return list(found.values())
