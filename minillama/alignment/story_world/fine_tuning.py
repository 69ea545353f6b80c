"""Supervised fine-tuning in the story world: what is shown when, and a round of the model's own verified answers.

    share of dense demonstrations    0.5 -> 0.15 over the run           short answers in which nearly every word is asked for
    loss on first uses               x 4 -> x 8 over its first half     copying has to be forced
    loss on later uses               x 0                                else every use becomes likelier, and words repeat
    long dialogues                   0 -> a fifth of the tokens         in the second half, up to the whole context
    learning rate                    warm-up, then a cosine to 0        (sft.py)

Weighting first uses by w multiplies the odds of a requested word by w wherever a story could use it, after it was used
as well: the price of copying was that four of ten words came more than twice. Later uses that teach nothing take that
back.

The verified round samples K answers to each of some training requests; of those that have all that was asked for, and
no word more than twice, one of each request is learned, mixed with fresh demonstrations.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...training.trainer import Observer, Outcome
from ..conversations import Conversation, Example
from ..example_sources import Drawn
from ..models import ChatModel
from ..rollouts import sample_answers
from ..sft import STORY, FineTuningSettings, fine_tune
from .checks import check
from .demonstrations import Demonstrations
from .drawing import EVERYTHING, draw_requests
from .emphasis import Demonstration, demonstration_of, example_of
from .requests import Request
from .rules import judge_rules

_POOL = 32  # steps for which demonstrations are drawn at once
_MOST_TURNS = 20


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """What is shown when; of two numbers the first holds at the beginning.

    Attributes
    ----------
    steps : int
    settings : FineTuningSettings
        Of the trainer; `tokens` is the size of a step.
    dense : (float, float)
        Share of dense demonstrations, from the first step to the last.
    word_weight : (float, float)
        Of first uses and events, from the first step to the middle; then it stays.
    later_weight : float
        Of later uses of a requested word.
    start_weight : float
        Of the first token after the end of a sentence, and of the answer's end.
    long : float
        Share of the tokens in long dialogues in the second half of the run.
    seed : int
    """

    steps: int = 4000
    settings: FineTuningSettings = replace(STORY, peak=1.2e-3)
    dense: tuple[float, float] = (0.5, 0.15)
    word_weight: tuple[float, float] = (4.0, 8.0)
    later_weight: float = 0.0
    start_weight: float = 2.5
    long: float = 0.2
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class VerifiedRound:
    """A round of the model's own answers.

    Attributes
    ----------
    requests : int
        Of the training split.
    k, temperature
        Answers to each, and how they are drawn.
    own : float
        Share of the tokens that are kept answers; the others are fresh demonstrations.
    passes : float
        How often each kept answer is seen.
    word_weight : float
        Of first uses and events, in kept answers and fresh demonstrations.
    peak : float
        The learning rate, which falls to 0.
    """

    requests: int = 2000
    k: int = 6
    temperature: float = 0.8
    own: float = 0.7
    passes: float = 2.0
    word_weight: float = 4.0
    peak: float = 3e-4
    seed: int = 0


# --- the curriculum -----------------------------------------------------------------------


def curriculum_source(demonstrations: Demonstrations, model: ChatModel, plan: Curriculum) -> Drawn:
    """What every step of the curriculum learns from."""
    tokens = plan.settings.tokens or STORY.tokens or 0

    def draw(pool: int) -> list[Example]:
        passed = min(1.0, pool * _POOL / plan.steps)
        n_long = plan.long * tokens * _POOL if passed >= 0.5 else 0.0
        dense = _between(plan.dense, passed)
        weights = _between(plan.word_weight, min(1.0, 2 * passed)), plan.later_weight, plan.start_weight
        examples: list[Example] = []
        singles: list[Example] = []
        taken = index = 0
        while taken < tokens * _POOL:
            shown = demonstrations.draw(pool, index, dense=dense)
            index += 1
            example = weighted(shown, model, *weights)
            taken += len(example.ids)
            if n_long > 0 and shown.dialogue[0]["role"] != "system":
                n_long -= len(example.ids)
                singles.append(example)
            else:
                examples.append(example)
        return examples + long_dialogues(singles, model.config.max_seq_len)

    return Drawn(draw, steps=_POOL, seed=plan.seed)


def _between(ends: tuple[float, float], passed: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * passed


def long_dialogues(examples: Sequence[Example], length: int) -> list[Example]:
    """Conversations without system messages one after the other, as one of up to twenty turns that fits."""
    found: list[list[Example]] = []
    size = 0
    for example in examples:
        if not found or size + len(example.ids) > length or len(found[-1]) == _MOST_TURNS:
            found.append([])
            size = 0
        found[-1].append(example)
        size += len(example.ids)
    return [Example(*(np.concatenate(arrays) for arrays in zip(*some))) for some in found]


def weighted(
    shown: Demonstration, model: ChatModel, word_weight: float, later_weight: float, start_weight: float
) -> Example:
    """A demonstration with the weights of emphasis.py."""
    return example_of(
        shown, model, word_weight=word_weight, start_weight=start_weight, later_weight=later_weight
    )


def fine_tune_on_stories(
    base: ChatModel,
    demonstrations: Demonstrations,
    folder: str | os.PathLike[str],
    observer: Observer,
    plan: Curriculum | None = None,
    *,
    stop: Callable[[], bool] = lambda: False,
    threads: int | None = None,
) -> Outcome:
    """The curriculum as a run, from the beginning or from where it was stopped."""
    plan = Curriculum() if plan is None else plan
    source = curriculum_source(demonstrations, base, plan)
    settings = replace(plan.settings, seed=plan.seed)
    return fine_tune(base, source, folder, observer, settings, steps=plan.steps, stop=stop, threads=threads)


# --- a round of the model's own answers ---------------------------------------------------


def verified_answers(
    model: ChatModel, plan: VerifiedRound, progress: Callable[[int, int], None] | None = None
) -> list[Demonstration]:
    """For each of some training requests one of the model's answers that have all that was asked for."""
    mix = {kind: share for kind, share in EVERYTHING.items() if kind not in ("adversarial", "follow-up")}
    requests = draw_requests("train", plan.requests, plan.seed, mix)
    prompts = [request.prompt() for request in requests]
    answers = sample_answers(
        model, prompts, k=plan.k, temperature=plan.temperature, seed=plan.seed, progress=progress
    )
    rules = judge_rules()
    kept = []
    for request, some in zip(requests, answers):
        found = [(check(request, answer.text, rules, ended=answer.ended), answer.text) for answer in some]
        good = [
            (checks.repetition, text)
            for checks, text in found
            if checks.all_kept and checks.is_safe and not checks.words_over and not checks.opener
        ]
        if good:
            kept.append(demonstration_of(request, min(good)[1]))
    return kept


def round_source(
    kept: Sequence[Demonstration], demonstrations: Demonstrations, model: ChatModel, plan: VerifiedRound, tokens: int
) -> tuple[Drawn, int]:
    """What the steps of a verified round learn from, and how many steps it takes."""
    weights = plan.word_weight, 0.0, Curriculum().start_weight
    own = [weighted(shown, model, *weights) for shown in kept]
    if not own:
        raise ValueError("no answer of the model has all that was asked for: fine-tune it for longer first")
    n_own = sum(len(example.ids) for example in own)
    steps = max(1, round(plan.passes * n_own / plan.own / tokens))
    pool_steps = min(_POOL, steps)

    def draw(pool: int) -> list[Example]:
        budget, examples, index = tokens * pool_steps, list[Example](), 0
        rng = np.random.default_rng([plan.seed, pool])
        order = np.concatenate([rng.permutation(len(own)) for _ in range(1 + int(budget * plan.own / n_own))])
        taken = 0
        for i in order:
            if taken >= budget * plan.own:
                break
            examples.append(own[i])
            taken += len(own[i].ids)
        while taken < budget:
            examples.append(weighted(demonstrations.draw(10_000 + pool, index), model, *weights))
            taken += len(examples[-1].ids)
            index += 1
        return examples

    return Drawn(draw, steps=pool_steps, seed=plan.seed), steps
