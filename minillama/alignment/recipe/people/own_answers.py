"""Answers of the model itself to helpful prompts, the ones that the helpfulness model likes best: what is replayed.

A stage forgets what its data has not. People's own answers in the pairs would teach another model's voice, so that what
is kept is what the model said before anything was learned: of some answers to a prompt the best one that ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...conversations import Example
from ...models import ChatModel
from ..pipeline import Context
from ..steps.kept import KEPT, Kept, alike, read_kept, replayed, write_kept
from ..steps.shared import answers_to, chat_model, scorer, settings_of
from .pairs import KINDS, people_requests

OWN_ANSWERS = "own-answers"
"""The step."""


def own_answers(context: Context, first: str, helpful: str) -> Mapping[str, Any]:
    """kept.jsonl has the answers.

    Parameters
    ----------
    first, helpful : str
        The steps of the model that answers, and of the helpfulness model.
    """
    given = settings_of(context).verified
    prompts = people_requests(context, "own answers", given.requests, {KINDS["helpful"]: 1})

    def write(path: Path) -> None:
        model = chat_model(context, first)
        found = answers_to(context, model, prompts, "own answers", k=given.samples, temperature=given.temperature)
        scores = scorer(context, helpful).scores([(*one.prompt, *one.ids) for some in found for one in some])
        kept = []
        for prompt, some, of_some in zip(prompts, found, scores.reshape(len(prompts), -1)):
            order = [i for i in np.argsort(-of_some, kind="stable").tolist() if some[i].ended and some[i].text]
            kept += [Kept(prompt, some[i].text) for i in order[:1]]
        write_kept(path, kept)

    context.once(KEPT, write)
    return {"prompts": len(prompts), "kept": len(read_kept(context.folder))}


def replay_pool(
    context: Context, model: ChatModel, safe: str | None = None, own: Sequence[Kept] | None = None
) -> dict[str, list[Example]]:
    """Examples to replay, by kind: "helpful", and "adversarial" where a step `safe` kept safe answers; or `own`."""
    pool = replayed(read_kept(context.of(OWN_ANSWERS)) if own is None else own, partial(alike, model))
    return pool if safe is None else pool | replayed(read_kept(context.of(safe)), partial(alike, model))
