"""Context distillation (LLaMA 2 section 4.2.4): what a pre-prompt makes of an answer is learned without the pre-prompt.

    y   ~ p(. | x)          the model's own answer
    y'  ~ p(. | c, x)       behind a pre-prompt c: "You are a responsible and respectful assistant."
    learned:  x -> y'       where  r_s(x, y') > r_s(x, y)

The safety model reads both answers after x alone, as they would stand in a conversation. The paper does this for
adversarial prompts only, since a pre-prompt makes answers to harmless ones vague and refuses some of them (keeping.py
has the variants that show it), and keeps an answer only where the safety model prefers it (figure 16).

An answer that ran into the limit of tokens is not kept: what would be learned of it has no end. Where several
pre-prompts are tried on a prompt, the answer that the safety model likes best stands for them (a choice; the paper
does not say).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...files.atomic import atomic_write
from ..models import ChatModel, Prompt
from ..rollouts import Answer, sample_answers
from .preprompts import Draw, behind, drawn_from
from .scoring import ScoresRows, p_safe

ANSWERS_NAME, ROWS_NAME = "answers.jsonl", "distilled.jsonl"


@dataclass(frozen=True)
class DistillationSettings:
    """How answers are sampled.

    Attributes
    ----------
    per_prompt : int
        Pre-prompts tried for each prompt.
    temperature, top_p : float
    max_tokens : int
        Of an answer.
    max_rows : int
        Answers under way at once.
    seed : int
    """

    per_prompt: int = 1
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 160
    max_rows: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Distilled:
    """A prompt with both answers and what the safety model says of them.

    Attributes
    ----------
    prompt : Prompt
    preprompt : str
        That stood before the distilled answer.
    own, distilled : str
        Answers without and behind it.
    own_safe, distilled_safe : float
        Their probabilities of being safe, both read without the pre-prompt.
    ended : bool
        Whether the model ended the distilled answer.
    prompt_ids, ids : tuple of int
        The prompt without the pre-prompt, and the distilled answer with its end.
    """

    prompt: Prompt
    preprompt: str
    own: str
    distilled: str
    own_safe: float
    distilled_safe: float
    ended: bool
    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]

    @property
    def is_preferred(self) -> bool:
        """The safety model prefers the distilled answer, and it has an end."""
        return self.ended and self.distilled_safe > self.own_safe


def distil(
    model: ChatModel,
    prompts: Sequence[Prompt],
    preprompts: Sequence[str] | Draw,
    safety: ScoresRows,
    settings: DistillationSettings | None = None,
    *,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Distilled]:
    """Sample every prompt with and without a pre-prompt, and score both.

    Parameters
    ----------
    model : ChatModel
    prompts : sequence of Prompt
        Adversarial ones; harmless ones too where the variants of keeping.py are compared.
    preprompts : sequence of str, or callable
        What is drawn from; a callable gives the pre-prompt of a prompt (`preprompts.targeted`).
    safety : ScoresRows
        The safety model; its tokenizer is the chat model's.
    settings : DistillationSettings, optional
    folder : Path, optional
        Where answers are kept as they come, so that the same call goes on after a kill, and `distilled.jsonl` in the
        end: prompts, pre-prompts, answers and scores.
    progress : callable, optional
        Told (answers done, answers in all).

    Returns
    -------
    list of Distilled
        In the order of the prompts.
    """
    chosen = settings or DistillationSettings()
    draw = preprompts if callable(preprompts) else drawn_from(preprompts)
    asked = [_asked(prompt, draw, number, chosen) for number, prompt in enumerate(prompts)]
    flat = [*prompts, *(one for tries in asked for one, _ in tries)]
    answers = [of_one[0] for of_one in _sampled(model, flat, chosen, folder, progress)]
    plain = [tuple(model.encode(prompt.dialogue)) for prompt in prompts]
    owners = [*range(len(prompts)), *(n for n, tries in enumerate(asked) for _ in tries)]
    safe = p_safe(safety, [[*plain[n], *answer.ids] for n, answer in zip(owners, answers)])
    rows = []
    for n, prompt in enumerate(prompts):
        first = len(prompts) + n * chosen.per_prompt
        best = first + int(np.argmax(safe[first : first + chosen.per_prompt]))
        own, found = answers[n], answers[best]
        preprompt = asked[n][best - first][1]
        scores = float(safe[n]), float(safe[best])
        rows.append(Distilled(prompt, preprompt, own.text, found.text, *scores, found.ended, plain[n], found.ids))
    if folder is not None:
        write_rows(folder / ROWS_NAME, rows)
    return rows


def _asked(prompt: Prompt, draw: Draw, number: int, settings: DistillationSettings) -> list[tuple[Prompt, str]]:
    """The prompt behind each pre-prompt that is tried."""
    rng = np.random.default_rng([settings.seed, number])
    texts = [draw(prompt, rng) for _ in range(settings.per_prompt)]
    return [(behind(prompt, text, k), text) for k, text in enumerate(texts)]


def _sampled(
    model: ChatModel,
    prompts: Sequence[Prompt],
    settings: DistillationSettings,
    folder: Path | None,
    progress: Callable[[int, int], None] | None,
) -> list[list[Answer]]:
    options: dict[str, Any] = asdict(settings)
    del options["per_prompt"]
    journal = None if folder is None else folder / ANSWERS_NAME
    return sample_answers(model, prompts, progress=progress, journal=journal, **options)


def write_rows(path: Path, rows: Sequence[Distilled]) -> None:
    """A line of JSON for every prompt, ids left out: what was made of what, for people and for tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        for row in rows:
            fields = {name: value for name, value in vars(row).items() if name not in ("prompt", "prompt_ids", "ids")}
            told = {"prompt_id": row.prompt.id, "kind": row.prompt.kind, "dialogue": list(row.prompt.dialogue)}
            line = json.dumps({**told, **fields, "preferred": row.is_preferred}, ensure_ascii=False)
            file.write(line.encode("utf-8", "surrogatepass") + b"\n")
