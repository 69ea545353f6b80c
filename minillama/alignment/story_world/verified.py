"""A round of the model's own answers that a program has verified.

    K answers to each of some training requests -> one of those that have all that was asked for, if any -> learned

No requested word comes more than twice in what is kept, nobody is hurt, and nothing is refused. Of several such answers
the one that reads best is taken, where every further use of a requested word counts against it: to repeat is the price
of forcing first uses. Demonstrations are put together from parts, and read worse than what a model writes in one go.
The kept answers are mixed with fresh demonstrations, without which the model forgets what no kept answer has.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...training.trainer import Observer, Outcome
from ..conversations import Example
from ..example_sources import Drawn
from ..models import ChatModel, Prompt
from ..rollouts import sample_answers
from ..sft import STORY, fine_tune
from .checks import check
from .demonstrations import Demonstrations
from .drawing import EVERYTHING, draw_requests
from .emphasis import Demonstration, demonstration_of, later_uses
from .fine_tuning import Curriculum, Progress, weighted, write_json
from .judge import Fluency
from .requests import Request
from .rules import annotator_rules
from .sentences import repetition

_POOL = 32  # steps for which examples are drawn at once
_MOST_OFTEN = 4.0
_AGAIN = 0.2  # nats a token that a further use of a requested word costs
_FRESH = 10_000  # passes of the demonstrations that are drawn here: no curriculum comes so far

VERIFIED_MIX = {kind: share for kind, share in EVERYTHING.items() if kind != "adversarial"}
"""What a verified round asks for: what a program can check, and nobody is hurt in."""


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
    dense : float
        Share of dense ones among the fresh.
    max_tokens : int
        Of an answer.
    tokens : int
        In a step.
    passes : float
        How often each kept answer is seen.
    word_weight, name_weight : float
        Of first uses and events, and of names, in kept answers and fresh demonstrations.
    peak : float
        The learning rate, which falls to 0.
    """

    requests: int = 1500
    k: int = 6
    temperature: float = 0.8
    own: float = 0.7
    dense: float = 0.15
    max_tokens: int = 160
    tokens: int = 2048
    passes: float = 2.0
    word_weight: float = 8.0
    name_weight: float = 4.0
    peak: float = 5e-4
    seed: int = 0


def verified_round(
    model: ChatModel,
    demonstrations: Demonstrations,
    folder: str | os.PathLike[str],
    observer: Observer,
    plan: VerifiedRound | None = None,
    *,
    fluency: Fluency | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    threads: int | None = None,
) -> Outcome:
    """Sample (FOLDER/answers.jsonl), verify (answers.json) and learn (FOLDER/run), each from where it was stopped.

    Parameters
    ----------
    model : ChatModel
        Fine-tuned on demonstrations; not changed.
    demonstrations : Demonstrations
        What the kept answers are mixed with.
    folder : path-like
    observer : Observer
    plan : VerifiedRound, optional
    fluency : callable, optional
        Texts -> nats a token; `BaseFluency` of the pretrained model.
    progress : callable, optional
        Told (answers done, answers in all) while the model samples.
    """
    plan, folder = VerifiedRound() if plan is None else plan, Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "answers.json"
    if not path.exists():
        kept = verified_answers(model, plan, progress, fluency=fluency, journal=folder / "answers.jsonl")
        write_json(path, [{"request": request_as_json(shown.request), "answer": shown.answer} for shown in kept])
    kept = [demonstration_of(request_of(row["request"]), row["answer"]) for row in json.loads(path.read_text())]
    source, steps = round_source(kept, demonstrations, model, plan)
    settings = replace(STORY, peak=plan.peak, tokens=plan.tokens, seed=plan.seed)
    return fine_tune(model, source, folder / "run", observer, settings, steps=steps, stop=stop, threads=threads)


def verified_answers(
    model: ChatModel,
    plan: VerifiedRound,
    progress: Progress | None = None,
    *,
    fluency: Fluency | None = None,
    journal: Path | None = None,
) -> list[Demonstration]:
    """For each of some training requests the best of the model's answers that have all that was asked for.

    The best is the most fluent, or without a `fluency` the one that repeats itself least; a further use of a requested
    word costs 0.2. With a journal, answers are
    kept as they come, and not drawn again after a kill.
    """
    quality = fluency or (lambda texts: [-repetition(text) for text in texts])
    requests = draw_requests("train", plan.requests, plan.seed, VERIFIED_MIX)
    prompts = [request.prompt() for request in requests]
    answers = sample_answers(
        model, prompts, k=plan.k, temperature=plan.temperature, seed=plan.seed, max_tokens=plan.max_tokens,
        progress=progress, journal=journal,
    )  # fmt: skip
    good = [
        [answer.text for answer in some if is_right(request, answer.text, ended=answer.ended)]
        for request, some in zip(requests, answers)
    ]
    texts = [text for some in good for text in some]
    values = dict(zip(texts, quality(texts)))
    value = lambda request, text: values[text] - _AGAIN * len(later_uses(request, text))  # noqa: E731
    best = [(request, max(some, key=partial(value, request))) for request, some in zip(requests, good) if some]
    return [demonstration_of(request, text) for request, text in best]


def is_right(request: Request, text: str, *, ended: bool) -> bool:
    """Whether a program finds in an answer all that was asked for, and nothing that it should not have.

    No requested word comes more than twice, nobody is hurt, and nothing is refused; but what asks for harm is to be
    turned to kindness.
    """
    found = check(request, text, annotator_rules(), ended=ended)
    if request.kind == "adversarial":
        return found.ended and found.kind_turn
    return found.all_kept and found.is_safe and not found.words_over and not found.opener


def request_as_json(request: Request | None) -> dict[str, Any]:
    """Dialogue and facts of a request."""
    assert request is not None
    return {"dialogue": [dict(message) for message in request.dialogue], "facts": request.facts()}


def request_of(row: dict[str, Any]) -> Request:
    """What `request_as_json` wrote."""
    return Request.of(Prompt("", tuple(row["dialogue"]), facts=row["facts"]))


def round_source(
    kept: Sequence[Demonstration], demonstrations: Demonstrations, model: ChatModel, plan: VerifiedRound
) -> tuple[Drawn, int]:
    """What the steps of a verified round learn from, and how many steps it takes."""
    weights = plan.word_weight, 0.0, Curriculum().start_weight, plan.name_weight
    own = [weighted(shown, model, *weights) for shown in kept]
    if not own:
        raise ValueError("no answer of the model has all that was asked for: fine-tune it for longer first")
    n_own, shares = sum(len(example.ids) for example in own), balanced(kept, plan)
    steps = max(1, round(plan.passes * n_own / plan.own / plan.tokens))
    pool_steps = min(_POOL, steps)

    def draw(pool: int) -> list[Example]:
        budget, examples, taken = plan.tokens * pool_steps, list[Example](), 0
        chances = np.random.default_rng([plan.seed, pool]).random(len(own)) ** (1 / shares)
        order = np.argsort(-chances)  # drawn without return, by shares (Efraimidis & Spirakis 2006)
        while taken < budget * plan.own:
            examples.append(own[order[len(examples) % len(own)]])
            taken += len(examples[-1].ids)
        while taken < budget:
            shown = demonstrations.draw(_FRESH + pool, len(examples), dense=plan.dense)
            examples.append(weighted(shown, model, *weights))
            taken += len(examples[-1].ids)
        return examples

    return Drawn(draw, steps=pool_steps, seed=plan.seed), steps


def balanced(kept: Sequence[Demonstration], plan: VerifiedRound) -> np.ndarray:
    """How often each kept answer should come, so that what is hard to answer is as frequent as it was asked for.

    An answer without requested words is verified more easily than one with two. A group of as many words, with or
    without a count, comes as often as among the requests, but no answer more than four times as often as another.
    """
    group = lambda request: (request.kind, len(request.words), request.count is not None)  # noqa: E731
    asked = Counter(group(request) for request in draw_requests("train", plan.requests, plan.seed, VERIFIED_MIX))
    found = Counter(group(shown.request) for shown in kept)
    shares = np.array([max(1, asked[group(shown.request)]) / found[group(shown.request)] for shown in kept])
    return np.minimum(shares / shares.min(), _MOST_OFTEN)
