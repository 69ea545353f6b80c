"""Answers kept on disk: what was asked once is not asked again, and a run that was killed goes on.

One line of JSON an answer, under the sha256 of its request:

    {"request": "5f3c…", "answer": {"logprob": -12.5, "is_greedy": false, …}}

Answers of one *origin* are in one file: the model (the contents of its weights, its settings and its tokenizer), the
arithmetic that it runs in, and the version of this folder. Another model, arithmetic or version never reads them.
Lines are only added, a whole one in a single write: whatever moment the process is killed at, at most the last line is
torn, and the next one to open the file drops it. A lock keeps a second process out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ...files.journal import Journal
from ...files.lock import open_locked
from ..common.requests import Answer, Likelihood, Request, Written

# Changes whenever the same request to the same model may get another answer, in bits or in fields.
VERSION = "2"


class Store:
    """A folder of answers.

    Parameters
    ----------
    folder : path
        Made when the first answer is kept.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    @contextmanager
    def opened(self, origin: Mapping[str, Any]) -> Iterator[Answers]:
        """The answers of one origin, which nobody else adds to meanwhile.

        Raises
        ------
        LockedError
            When another process has them open.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{digest({**origin, 'version': VERSION})[:32]}.jsonl"
        lock = open_locked(path.with_suffix(".lock"), "is keeping answers of the same model")
        try:
            answers = Answers(path)
            try:
                yield answers
            finally:
                answers.close()
        finally:
            lock.close()


class Answers:
    """The answers in one file; `with Store(folder).opened(origin) as answers`.

    Parameters
    ----------
    path : Path
        Read now, but for a torn last line, which is cut off.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path, on_disk=False)
        self._kept = self._read()

    def _read(self) -> dict[str, Any]:
        """By request what the file holds; a line that is no answer is asked again."""
        kept = {}
        for line in self._journal.lines():
            try:
                entry = json.loads(line)
                kept[entry["request"]] = answer_of(entry["answer"])
            except (ValueError, TypeError, KeyError):
                continue
        return kept

    def get(self, key: str) -> Answer | None:
        """The answer to a request, by `request_key`."""
        return self._kept.get(key)

    def add(self, answers: Iterable[tuple[str, Answer]]) -> None:
        """Keep answers; they are with the operating system when this returns, and survive a kill."""
        rows = []
        for key, answer in answers:
            if key not in self._kept:
                self._kept[key] = answer
                rows.append({"request": key, "answer": asdict(answer)})
        if rows:
            self._journal.append(*rows)

    def close(self) -> None:
        self._journal.close()


def request_key(request: Request, max_length: int) -> str:
    """What a request is known by: its kind, all its fields, and how much the model may read."""
    return digest([type(request).__name__, asdict(request), max_length])


def digest(value: Any) -> str:
    """sha256 of a value as JSON."""
    text = json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def answer_of(entry: Mapping[str, Any]) -> Answer:
    """An answer from its fields.

    Raises
    ------
    ValueError, TypeError
        When they are not those of an answer.
    """
    kind: Callable[..., Answer] = Likelihood if "logprob" in entry else Written
    values = dict(entry)
    if kind is Written:
        values["ids"] = tuple(values["ids"])
    if set(values) != {field.name for field in fields(kind)}:  # type: ignore[arg-type]
        raise ValueError(f"expected the fields of {kind.__name__}, found {', '.join(values)}")
    return kind(**values)
