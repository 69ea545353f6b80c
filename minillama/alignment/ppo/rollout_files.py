"""Iterations on disk: a rollout cannot be drawn again from later weights.

    RUN/rollouts/iteration-00012.npz           experience, answers and figures; whole or not there
    RUN/rollouts/iteration-00013-1f0c….jsonl   answers that have ended, while others are being sampled

A rollout is written before its first update. At the start of an iteration one that is there counts only if it was made
by the weights that there are now (their digest is in it): a run that went back to an earlier checkpoint, and comes by
again with other last digits, draws anew. In the middle of an iteration it is what the iteration is to be finished with.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ...files.atomic import atomic_write
from ..rollouts import Answer
from .collection import Collected
from .experience import as_arrays, from_arrays

_PREFIX, _SUFFIX = "iteration-", ".npz"


class RolloutFiles:
    """The rollouts of a run.

    Parameters
    ----------
    folder : Path
        Made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, iteration: int) -> Path:
        return self._folder / f"{_PREFIX}{iteration:05d}{_SUFFIX}"

    def journal(self, iteration: int, digest: str) -> Path:
        """Where answers are kept as they end; until the iteration is written."""
        return self._folder / f"{_PREFIX}{iteration:05d}-{digest[:12]}.jsonl"

    def write(self, iteration: int, digest: str, collected: Collected) -> None:
        """Keep an iteration; it is on the disk when this returns."""
        known = {"digest": digest, "figures": collected.figures, "answers": [asdict(a) for a in collected.answers]}
        arrays = as_arrays(collected.experience)
        with atomic_write(self.path(iteration)) as file:
            np.savez(file, known=np.frombuffer(json.dumps(known).encode(), np.uint8), **arrays)
        for path in self._folder.glob(f"{_PREFIX}*.jsonl*"):
            path.unlink()

    def read(self, iteration: int, digest: str | None = None) -> Collected | None:
        """An iteration; None where it is not there, is damaged, or was made by weights of another digest."""
        try:
            with self.path(iteration).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                known = json.loads(arrays["known"].tobytes())
                if digest not in (None, known["digest"]):
                    return None
                answers = [_answer(row) for row in known["answers"]]
                return Collected(from_arrays(arrays), answers, known["figures"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return None

    def prune(self, keep: Collection[int], current: int) -> None:
        """Remove iterations before `current` that are not to be kept, and what is left half written."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            number = path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
            old = number.isdecimal() and int(number) < current and int(number) not in keep
            if old or path.name.endswith(".part"):
                path.unlink(missing_ok=True)


def _answer(row: dict[str, object]) -> Answer:
    return Answer(**{**row, "prompt": tuple(row["prompt"]), "ids": tuple(row["ids"])})  # type: ignore[arg-type]
