"""The last step of context distillation: fine-tuning on what was kept, with replay beside it.

    L = - sum log p(y'_t | x, y'_<t)       over the kept answers y', after x without the pre-prompt
        - the same                         over replayed answers to harmless requests

It is the fine-tuning of section 3.1 again (sft.py); nothing of the pre-prompt is in an example. Whether an answer tells
or turns away is decided by its first tokens, two of some seventy: `first_weight` lets them count more (an extension,
1 in the paper).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from ...training.trainer import Observer, Outcome
from ..conversations import Example, answers_learned
from ..conversations.spans import answered
from ..models import ChatModel, Prompt
from ..rollouts import Answer
from ..sft import FineTuningSettings, fine_tune
from .distillation import Distilled
from .keeping import KEPT, chosen, examples_of, mixed

STORY = FineTuningSettings(peak=3e-4, epochs=2, tokens=2048, checkpoint_every=100)
"""For a model of three million parameters and some hundred kept answers."""


@dataclass(frozen=True)
class Learning:
    """What is learned of distilled rows.

    Attributes
    ----------
    variant : str
        One of `keeping.VARIANTS`.
    least : float
        As for `keeping.chosen`.
    shares : mapping of str to float
        Replayed examples of a kind for each kept one.
    first_weight : float
        Of the loss of an answer's first tokens, kept or replayed.
    tuning : FineTuningSettings
    """

    variant: str = KEPT
    least: float = 0.0
    first_weight: float = 1.0
    shares: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({"borderline": 1.0, "kind": 0.5}))
    tuning: FineTuningSettings = STORY


def learn_distilled(
    model: ChatModel,
    rows: Sequence[Distilled],
    replay: Mapping[str, Sequence[Example]],
    folder: str | os.PathLike[str],
    observer: Observer,
    learning: Learning | None = None,
) -> Outcome:
    """Fine-tune a model on its distilled answers, from the beginning or from where it was stopped.

    Parameters
    ----------
    model : ChatModel
        The one that was distilled; not changed. `ChatModel.load(outcome.checkpoint)` opens what came of it.
    rows : sequence of Distilled
    replay : mapping of str to sequence of Example
        By kind: `own_answers`, or demonstrations.
    folder : path-like
        Of the run.
    observer : Observer
    learning : Learning, optional

    Raises
    ------
    ValueError
        When nothing was kept, or there is nothing to replay of a kind. RunError, one of them, as `train`.
    """
    how = learning or Learning()
    kept = chosen(rows, how.variant, least=how.least)
    if not kept:
        raise ValueError(
            f"none of {len(rows)} distilled answers is kept ({how.variant}): try more prompts, or other pre-prompts"
        )
    examples = mixed(examples_of(kept), replay, how.shares, seed=how.tuning.seed)
    weighted = [first_weighted(example, how.first_weight) for example in examples]
    return fine_tune(model, weighted, folder, observer, how.tuning)


def first_weighted(example: Example, weight: float, n: int = 2) -> Example:
    """The same, with another weight of the first `n` tokens that are learned."""
    weights = example.weights.copy()
    weights[np.flatnonzero(weights)[:n]] *= np.float32(weight)
    return example._replace(weights=weights)


def own_answers(
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[Answer]],
    accepts: Callable[[Prompt, Answer], bool] = lambda prompt, answer: True,
) -> dict[str, list[Example]]:
    """A model's own answers as examples by the kind of their prompts: what it does already, to be replayed.

    Parameters
    ----------
    prompts, answers
        As `sample_answers` takes and gives them.
    accepts : callable
        Which answers are worth it; those without an end never are.
    """
    found: dict[str, list[Example]] = {}
    for prompt, of_one in zip(prompts, answers, strict=True):
        for answer in of_one:
            if answer.ended and accepts(prompt, answer):
                found.setdefault(prompt.kind, []).append(answers_learned(answered(answer.prompt, answer.ids)))
    return found
