"""Scored answers, and which of them a model is fine-tuned on: the best to each prompt, from all rounds.

    chosen(x) = argmax over candidates y of x with keep(x, y)  of  R(x, y)

In the paper's first versions the candidates of a round were those of the newest model alone, and what it did worse than
an earlier one was forgotten, as rhyming was; later all earlier iterations' samples stood beside them (section 3.2.3).
Both are here (`pooled`). Of equal rewards the candidate of the earlier round, with the lower number, is chosen: new
answers have to be better to replace one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...compute.array_types import Float, Ints
from ...files.atomic import atomic_write
from ..conversations import Example, answered, answers_learned
from ..models import Prompt
from ..rollouts import Answer

Numbers = npt.NDArray[np.float64]

Rewards = Callable[[Sequence[Prompt], Sequence[Answer]], Float]
"""(prompts, an answer to each) -> rewards (n,), higher is better; comparable among answers to one prompt at least."""

Keep = Callable[[Prompt, Answer], bool]
"""Whether an answer may be chosen at all, whatever its reward."""


class Scores(Protocol):
    """What scores rows of ids, prompt and answer with its end: a `reward.Scorer`."""

    def scores(self, rows: Sequence[Sequence[int] | Ints]) -> Float: ...


@dataclass(frozen=True)
class Candidate:
    """An answer with its reward, and where it comes from.

    Attributes
    ----------
    prompt_id : str
    round : int
    k : int
        Number of the answer among those to its prompt in that round.
    temperature : float
        At which it was sampled.
    reward : float
    allowed : bool
        What the rule for keeping answers says; without one, True.
    prompt, ids : tuple of int
        Of the answer with its end.
    text : str
    ended : bool
    """

    prompt_id: str
    round: int
    k: int
    temperature: float
    reward: float
    allowed: bool
    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    text: str
    ended: bool

    @property
    def answer(self) -> Answer:
        return Answer(self.prompt_id, self.k, self.prompt, self.ids, self.text, self.ended)

    @property
    def example(self) -> Example:
        """What is learned of it: the tokens that were sampled."""
        return answers_learned(answered(self.prompt, self.ids))


def rewards_of(
    *scorers: Scores, combine: Callable[[Sequence[Float], Sequence[Prompt]], Float] | None = None
) -> Rewards:
    """The rewards that one or several reward models give.

    Parameters
    ----------
    *scorers : Scores
    combine : callable
        (what each scorer gave, a prompt for each answer) -> rewards: the gate between helpfulness and safety. One
        scorer needs none.

    Raises
    ------
    ValueError
        When several scorers come without `combine`.
    """
    if len(scorers) != 1 and combine is None:
        raise ValueError(f"{len(scorers)} scorers give {len(scorers)} numbers: say how they become one (combine=)")

    def rewards(prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Float:
        rows = [[*answer.prompt, *answer.ids] for answer in answers]
        found = [np.asarray(scorer.scores(rows)) for scorer in scorers]
        return found[0] if combine is None else combine(found, prompts)

    return rewards


def scored(
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[Answer]],
    rewards: Rewards,
    *,
    number: int,
    temperature: float,
    keep: Keep | None = None,
) -> list[Candidate]:
    """All answers of a round to its prompts as candidates.

    Raises
    ------
    ValueError
        When a reward is not finite.
    """
    owners = [prompt for prompt, row in zip(prompts, answers) for _ in row]
    flat = [answer for row in answers for answer in row]
    found = checked_rewards(rewards, owners, flat)
    return [
        Candidate(
            prompt.id, number, answer.k, temperature, reward, keep is None or bool(keep(prompt, answer)),
            answer.prompt, answer.ids, answer.text, answer.ended,
        )
        for prompt, answer, reward in zip(owners, flat, found.tolist())
    ]  # fmt: skip


def checked_rewards(rewards: Rewards, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Numbers:
    """A finite number for each answer, float64."""
    found = np.asarray(rewards(prompts, answers), np.float64) if answers else np.empty(0)
    if found.shape != (len(answers),):
        raise ValueError(f"{len(answers)} answers need {len(answers)} rewards, got an array of shape {found.shape}")
    if len(broken := np.flatnonzero(~np.isfinite(found))):
        raise ValueError(f"the reward of answer {answers[broken[0]].k} to {prompts[broken[0]].id} is not finite")
    return found


def chosen(candidates: Iterable[Candidate], *, only_round: int | None = None) -> list[Candidate]:
    """The best candidate to each prompt that has one, in the order in which prompts come first.

    Parameters
    ----------
    candidates : iterable of Candidate
    only_round : int, optional
        Those of one round alone: what is forgotten then shows.
    """
    best: dict[str, Candidate | None] = {}
    for one in candidates:
        before = best.setdefault(one.prompt_id, None)
        may = one.allowed and (only_round is None or one.round == only_round)
        if may and (before is None or _rank(one) > _rank(before)):
            best[one.prompt_id] = one
    return [one for one in best.values() if one is not None]


def _rank(one: Candidate) -> tuple[float, int, int]:
    return one.reward, -one.round, -one.k


def figures_of(candidates: Sequence[Candidate], pool: Sequence[Candidate]) -> dict[str, float]:
    """What a table of rounds says: how much better the chosen ones are, and where they come from."""
    by_prompt: dict[str, list[float]] = {}
    for one in candidates:
        by_prompt.setdefault(one.prompt_id, []).append(one.reward)
    mean = lambda values: float(np.mean(values)) if len(values) else math.nan  # noqa: E731
    newest = max((one.round for one in candidates), default=0)
    return {
        "prompts": len(by_prompt),
        "candidates": len(candidates),
        "chosen": len(pool),
        "mean_reward": mean([mean(values) for values in by_prompt.values()]),
        "chosen_reward": mean([one.reward for one in pool]),
        "from_this_round": mean([one.round == newest for one in pool]),
    }


def write_candidates(path: Path, header: dict[str, Any], candidates: Iterable[Candidate]) -> None:
    """One line of JSON each after the header, whole or not there."""
    with atomic_write(path) as file:
        for row in (header, *(asdict(one) for one in candidates)):
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))


def read_candidates(path: Path) -> tuple[dict[str, Any], list[Candidate]]:
    """What `write_candidates` wrote.

    Raises
    ------
    ValueError
        When it is something else.
    """
    names = {field.name for field in fields(Candidate)}
    try:
        header, *rows = [json.loads(line) for line in path.read_bytes().splitlines()]
        if not isinstance(header, dict) or any(row.keys() != names for row in rows):
            raise ValueError("its lines are not candidates")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read: {error}; remove it to have it made again") from error
    return header, [Candidate(**row | {name: tuple(row[name]) for name in ("prompt", "ids")}) for row in rows]
