"""Which examples stand before a question: lm-evaluation-harness's rules, with the quirks that change prompts.

One `random.Random(seed)` a task is consumed document after document: every document gets other shots, and they depend
on all documents before it. A limit only cuts the end, so that the first hundred items are the same items in a run of
all. Where the harness takes the split of the shots for the one that is tested (`Shots.draws_one_more`) it draws one
more and drops the document itself, or the last.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..common.task import Document, Task


class Examples:
    """The shots of a task's documents, to be asked for in the documents' order.

    Parameters
    ----------
    task : Task
    pool : sequence of Document
        The split that examples are taken from, prepared.
    n_shots : int or None
        Before every question; None is the task's own number.
    seed : int

    Raises
    ------
    ValueError
        Where the task's split has too few examples.
    """

    def __init__(self, task: Task, pool: Sequence[Document], n_shots: int | None, seed: int):
        self._rule = task.shots.rule
        self._one_more = task.shots.draws_one_more
        self._pool = list(task.shots.given or pool)
        self._random = random.Random(seed)
        self.n_shots = self._number(task, n_shots)

    def _number(self, task: Task, n_shots: int | None) -> int:
        """How many are shown, after checking that there are so many."""
        if self._rule == "given":
            return len(self._pool)
        number = task.shots.default if n_shots is None else n_shots
        if number < 0:
            raise ValueError(f"the number of shots must be 0 or more, and is {number}")
        needed = number + (self._rule == "drawn" and self._one_more) if number else 0
        if needed > len(self._pool):
            where = f"split {task.shots.split!r} of {task.dataset.name}" if task.shots.split else "task"
            raise ValueError(
                f"{task.name} with {number} shots needs {needed} examples, and its {where} has {len(self._pool)}: "
                "ask for fewer shots, or add that split's file"
            )
        return number

    def before(self, document: Document) -> list[Document]:
        """The shots before a document; call it once for each, in order."""
        if self._rule != "drawn" or self.n_shots == 0:
            return self._pool[: self.n_shots]
        if not self._one_more:
            return self._random.sample(self._pool, self.n_shots)
        drawn = self._random.sample(self._pool, self.n_shots + 1)
        others = [shot for shot in drawn if shot != document][: self.n_shots]
        if len(others) < self.n_shots:  # the split holds the document twice, and both were drawn
            others = self._random.sample([shot for shot in self._pool if shot != document], self.n_shots)
        return others
