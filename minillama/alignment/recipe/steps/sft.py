"""Supervised fine-tuning on demonstrations, drawn anew in every pass; the last steps have rows as long as the context.

Few demonstrations are long, and a model falls apart beyond the length that it was trained at. So the last fifth is
packed, as the paper packs all of it: rows of the whole context, several conversations in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...conversations import Example, packed
from ...example_sources import Drawn, ExampleSource
from ...models import ChatModel
from ...sft import FineTuningSettings
from ...story_world import Demonstrations, example_of, parse_stories
from ..pipeline import Context
from ..settings import RecipeSettings
from .shared import BASE, chat_model, fine_tuned, settings_of
from .stories import BASE_MODEL, read_texts

_MEASURED = 256  # demonstrations whose length is taken for that of all
_HELD_OUT_PASS = 1 << 20  # of demonstrations that no pass comes to


def sft(context: Context) -> Mapping[str, Any]:
    """model/ is the base model, fine-tuned on demonstrations."""
    settings = settings_of(context)
    model, demonstrations = chat_model(context, BASE, BASE_MODEL), demonstrations_of(context)
    source = DemonstrationSource(demonstrations, model, settings)
    held_out = [example_of(demonstrations.draw(_HELD_OUT_PASS, i), model) for i in range(64)]
    tuning = FineTuningSettings(
        peak=settings.sft.peak,
        final_fraction=0.0,
        tokens=settings.sft.batch_tokens,
        weight_decay=settings.sft.weight_decay,
        seed=settings.recipe.seed,
    )
    fine_tuned(context, model, source, tuning, steps=source.n_steps, held_out=held_out)
    return {"steps": source.n_steps, "stories": len(demonstrations)}


def demonstrations_of(context: Context) -> Demonstrations:
    """What draws demonstrations from the kept stories."""
    texts = read_texts(context.of(BASE))
    return Demonstrations(parse_stories(texts), seed=settings_of(context).recipe.seed)


@dataclass
class DemonstrationSource:
    """Demonstrations as examples of a step: side by side, and packed in the last steps.

    Attributes
    ----------
    n_steps : int
        As many as the demonstrations of all epochs fill.
    fingerprint : str
    """

    demonstrations: Demonstrations
    model: ChatModel
    settings: RecipeSettings

    def __post_init__(self) -> None:
        sft = self.settings.sft
        lengths = [len(self._example(0, i).ids) for i in range(min(_MEASURED, sft.demonstrations))]
        per_pass = max(1, round(sft.demonstrations * float(np.mean(lengths)) / sft.batch_tokens))
        self.n_steps = per_pass * sft.epochs
        self._side_by_side: ExampleSource = Drawn(self._pool, steps=per_pass, seed=self.settings.recipe.seed)
        self.fingerprint = self._side_by_side.fingerprint

    def examples(self, step: int) -> list[Example]:
        """Those of a step, from 1."""
        if step <= (1 - self.settings.sft.packed) * self.n_steps:
            return self._side_by_side.examples(step)
        length = self.settings.recipe.context
        found: list[Example] = []
        rng = np.random.default_rng([self.settings.recipe.seed, step])
        while sum(len(example.ids) for example in found) <= max(length, self.settings.sft.batch_tokens):
            found.append(self._example(_HELD_OUT_PASS + step, int(rng.integers(len(self.demonstrations)))))
        return packed(found, length)

    def _pool(self, number: int) -> list[Example]:
        return [self._example(number, i) for i in range(self.settings.sft.demonstrations)]

    def _example(self, number: int, i: int) -> Example:
        sft = self.settings.sft
        done = min(1.0, number / max(1, sft.epochs - 1))
        dense = (1 - done) * sft.dense + done * sft.dense_last
        return example_of(self.demonstrations.draw(number, i, dense=dense), self.model)
