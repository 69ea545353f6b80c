"""Work on groups of dialogues that survives kill -9: what a group gave is kept when all of it is there.

A group is computed together, and a float product's last bits depend on the rows beside it. So a group of which a part
is missing is computed again, whole, and gives the same again; the journal's lines of it are then there twice, alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...files.journal import Journal
from ..models import ChatModel
from .scenes import Scene

Row = Mapping[str, Any]


class GroupJournal:
    """What groups of scenes gave, on disk where there is a path.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    model : ChatModel
    made_from : mapping
        Settings that the results follow from; plain JSON.
    scenes : sequence of Scene

    Raises
    ------
    ValueError
        When two scenes have the same id.
    """

    def __init__(self, path: Path | None, model: ChatModel, made_from: Row, scenes: Sequence[Scene]) -> None:
        ids = [scene.id for scene in scenes]
        if len(set(ids)) < len(ids):
            raise ValueError("every scene needs an id of its own: two are the same")
        self._path = path
        said = [[s.id, s.instruction.text, [turn.text for turn in s.turns]] for s in scenes]
        everything = {"scenes": said, "max_seq_len": model.config.max_seq_len, **made_from}
        if path is not None:
            everything["weights"] = model.digest
        self._made_from = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()

    def run(
        self,
        groups: Sequence[Sequence[Scene]],
        work: Callable[[Sequence[Scene]], Sequence[Row]],
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """What `work` gives for each scene, by its id; only groups that are not kept yet are worked on.

        Raises
        ------
        ValueError
            When the journal was made from other scenes, settings or weights.
        """
        if self._path is None:
            return self._run(groups, work, progress, {}, lambda *rows: None)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with Journal(self._path) as journal:
            first, *lines = [json.loads(line) for line in journal.lines()] or [None]
            if first is None:
                journal.append({"made_from": self._made_from})
            elif first != {"made_from": self._made_from}:
                raise ValueError(
                    f"{self._path} holds dialogues of other scenes, settings or weights: remove it or name another"
                )
            return self._run(groups, work, progress, {row.pop("id"): row for row in lines}, journal.append)

    @staticmethod
    def _run(
        groups: Sequence[Sequence[Scene]],
        work: Callable[[Sequence[Scene]], Sequence[Row]],
        progress: Callable[[int, int], None] | None,
        found: dict[str, Any],
        append: Callable[..., None],
    ) -> dict[str, Any]:
        n_done, n = 0, sum(len(group) for group in groups)
        for group in groups:
            if not all(scene.id in found for scene in group):
                rows = work(group)
                append(*({"id": scene.id, **row} for scene, row in zip(group, rows)))
                found |= {scene.id: json.loads(json.dumps(row)) for scene, row in zip(group, rows)}
            n_done += len(group)
            if progress is not None:
                progress(n_done, n)
        return found
