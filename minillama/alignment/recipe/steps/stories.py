"""Stories to make demonstrations of: the base model's own, which need nothing but what ships, and those of a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...models import ChatModel
from ...story_world import Demonstrations, DemonstrationSettings, Story, read_stories
from ...story_world.fine_tuning import base_stories
from ..pipeline import Context
from .shared import BASE, BASE_MODEL, base_model, keep_model, settings_of, template_of

SAMPLES, TEXTS = "samples", "texts.json"


def stories(context: Context) -> Mapping[str, Any]:
    """base/ is the base model, samples/ what it told; texts.json has the stories of a file."""
    recipe = settings_of(context).recipe
    model = ChatModel.load(recipe.model, template_of(context))
    context.once(BASE_MODEL, lambda folder: keep_model(model, folder))
    texts = read_stories(recipe.text) if recipe.text else []
    context.once(TEXTS, lambda path: path.write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8"))
    found = _stories(context, context.folder, model, context.counting("the base model tells stories"))
    return {"stories": len(found)}


def demonstrations_of(context: Context, settings: DemonstrationSettings | None = None) -> Demonstrations:
    """What draws demonstrations from the stories."""
    found = _stories(context, context.of(BASE), base_model(context))
    return Demonstrations(found, settings, seed=settings_of(context).recipe.seed)


def _stories(
    context: Context, folder: Path, model: ChatModel, progress: Callable[[int, int], None] | None = None
) -> list[Story]:
    """Those of the samples that can be used, and the texts; what is sampled already is read."""
    settings = settings_of(context)
    texts: list[str] = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
    n, seed = settings.stories.count, settings.recipe.seed
    return base_stories(model, folder / SAMPLES, n, texts=texts, seed=seed, progress=progress)
