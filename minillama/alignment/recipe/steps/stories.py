"""Stories to make demonstrations of: the base model's own, which need nothing but what ships, and those of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...models import ChatModel
from ...story_world.sources import cleaned, read_stories, sampled_stories
from ..pipeline import Context
from .shared import keep_model, settings_of

STORIES, BASE_MODEL = "stories.json", "base"


def stories(context: Context) -> Mapping[str, Any]:
    """base/ is the base model; stories.json has the texts."""
    settings = settings_of(context)
    model = ChatModel.load(settings.recipe.model, settings.recipe.chat)
    context.once(BASE_MODEL, lambda folder: keep_model(model, folder))

    def write(path: Path) -> None:
        own = sampled_stories(
            model,
            settings.stories.count,
            seed=settings.recipe.seed,
            temperature=settings.stories.temperature,
            progress=context.counting("the base model tells stories"),
        )
        texts = [*cleaned(own), *(read_stories(settings.recipe.text) if settings.recipe.text else ())]
        path.write_text(json.dumps(texts, ensure_ascii=False, indent=0), encoding="utf-8")

    context.once(STORIES, write)
    return {"stories": len(read_texts(context.folder))}


def read_texts(folder: Path) -> list[str]:
    """The texts that this step kept in its folder."""
    found: list[str] = json.loads((folder / STORIES).read_text(encoding="utf-8"))
    return found
