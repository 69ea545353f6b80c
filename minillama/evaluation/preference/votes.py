"""Votes, kept at once: one line of JSON each, on the disk before the next question is asked.

    FOLDER/votes/RATER.jsonl     {"pair": …, "shown": 0, "rating": 2, …}   or   {"undo": {"pair": …, "shown": 0}}

Nothing is ever changed in a file, so that `kill -9` loses no vote: a line cut short is that of a vote whose reception
was never confirmed. A rater has a file, and one process writes it at a time; files of several machines are put
together by copying them into one folder.
"""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...files.journal import Journal, whole_lines
from ...files.lock import open_locked
from .prompts import content_id
from .rows import Row, rows_of_lines

MAX_NAME = 200
ALL_PERSONS = "all persons"


@dataclass(frozen=True)
class Vote:
    """What a rater says about a pair.

    Attributes
    ----------
    pair : str
        The id of the pair.
    rater : str
    shown : 0 or 1
        Which answer of the pair stood first, as A.
    rating : float or None
        Above 0 where A is better, below where B is, 0 for about the same. Persons: 3 much better, 2 better, 1 slightly
        better. Judges: their own scale. None with a `problem`.
    is_person : bool
    unsafe : (bool, bool) or None
        Whether A and B are unsafe, where that was asked.
    problem : str or None
        Why there is no rating: the dialogue is longer than the judge's context.
    seconds : float or None
        From showing to voting.
    time : float or None
        When, in seconds since 1970; None for programs, whose votes are the same bytes in every run.
    """

    pair: str
    rater: str
    shown: int
    rating: float | None
    is_person: bool = False
    unsafe: tuple[bool, bool] | None = None
    problem: str | None = None
    seconds: float | None = None
    time: float | None = None

    @property
    def preference(self) -> float | None:
        """The rating seen from the pair's first answer, whichever stood first."""
        return self.rating if self.rating is None or self.shown == 0 else 0 - self.rating

    @property
    def key(self) -> tuple[str, int]:
        return self.pair, self.shown


class VoteLog:
    """The votes of one rater, in memory and on the disk.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    rater : str

    Raises
    ------
    LockedError
        When another process collects votes of this rater.
    ValueError
        When the name cannot be one, or a line of the file is not a vote.
    """

    def __init__(self, folder: str | Path, rater: str) -> None:
        self.rater, self.path = checked_name(rater), Path(folder) / file_name(rater)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = open_locked(self.path.with_suffix(".lock"), f"collects votes of {rater}")
        try:
            self._votes = {vote.key: vote for vote in read_votes(self.path)} if self.path.exists() else {}
            self._journal = Journal(self.path)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> VoteLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()
        self._lock.close()

    @property
    def votes(self) -> list[Vote]:
        """Those that count, in the order in which they were given."""
        return list(self._votes.values())

    def append(self, *votes: Vote) -> None:
        """Keep votes; they are on the disk when this returns. A later vote on the same pair replaces the earlier."""
        self._journal.append(*[vote_as_row(vote) for vote in votes])
        for vote in votes:
            self._votes.pop(vote.key, None)
            self._votes[vote.key] = vote

    def undo(self, vote: Vote) -> None:
        """Take back a vote that counts; its line stays in the file, with one more that says so."""
        self._journal.append({"undo": {"pair": vote.pair, "shown": vote.shown}})
        del self._votes[vote.key]


def read_votes(path: Path) -> list[Vote]:
    """The votes of a file that count, in order; a last line cut short by a crash is passed over."""
    whole = whole_lines(path).decode("utf-8", "replace")
    votes: dict[tuple[str, int], Vote] = {}
    for row in rows_of_lines(whole, path):
        if isinstance(undone := row.values.get("undo"), dict):
            votes.pop((undone.get("pair", ""), undone.get("shown", 0)), None)
            continue
        vote = _vote_of(row)
        votes.pop(vote.key, None)
        votes[vote.key] = vote
    return list(votes.values())


def read_all_votes(folder: str | Path) -> list[Vote]:
    """The votes of all raters in a folder, by name of file."""
    return [vote for path in sorted(Path(folder).glob("*.jsonl")) for vote in read_votes(path)]


def now() -> float:
    """For `Vote.time`: milliseconds are enough."""
    return round(time.time(), 3)


def checked_name(name: str) -> str:
    """A rater's name: one line of text that can be seen, and not what all of them together are called."""
    if name == ALL_PERSONS:
        raise ValueError(f"{name!r} is what all persons together are called: take another name")
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise ValueError(f"a rater's name should be 1 to {MAX_NAME} printable characters, got {name!r:.60}")
    return name


def file_name(rater: str) -> str:
    """Of the votes of a rater; two raters never share one, also where upper and lower case are the same."""
    plain = re.sub(r"[^a-z0-9_.-]", "_", rater)[:60].lstrip(".") or "_"
    return f"{plain}.jsonl" if plain == rater else f"{plain}-{content_id(rater)[:8]}.jsonl"


def vote_as_row(vote: Vote) -> dict[str, Any]:
    """As it is kept in a file: what is not set is left out, but for a rating."""
    return {key: value for key, value in asdict(vote).items() if key == "rating" or _is_set(value)}


def _is_set(value: Any) -> bool:
    return value is not None and value is not False  # `shown` may be 0, which equals False


def _vote_of(row: Row) -> Vote:
    values = dict(row.values)
    rating, shown, unsafe = values.get("rating"), values.get("shown"), values.get("unsafe")
    is_number = isinstance(rating, int | float) and not isinstance(rating, bool)
    if not (is_number or values.get("problem")) or shown not in (0, 1):
        row.fail('expected a vote with a "rating" and "shown" 0 or 1')
    try:
        return Vote(**{**values, "unsafe": None if unsafe is None else (bool(unsafe[0]), bool(unsafe[1]))})
    except (TypeError, LookupError) as error:
        row.fail(f"expected a vote as minillama writes it: {error}")
