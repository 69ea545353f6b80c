"""When to stop: answers to validation requests, judged by somebody whom the policy does not maximise.

    RUN/validation/iteration-00020.json      answers, figures and judgement after that iteration; 0 is the start

The reward goes up as long as PPO runs. What it stands for does not: from some iteration on the policy has learned what
the reward models overlook. So every few iterations answers to other requests are judged, by an annotator's labels or
by a second reward model trained on other pairs. The run ends when that has not improved for some looks, and what it
made is the best checkpoint (LLaMA 2 section 3.2.3 stops early on held-out prompts; who judges is unconfirmed).

The truth, where a world has one, is for the report alone (report.py): the answers are kept for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from ...compute.array_types import Float
from ...files.atomic import atomic_write
from ...params import Params
from ..models import Prompt
from ..rollouts import Answer
from .collection import Collector, Figures, reward_figures
from .reward import Scores

Judging = Callable[[Sequence[Prompt], Sequence[Answer], Sequence[Answer]], Float]
"""(prompts, answers now, answers before PPO) -> a number for each answer, higher is better."""

_STREAM = 2  # of the seed: not that of rollouts


@dataclass(frozen=True)
class Validation:
    """Requests that no rollout has, and who judges answers to them."""

    prompts: Sequence[Prompt]
    judge: Judging


class Labels(Protocol):
    """An annotator (`preferences`), who says which of two answers is better."""

    def compare(self, prompt: Prompt, a: str, b: str, rng: np.random.Generator) -> Any: ...


def wins_by(annotator: Labels, seed: int = 0) -> Judging:
    """1 for an answer that an annotator prefers to the one before PPO, 0 for another, 1/2 where they are the same."""

    def judge(prompts: Sequence[Prompt], answers: Sequence[Answer], before: Sequence[Answer]) -> Float:
        found = np.full(len(prompts), 0.5)
        for i, (prompt, new, old) in enumerate(zip(prompts, answers, before, strict=True)):
            rng = np.random.default_rng([seed, i])
            first = bool(rng.integers(2))  # the side must not matter
            if new.text != old.text:
                pair = (new.text, old.text) if first else (old.text, new.text)
                found[i] = float(annotator.compare(prompt, *pair, rng).prefers_a == first)
        return found

    return judge


def scores_by(model: Scores) -> Judging:
    """What a second reward model gives the answers."""
    return lambda prompts, answers, before: np.asarray(model.scores([(*one.prompt, *one.ids) for one in answers]))


class Evaluation(NamedTuple):
    """A look at the validation requests.

    Attributes
    ----------
    iteration : int
        After which; 0 is before the first.
    figures : dict
        "judged" and what the reward models and the reference say: "reward", "kl" …
    answers : list of Answer
        In the order of the prompts.
    """

    iteration: int
    figures: Figures
    answers: list[Answer]


def evaluation_of(
    validation: Validation, collector: Collector, policy: Params, iteration: int, before: Sequence[Answer] | None
) -> Evaluation:
    """Sample, score and judge; every iteration draws with the same seeds. `before` is None at the start itself."""
    prompts = validation.prompts
    answers = collector.sampled(policy, prompts, [collector.settings.seed, _STREAM])
    figures = reward_figures(*collector.scored(answers, prompts)) | collector.divergence(policy, answers)
    judged = validation.judge(prompts, answers, answers if before is None else before)
    return Evaluation(iteration, {"judged": float(np.mean(judged, dtype=np.float64))} | figures, answers)


def has_peaked(judged: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` looks were none of them better than all before."""
    return bool(judged) and len(judged) - 1 - best_of(judged) >= patience


def best_of(judged: Sequence[float]) -> int:
    """The place of the best look, the first of equal ones."""
    return int(np.argmax(judged))


class ValidationFiles:
    """The looks of a run on disk.

    Parameters
    ----------
    folder : Path
        Made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, iteration: int) -> Path:
        return self._folder / f"iteration-{iteration:05d}.json"

    def write(self, evaluation: Evaluation) -> None:
        row = evaluation._asdict() | {"answers": [asdict(answer) for answer in evaluation.answers]}
        with atomic_write(self.path(evaluation.iteration)) as file:
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))

    def read(self, iteration: int) -> Evaluation | None:
        """A look; None where there is none."""
        try:
            row = json.loads(self.path(iteration).read_bytes())
        except FileNotFoundError:
            return None
        answers = [
            Answer(**{**one, "prompt": tuple(one["prompt"]), "ids": tuple(one["ids"])}) for one in row["answers"]
        ]
        return Evaluation(row["iteration"], row["figures"], answers)

    def history(self, last: int) -> list[Evaluation]:
        """The looks up to an iteration, in their order; a run that was killed may have left later ones."""
        if not self._folder.is_dir():
            return []
        numbers = sorted(int(path.stem.removeprefix("iteration-")) for path in self._folder.glob("iteration-*.json"))
        return [found for n in numbers if n <= last and (found := self.read(n)) is not None]
