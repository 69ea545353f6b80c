"""Candidates become comparisons: a program is asked, or a person whose votes are kept (votes/RATER.jsonl).

Which of the two answers is shown as A is drawn from the seed, so that nobody can prefer a model by its side, and a
program's noise is drawn from seed and prompt. What was said is kept line by line; nothing is asked twice. Pairs with
the same text twice are not asked about.

A person says one of eight things (LLaMA 2 section 3.2.1: a forced choice with four strengths); the machinery is that
of `minillama eval rate`, with this scale in place of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...evaluation.preference.pairs import Pair, make_pair
from ...evaluation.preference.prompts import Prompt as AskedPrompt
from ...evaluation.preference.rating import Rating
from ...evaluation.preference.rows import rows_of_lines
from ...evaluation.preference.votes import Vote, VoteLog
from ...files.journal import Journal
from ...files.lock import open_locked
from ..rollouts.sampling import seed_of
from .annotators import Annotator, Verdict, as_comparison
from .candidates import Candidates
from .comparisons import STRENGTHS, Comparison
from .reading import as_row, from_row

FORCED_CHOICE = {
    4: "A is significantly better",
    3: "A is better",
    2: "A is slightly better",
    1: "A, negligibly or unsure",
    -1: "B, negligibly or unsure",
    -2: "B is slightly better",
    -3: "B is better",
    -4: "B is significantly better",
}
"""What a person may say, by the number that is kept: above 0 where A is better, 1 more than the strength."""

_TOGETHER = 64  # comparisons by a program between two lines on the disk


def annotate(
    candidates: Sequence[Candidates],
    annotator: Annotator,
    path: Path,
    *,
    source: str = "",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Comparison]:
    """Ask a program about every pair.

    Parameters
    ----------
    annotator : Annotator
        With a method `prepare(texts)`, it is told the texts of the next pairs before.
    path : Path
        Where what it said is kept; pairs that the file has are not asked about again.
    source : str
        Kept with each comparison.
    seed : int
        Of the order in which answers are shown, and of the annotator's noise.

    Returns
    -------
    list of Comparison
        In the order of `candidates`, without those that are the same text twice.

    Raises
    ------
    ValueError
        When the file has what was said of other answers to one of the prompts.
    """
    asked = [pair for pair in candidates if not pair.are_same]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_locked(path.with_suffix(".lock"), "asks an annotator"), Journal(path) as journal:
        kept = rows_of_lines(b"".join(journal.lines()).decode("utf-8", "replace"), path)
        found = {comparison.prompt.id: comparison for comparison in map(from_row, kept)}
        _check(asked, found, path)
        waiting = [pair for pair in asked if pair.prompt.id not in found]
        prepare = getattr(annotator, "prepare", None)
        for start in range(0, len(waiting), _TOGETHER):
            some = waiting[start : start + _TOGETHER]
            if prepare is not None:
                prepare([text for pair in some for text in (pair.a.text, pair.b.text)])
            new = [_asked(pair, annotator, source, seed) for pair in some]
            journal.append(*map(as_row, new))
            found |= {comparison.prompt.id: comparison for comparison in new}
            if progress is not None:
                progress(len(found), len(asked))
    return [found[pair.prompt.id] for pair in asked]


def _check(asked: Sequence[Candidates], found: Mapping[str, Comparison], path: Path) -> None:
    """What was said before counts for the answers that it was said of, and for no others."""
    for pair in asked:
        said = found.get(pair.prompt.id)
        if said is not None and {said.chosen, said.rejected} != {pair.a.text, pair.b.text}:
            raise ValueError(
                f"{path} has what was said of other answers to the prompt {pair.prompt.id}: take another file"
            )


def _asked(pair: Candidates, annotator: Annotator, source: str, seed: int) -> Comparison:
    rng = np.random.default_rng([seed, seed_of(1, pair.prompt.id)])
    answers = (pair.a, pair.b) if rng.integers(2) else (pair.b, pair.a)
    texts = (answers[0].text, answers[1].text)
    verdict = annotator.compare(pair.prompt, *texts, rng)
    return as_comparison(pair.prompt, texts, verdict, source=source, ids=(answers[0].ids, answers[1].ids))


# --- a person ----------------------------------------------------------------------------


def pairs_to_rate(candidates: Sequence[Candidates]) -> list[Pair]:
    """What a person is shown; without those that are the same text twice."""
    return [
        make_pair(AskedPrompt(pair.prompt.id, _messages(pair)), ("a", "b"), (pair.a.text, pair.b.text))
        for pair in candidates
        if not pair.are_same
    ]


def _messages(pair: Candidates) -> tuple[dict[str, str], ...]:
    return tuple(dict(message) for message in pair.prompt.dialogue)


def rating_of(candidates: Sequence[Candidates], log: VoteLog, *, seed: int = 0, safety: bool = False) -> Rating:
    """What a person has said and what comes next: for `rate_in_terminal`. Every vote is on the disk at once."""
    return Rating(pairs_to_rate(candidates), log, seed=seed, asks_safety=safety, scale=FORCED_CHOICE)


def voted(candidates: Sequence[Candidates], votes: Sequence[Vote], *, source: str = "") -> list[Comparison]:
    """The comparisons that a person's votes are, in the order of the candidates."""
    by_pair = {vote.pair: vote for vote in votes if vote.rating}
    found = []
    for pair in candidates:
        if pair.are_same or (vote := by_pair.get(pairs_to_rate([pair])[0].id)) is None:
            continue
        answers = (pair.a, pair.b) if vote.shown == 0 else (pair.b, pair.a)
        ids = (answers[0].ids, answers[1].ids)
        found.append(
            as_comparison(pair.prompt, (answers[0].text, answers[1].text), verdict_of(vote), source=source, ids=ids)
        )
    return found


def verdict_of(vote: Vote) -> Verdict:
    """A vote on the forced choice's scale."""
    assert vote.rating
    strength = int(abs(vote.rating)) - 1
    if strength >= len(STRENGTHS):
        raise ValueError(f"expected a vote of 1 to {len(STRENGTHS)} on either side, found {vote.rating}")
    if vote.unsafe is None:
        return Verdict(vote.rating > 0, strength)
    return Verdict(vote.rating > 0, strength, not vote.unsafe[0], not vote.unsafe[1])
