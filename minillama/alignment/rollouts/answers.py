"""A sampled answer, and answers that are kept in a journal as they end.

    {"settings": {"weights": …, "temperature": 0.9, "seed": 1, …}}           the first line
    {"prompt_id": "…", "prompt": digest, "k": 0, "ids": […], "ended": true, "text": "…"}

What is in the journal is not sampled again. An answer depends on the weights, the settings, its prompt and its number,
and on nothing else: how many others were asked for before, or at once, does not matter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files.journal import Journal
from ...files.lock import open_locked


@dataclass(frozen=True)
class Answer:
    """What a model answered.

    Attributes
    ----------
    prompt_id : str
    k : int
        Number of the answer among those to its prompt, from 0.
    prompt : tuple of int
        The ids before it.
    ids : tuple of int
        With the id that ends it, where the model came to it.
    text : str
    ended : bool
        Whether the model ended it, not the limit.
    context_full : bool
        Whether it was the end of the context that cut it.
    """

    prompt_id: str
    k: int
    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    text: str
    ended: bool
    context_full: bool = False


Key = tuple[str, str, int]
"""Id of a prompt, digest of its ids, number of the answer."""


def key_of(prompt_id: str, prompt: Sequence[int], k: int) -> Key:
    """What an answer goes by; a prompt that was worded anew under its old id has other ones."""
    return prompt_id, hashlib.sha256(",".join(map(str, prompt)).encode()).hexdigest()[:16], k


class KeptAnswers:
    """Answers by their keys, written to a journal if there is one.

    Parameters
    ----------
    journal : Journal, optional
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal, self._rows = journal, dict[Key, dict[str, Any]]()

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def add(self, key: Key, row: dict[str, Any]) -> None:
        """Keep what there is to say about an answer."""
        if self._journal is not None:
            prompt_id, digest, k = key
            self._journal.append({"prompt_id": prompt_id, "prompt": digest, "k": k, **row})
        self._rows[key] = row

    def read(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Take in the lines of the journal, or write its first one.

        Raises
        ------
        ValueError
            When it was made with other settings, or is no journal of answers.
        """
        assert self._journal is not None
        first = True
        for line in self._journal.lines():
            row = _object(line, path)
            if first:
                _check(row.get("settings"), settings, path)
                first = False
                continue
            self._rows[row.pop("prompt_id"), row.pop("prompt"), row.pop("k")] = row
        if first:
            self._journal.append({"settings": dict(settings)})

    def answer(self, key: Key, prompt: Sequence[int]) -> Answer:
        """The answer of that key."""
        row = self._rows[key]
        return Answer(
            key[0], key[2], tuple(prompt), tuple(row["ids"]), row["text"], row["ended"], row.get("context_full", False)
        )


@contextmanager
def kept_answers(path: Path | None, settings: Mapping[str, Any]) -> Iterator[KeptAnswers]:
    """Answers of a file, for one process at a time; without a path only in memory.

    Lines are with the operating system at once, not on the disk: they survive the end of the process, however it
    comes. What the end of the machine takes is sampled again, and is the same.
    """
    if path is None:
        yield KeptAnswers()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = open_locked(path.with_name(f"{path.name}.lock"), f"samples into {path.name}")
    with lock, Journal(path, on_disk=False) as journal:
        kept = KeptAnswers(journal)
        kept.read(path, settings)
        yield kept


def _object(line: bytes, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path} is no journal of answers: {error}; take another file") from error
    if not isinstance(row, dict) or not ("settings" in row or row.keys() >= {"prompt_id", "prompt", "k", "ids"}):
        raise ValueError(f"{path} is no journal of answers: it has the line {line[:60]!r}; take another file")
    return row


def _check(before: Any, now: Mapping[str, Any], path: Path) -> None:
    if not isinstance(before, dict):
        raise ValueError(f"{path} is no journal of answers: its first line says no settings; take another file")
    differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if differing:
        said = ", ".join(f"{name} {before.get(name)!r:.20} (now {now.get(name)!r:.20})" for name in differing)
        raise ValueError(f"the answers in {path} were sampled otherwise: {said}; go on with those, or in another file")
