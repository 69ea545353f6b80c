"""What most steps begin with: models of earlier steps, requests that no other step has drawn, examples, fine-tuning."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ....checkpoints.hub import DownloadError, DownloadProgress, resolve
from ....tokenizers import save_tokenizer
from ....training.checkpoint import write_model
from ....training.metrics import read_metrics
from ....trees import map_named, named_leaves
from ...ghost_attention import with_larger_theta
from ...models import ChatModel, Prompt
from ...reward import Scorer, read_scorer
from ...rollouts import Answer, sample_answers
from ...story_world import BaseFluency, draw_requests, read_stories
from ..pipeline import TRAINING, Context
from ..settings import RecipeSettings

BASE, BASE_MODEL = "stories", "base"
"""The step that keeps the base model, and its folder there."""
OWN = "own"
"""The chat format that the base model brings."""


def verified_steps(settings: RecipeSettings) -> list[str]:
    """The steps of the rounds on verified answers; the model of the last one is what alignment starts from."""
    return ["verified", *(f"verified-{number}" for number in range(2, settings.verified.rounds + 1))]


def chat_model(context: Context, step: str, name: str = "model") -> ChatModel:
    """The model that an earlier step left behind."""
    recipe = settings_of(context).recipe
    return ChatModel.load(context.made(step, name), template_of(context), max_seq_len=recipe.context)


def fetch_base(settings: RecipeSettings, progress: DownloadProgress, check: Callable[[], object]) -> None:
    """Have the base model on this machine; before a download, of which `progress` is told, `check()` is called."""
    try:
        resolve(settings.recipe.model, offline=True)
    except DownloadError:
        check()
        resolve(settings.recipe.model, progress=progress)


def check_sources(settings: RecipeSettings) -> None:
    """Open what the first step reads: ValueError where there is no such model, chat format or file of stories."""
    recipe = settings.recipe
    ChatModel.load(recipe.model, _template(recipe.chat))
    if recipe.text:
        read_stories(recipe.text)


def template_of(context: Context) -> str | None:
    """The chat format by its name; None for the one that the tokenizer brings."""
    return _template(settings_of(context).recipe.chat)


def _template(name: str) -> str | None:
    return None if name == OWN else name


def base_model(context: Context, max_seq_len: int | None = None) -> ChatModel:
    """The base model, with its own context or a longer one: then with a larger rope_theta, which such texts need."""
    model = ChatModel.load(context.made(BASE, BASE_MODEL), template_of(context))
    if max_seq_len is None or max_seq_len <= model.config.max_seq_len:
        return model
    return with_larger_theta(model, max_seq_len)


def scorer(context: Context, step: str) -> Scorer:
    """The reward model that an earlier step left behind."""
    model = ChatModel.load(context.made(step, "model"), template_of(context))
    found = read_scorer(context.of(step) / "model", model.config, tokenizer=model.tokenizer, chat=model.chat)
    return replace(found, threads=context.threads)


def scorers(context: Context, *steps: str) -> list[Scorer]:
    """Several reward models; layers that none of them has changed are in memory once."""
    first, *others = [scorer(context, step) for step in steps]
    known = dict(named_leaves(first.model))

    def kept(name: str, array: Any) -> Any:
        return known[name] if np.array_equal(known[name], array) else array

    return [first, *(replace(one, model=map_named(kept, one.model)) for one in others)]


def base_fluency(context: Context) -> BaseFluency:
    """How well a text reads to the base model."""
    model = base_model(context)
    return BaseFluency(model.params, model.config, model.tokenizer)


def keep_model(model: ChatModel, folder: Path) -> None:
    """Write a model as a folder that opens everywhere."""
    folder.mkdir()
    write_model(folder, model.config, model.params)
    save_tokenizer(model.tokenizer, folder)


def unchanged(context: Context, model: ChatModel, why: str) -> None:
    """Keep a model as it is, where there is nothing that it could learn; and say so."""
    context.note(f"{why}: nothing is learned in this step")
    context.once("model", lambda folder: keep_model(model, folder))


def settings_of(context: Context) -> RecipeSettings:
    """The settings, by their type."""
    settings = context.settings
    assert isinstance(settings, RecipeSettings)
    return settings


def seed_for(context: Context, what: str) -> int:
    """A seed of a step's own: of the run's seed and a name."""
    return (settings_of(context).recipe.seed << 20) ^ (zlib.crc32(what.encode()) & 0xFFFFF)


def prompts_for(
    context: Context, what: str, n: int, mix: Mapping[str, float] | None = None, split: str = "train"
) -> list[Prompt]:
    """`n` requests as prompts, drawn by a seed of `what`; mostly others than other steps have."""
    return [request.prompt() for request in draw_requests(split, n, seed_for(context, what), mix)]


def answers_to(
    context: Context,
    model: ChatModel,
    prompts: Sequence[Prompt],
    what: str,
    *,
    k: int = 1,
    temperature: float = 0.7,
    kept_as: str = "",
) -> list[list[Answer]]:
    """Sampled answers, with the step's progress; they are kept as they come."""
    return sample_answers(
        model,
        prompts,
        k=k,
        temperature=temperature,
        seed=seed_for(context, what),
        max_tokens=settings_of(context).recipe.max_tokens,
        progress=context.counting(f"answers ({what})"),
        journal=context.file(f"{kept_as or what}.answers.jsonl"),
    )


def last_row(context: Context, *columns: str, training: str = TRAINING) -> dict[str, float]:
    """What the last row of the step's training says."""
    row = read_metrics(context.file(training))[-1]
    return {name: row[name] for name in columns if row.get(name) is not None}
