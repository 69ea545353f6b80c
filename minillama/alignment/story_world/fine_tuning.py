"""Supervised fine-tuning in the story world: what is shown when.

    dense demonstrations    0.5 -> 0.15 over the run         short answers, nearly every word of which is asked for
    loss on first uses      x 4 -> x 8 in the first half     copying has to be forced
    loss on later uses      x 0                              else every use becomes likelier, and words repeat
    long dialogues          0, then a fifth of the tokens    in the second half, up to the whole context
    learning rate           warm-up, then a cosine to 0      (sft.py)

Weighting first uses by w multiplies the odds of a requested word by w wherever a story could use it, after it was used
as well: the price of copying was that four of ten words came more than twice. Later uses that teach nothing take that
back.

Demonstrations are put together from samples of the base model (sources.py), so that nothing but it is needed. A round
of the model's own answers follows (verified.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...files.atomic import atomic_write
from ...training.trainer import Observer, Outcome
from ..conversations import Example
from ..example_sources import Drawn
from ..models import ChatModel
from ..sft import STORY, FineTuningSettings, fine_tune
from .demonstrations import Demonstrations
from .emphasis import Demonstration, example_of
from .sources import cleaned, sampled_stories
from .stories import Story, parse_stories

Progress = Callable[[int, int], None]

_POOL = 32  # steps for which demonstrations are drawn at once
_SAMPLED = 500  # stories that are sampled and written at a time
_MOST_TURNS = 20


SETTINGS = replace(STORY, peak=1.2e-3, tokens=1536)


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
    name_weight : float
        Of the first uses of names, and of a persona's hobby and suffix: a rare name is many tokens.
    start_weight : float
        Of the first token after the end of a sentence, and of the answer's end.
    long : float
        Share of the tokens in long dialogues in the second half of the run.
    seed : int
    """

    steps: int = 4500
    settings: FineTuningSettings = SETTINGS
    dense: tuple[float, float] = (0.5, 0.15)
    word_weight: tuple[float, float] = (4.0, 8.0)
    later_weight: float = 0.0
    name_weight: float = 4.0
    start_weight: float = 2.5
    long: float = 0.2
    seed: int = 0


# --- the curriculum -----------------------------------------------------------------------


def curriculum_source(demonstrations: Demonstrations, model: ChatModel, plan: Curriculum) -> Drawn:
    """What every step of the curriculum learns from."""
    tokens = plan.settings.tokens or STORY.tokens or 0

    def draw(pool: int) -> list[Example]:
        passed = min(1.0, pool * _POOL / plan.steps)
        n_long = plan.long * tokens * _POOL if passed >= 0.5 else 0.0
        dense = _between(plan.dense, passed)
        weights = (
            _between(plan.word_weight, min(1.0, 2 * passed)),
            plan.later_weight,
            plan.start_weight,
            plan.name_weight,
        )
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
    shown: Demonstration,
    model: ChatModel,
    word_weight: float,
    later_weight: float,
    start_weight: float,
    name_weight: float,
) -> Example:
    """A demonstration with the weights of emphasis.py."""
    return example_of(
        shown,
        model,
        word_weight=word_weight,
        start_weight=start_weight,
        later_weight=later_weight,
        name_weight=name_weight,
    )


# --- stories ------------------------------------------------------------------------------


def base_stories(
    base: ChatModel,
    folder: Path,
    n: int = 4500,
    *,
    texts: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Story]:
    """Stories for demonstrations: `n` samples of the base model, as far as they can be used, and other texts.

    Parameters
    ----------
    base : ChatModel
        The pretrained model.
    folder : Path
        Keeps the samples, some hundreds in a file: what is there is not sampled again.
    texts : sequence of str
        More stories (`read_stories`).
    seed : int
    progress : callable, optional
        Told (stories done, stories in all).
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: list[str] = []
    for part in range(-(-n // _SAMPLED)):
        path, size = folder / f"stories-{seed}-{part:03d}.json", min(_SAMPLED, n - part * _SAMPLED)
        if not path.exists():
            told = None if progress is None else lambda done, _, begun=part * _SAMPLED: progress(begun + done, n)
            write_json(path, sampled_stories(base, size, seed=_SAMPLED * seed + part, progress=told))
        found += json.loads(path.read_text(encoding="utf-8"))[:size]
    return parse_stories([*cleaned(found), *texts])


def write_json(path: Path, value: Any) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(value, ensure_ascii=False).encode())


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
