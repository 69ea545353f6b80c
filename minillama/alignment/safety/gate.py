"""An extension: an answer that the safety model finds unsafe is not given.

    y ~ p(. | x)
    say y                    where sigma(r_s(x, y)) >= threshold
    say something kind       else: the model's answer behind a pre-prompt, if it passes; a given text otherwise

LLaMA 2 has no such gate. Its two thresholds stand in other places: 0.15 in the reward of PPO (section 3.2.3), 0.5
where the safety model's recall is measured (table 29). Nothing can be shown before the whole answer is there: a gate
and streaming exclude each other. Left out: asking again until an answer passes (best of n does that better).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...evaluation.common.dialogue import Scorer
from ..models import ChatModel, Prompt
from ..rollouts import Answer, sample_answers
from .outcomes import Judge, Outcome, StageRate, rates_of
from .preprompts import behind
from .scoring import ScoresRows, p_safe

REFUSAL = "I would rather not say that. May I tell you something kind instead?"
IN_PPO, UNSAFE = 0.15, 0.5
THRESHOLDS = (0.0, IN_PPO, UNSAFE)
"""0 lets everything pass."""


def checked_threshold(threshold: float) -> float:
    """A probability, at least which an answer must have."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"the gate's threshold is {threshold}; expected a probability from 0 to 1")
    return threshold


@dataclass(frozen=True)
class Gate:
    """Decides about whole answers, given as dialogues: what a command line needs.

    Attributes
    ----------
    scorer : Scorer
        `score(dialogue)` is the probability that the last answer is safe (`SafetyModel`).
    threshold : float
    refusal : str
    """

    scorer: Scorer
    threshold: float = IN_PPO
    refusal: str = REFUSAL

    def __post_init__(self) -> None:
        checked_threshold(self.threshold)

    def passed(self, messages: Sequence[Mapping[str, str]], answer: str) -> str:
        """The answer, or the refusal in its place."""
        score = self.scorer.score([*messages, {"role": "assistant", "content": answer}])
        return answer if score >= self.threshold else self.refusal


class Gated(NamedTuple):
    """What a gated model says.

    Attributes
    ----------
    answer : Answer
        What it would have said.
    p_safe : float
        Of that, by the safety model.
    text : str
        What it says.
    is_refused : bool
        The two are not the same answer.
    """

    answer: Answer
    p_safe: float
    text: str
    is_refused: bool


@dataclass(frozen=True)
class GatedChat:
    """A chat model behind the gate of a safety model that reads the same ids.

    Attributes
    ----------
    model : ChatModel
    safety : ScoresRows
    threshold : float
    refusal : str
        Said in place of an answer that does not pass.
    preprompt : str or None
        With one, the model is asked again behind it, and that is said in place of the refusal if it passes.
    """

    model: ChatModel
    safety: ScoresRows
    threshold: float = IN_PPO
    refusal: str = REFUSAL
    preprompt: str | None = None

    def __post_init__(self) -> None:
        checked_threshold(self.threshold)

    def answer(self, dialogue: Sequence[Mapping[str, str]], **sampling: Any) -> Gated:
        """One answer to a dialogue that ends with a user's message; options as in `answers`."""
        return self.answers([Prompt("gated", tuple(dialogue))], **sampling)[0][0]

    def answers(self, prompts: Sequence[Prompt], **sampling: Any) -> list[list[Gated]]:
        """Answers to every prompt, all sampled before any is judged; options as in `sample_answers`."""
        found = sample_answers(self.model, prompts, **sampling)
        plain = {prompt.id: self.model.encode(prompt.dialogue) for prompt in prompts}
        scores = self._scored(plain, [answer for of_one in found for answer in of_one])
        turns = self._kind_turns(prompts, plain, found, scores, sampling)
        left = iter(scores)
        return [[self._gated(answer, next(left), turns) for answer in of_one] for of_one in found]

    def _gated(self, answer: Answer, score: float, turns: Mapping[tuple[str, int], str]) -> Gated:
        if score >= self.threshold:
            return Gated(answer, score, answer.text, False)
        return Gated(answer, score, turns.get((answer.prompt_id, answer.k), self.refusal), True)

    def _scored(self, plain: Mapping[str, Sequence[int]], answers: Sequence[Answer]) -> list[float]:
        rows = [[*plain[answer.prompt_id], *answer.ids] for answer in answers]
        return p_safe(self.safety, rows).tolist()

    def _kind_turns(
        self,
        prompts: Sequence[Prompt],
        plain: Mapping[str, Sequence[int]],
        found: Sequence[Sequence[Answer]],
        scores: Sequence[float],
        sampling: Mapping[str, Any],
    ) -> dict[tuple[str, int], str]:
        """What the model says behind the pre-prompt where its answer did not pass, if that does."""
        flat = [answer for of_one in found for answer in of_one]
        failed = {(answer.prompt_id, answer.k) for answer, score in zip(flat, scores) if score < self.threshold}
        if self.preprompt is None or not failed:
            return {}
        missing = {prompt_id for prompt_id, _ in failed}
        again = [prompt for prompt in prompts if prompt.id in missing]
        asked = [behind(prompt, self.preprompt) for prompt in again]
        options = dict(sampling)
        if journal := options.pop("journal", None):
            options["journal"] = f"{journal}-again"
        turns = sample_answers(self.model, asked, **options)
        keys = [(prompt.id, answer.k) for prompt, of_one in zip(again, turns) for answer in of_one]
        said = [answer for of_one in turns for answer in of_one]
        safe = p_safe(self.safety, [[*plain[key[0]], *answer.ids] for key, answer in zip(keys, said)])
        return {
            key: answer.text
            for key, answer, score in zip(keys, said, safe)
            if key in failed and answer.ended and score >= self.threshold
        }


class GatePoint(NamedTuple):
    """A threshold with its rates.

    Attributes
    ----------
    threshold : float
    refused : float
        Share of all answers that do not pass.
    rates : list of StageRate
        As `outcomes.stage_rates` has them; the first threshold is what the others are compared with.
    """

    threshold: float
    refused: float
    rates: list[StageRate]

    def share(self, measure: str, group: str) -> float:
        """A rate by its name; NaN where there is none."""
        return next((row.share for row in self.rates if (row.measure, row.group) == (measure, group)), float("nan"))


def gate_curve(
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[Answer]],
    scores: npt.ArrayLike,
    judge: Judge,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    refusal: str = REFUSAL,
) -> list[GatePoint]:
    """Rates at every threshold, of answers that were sampled and scored once.

    Parameters
    ----------
    prompts, answers
        As for `stage_rates`.
    scores : array (number of answers,)
        p(safe) of the answers one after the other.
    judge : callable
    thresholds : sequence of float
    refusal : str
        Judged like any other answer: it tells nothing of what was asked for.
    """
    values = np.asarray(scores, dtype=np.float64)
    own = [[judge(prompt, answer.text) for answer in of_one] for prompt, of_one in zip(prompts, answers, strict=True)]
    refused = [judge(prompt, refusal) for prompt in prompts]
    if len(values) != sum(map(len, own)):
        raise ValueError(f"expected a score for each of {sum(map(len, own))} answers, found {len(values)}")
    seen: dict[str, list[list[Outcome]]] = {}
    for threshold in thresholds:
        left = iter(values >= checked_threshold(threshold))
        seen[f"{threshold:g}"] = [
            [outcome if next(left) else instead for outcome in outcomes] for outcomes, instead in zip(own, refused)
        ]
    rows = rates_of(prompts, seen)
    return [
        GatePoint(
            threshold,
            float((values < threshold).mean()) if len(values) else float("nan"),
            [row for row in rows if row.stage == f"{threshold:g}"],
        )
        for threshold in thresholds
    ]
