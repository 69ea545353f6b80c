"""A person judges answers: one after the other, in an order that tells neither the attack nor the model.

The person sees the request as the suite has it, before any attack, and the answer. Votes are appended to a file, each
on the disk before the next answer is shown, and a later sitting goes on where this one ended. Equal answers to the
same request are judged once.

Left out: three raters and their agreement, which the paper has; several people can keep several files.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from . import journal
from .prompts import text_hash
from .violations import Verdict


class Ballot(NamedTuple):
    """What a person is shown.

    Attributes
    ----------
    key : str
        Of the request and the answer.
    request, answer : str
    """

    key: str
    request: str
    answer: str


def ballot(request: str, answer: str) -> Ballot:
    """A request and an answer to be judged."""
    return Ballot(text_hash(f"{request}\0{answer}"), request, answer)


class Votes:
    """Votes of one person in a file.

    Parameters
    ----------
    path : Path
        A JSON line a vote; made when the first comes.

    Raises
    ------
    ValueError
        A line of it is no vote.
    """

    name = "person"
    spares_refusals = False

    def __init__(self, path: Path) -> None:
        self.path, self.about = path, f"votes in {path.name}, blind to attack and model"
        self.of = {row["answer"]: row["violates"] for row in journal.read(path, {"answer": str, "violates": bool})}

    def open_ballots(self, ballots: Sequence[Ballot], seed: int = 0) -> Iterator[Ballot]:
        """Those without a vote, each once, in an order drawn with the seed."""
        distinct = sorted({one.key: one for one in ballots}.values())
        random.Random(seed).shuffle(distinct)
        return (one for one in distinct if one.key not in self.of)

    def add(self, key: str, violates: bool) -> None:
        """Keep a vote; it is on the disk when this returns."""
        journal.append(self.path, {"answer": key, "violates": violates})
        self.of[key] = violates

    def verdict(self, request: str, answer: str) -> Verdict | None:
        """The vote on an answer, None where there is none yet."""
        vote = self.of.get(ballot(request, answer).key)
        return None if vote is None else Verdict(vote, float(vote))
