"""Which shots stand before a question: lm-evaluation-harness's rules, with the quirks that change prompts.

One `random.Random(seed)` a task is consumed document after document: every document gets other shots, and they depend
on all documents before it. A limit only cuts the end, so that the first hundred items are the same items in a run of
all. Where the harness takes the split of the shots for the one that is tested (`Shots.draws_one_more`) it draws one
more and drops the document itself, or the last.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..common.task import Document, Task


def number_of_shots(task: Task, asked: int | None) -> int:
    """How many shots stand before a question of a task; None asks for the task's own number."""
    if task.shots.rule == "given":
        return len(task.shots.given)
    return task.shots.default if asked is None else asked


class ShotSource:
    """The shots of a task's documents, to be asked for in the documents' order.

    Parameters
    ----------
    task : Task
    pool : sequence of Document
        The split that shots are taken from, prepared.
    n_shots : int or None
        Before every question; None is the task's own number.
    seed : int

    Raises
    ------
    ValueError
        Where the task's split has too few documents.
    """

    def __init__(self, task: Task, pool: Sequence[Document], n_shots: int | None, seed: int):
        self._task = task
        self._pool = list(task.shots.given if task.shots.rule == "given" else task.shots.given or pool)
        self._random = random.Random(seed)
        self.n_shots = self._number(n_shots)

    def _number(self, asked: int | None) -> int:
        """How many are shown, after checking that there are so many."""
        shots, number = self._task.shots, number_of_shots(self._task, asked)
        if number < 0:
            raise ValueError(f"the number of shots must be 0 or more, and is {number}")
        if number and shots.rule != "given":
            self._check(number, number + (shots.rule == "drawn" and shots.draws_one_more), len(self._pool))
        return number

    def _check(self, number: int, needed: int, there: int) -> None:
        if needed > there:
            name, shots = self._task.name, self._task.shots
            if not shots.split and not there:
                raise ValueError(f"{name} has no examples to show before its questions: ask for 0 shots (--fewshot 0)")
            where = f"split {shots.split!r} of {self._task.dataset.name}" if shots.split else "task"
            raise ValueError(
                f"{name} with {number} shots needs {needed} documents to take them from, and its {where} has {there}: "
                "ask for fewer shots, or add that split's file"
            )

    def before(self, document: Document) -> list[Document]:
        """The shots before a document; call it once for each, in order."""
        if self._task.shots.rule != "drawn" or self.n_shots == 0:
            return self._pool[: self.n_shots]
        if not self._task.shots.draws_one_more:
            return self._random.sample(self._pool, self.n_shots)
        drawn = self._random.sample(self._pool, self.n_shots + 1)
        others = [shot for shot in drawn if shot != document][: self.n_shots]
        if len(others) < self.n_shots:  # the split holds the document twice, and both were drawn
            rest = [shot for shot in self._pool if shot != document]
            self._check(self.n_shots, self.n_shots, len(rest))
            others = self._random.sample(rest, self.n_shots)
        return others
