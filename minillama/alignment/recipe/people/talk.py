"""Scenes for Ghost Attention: hobbies and public figures that the model lists itself, and short questions between.

    lists.json      what the model listed, most often named first (ghost_attention/lists.py)

A quarter of each list is in no dialogue of training; the report tests it as unseen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...ghost_attention import (
    Mixture,
    Pools,
    Scene,
    chat_model_lists,
    draw_scenes,
    draw_tests,
    figure,
    filler_from,
    hobby,
    split_pools,
)
from ...models import ChatModel
from ..pipeline import Context
from ..steps.ghost import shape_of
from ..steps.shared import chat_model, seed_for, settings_of

LISTS, LISTS_FILE = "lists", "lists.json"
"""The step, and its file."""

ASKED = {
    "hobby": [
        "List ten hobbies. Write one hobby on each line, and nothing else.",
        "List ten hobbies that people have outdoors. One on each line, each one or two words.",
        "List ten quiet hobbies for the evening. One on each line, each one or two words.",
        "List ten sports that people do for fun. One on each line.",
        "List ten crafts that people like to do at home. One on each line.",
    ],
    "figure": [
        "List ten famous scientists. Write one full name on each line, and nothing else.",
        "List ten famous writers. One full name on each line.",
        "List ten famous painters. One full name on each line.",
        "List ten famous composers and musicians. One full name on each line.",
        "List ten famous explorers and leaders in history. One full name on each line.",
    ],
}

# Short questions with short answers: what the turns between are about. This project's own list.
QUESTIONS = (
    "What is the capital of France?", "Why is the sky blue?", "How many legs does a spider have?",
    "What is bread made of?", "What is a good name for a cat?", "Where do penguins live?",
    "What is the largest ocean?", "How do plants drink?", "What is the opposite of cold?", "When do leaves fall?",
    "What do bees make?", "How far away is the moon?", "What is a violin?", "Why do we sleep?",
    "What is the fastest animal?", "How is cheese made?", "What is a poem?", "Which colour is a ripe banana?",
    "What is the use of a compass?", "How many days has a week?", "What is snow?", "Why do birds sing?",
    "What is a good breakfast?", "How does a boat float?", "What is the smallest planet?", "What is a triangle?",
    "Where does rain come from?", "What do cows eat?", "How old can a tree be?", "What is gold?",
    "What is a library?", "How do fish breathe?", "What is a volcano?", "Why is salt in the sea?",
    "What is a clock for?", "What is a good gift for a friend?", "How do you boil an egg?", "What is a river?",
    "What is the sun?", "What is wool?",
)  # fmt: skip
FILLERS = [f"{question} Answer in one short sentence." for question in QUESTIONS]

MIXTURE = Mixture(fact_share=0.8, style_share=0.0)
_ITEMS, _ANSWERS = 60, 8  # of a list, and to each request
_UNSEEN = 0.25


def is_figure(item: str) -> bool:
    """Two or three words, as names are written."""
    return 2 <= len(item.split()) <= 3 and item.istitle()


def is_hobby(item: str) -> bool:
    """One or two words of letters."""
    return len(item.split()) <= 2 and item.replace(" ", "").isalpha()


def lists(context: Context, first: str) -> Mapping[str, Any]:
    """lists.json; a list is empty where the model makes none.

    Parameters
    ----------
    first : str
        The step of the model that is asked.
    """

    def write(path: Path) -> None:
        model, found = chat_model(context, first), {}
        for kind, accepts in (("hobby", is_hobby), ("figure", is_figure)):
            try:
                items = chat_model_lists(
                    model,
                    ASKED[kind],
                    n=_ITEMS,
                    accepts=accepts,
                    least_times=2,
                    answers_each=_ANSWERS,
                    temperature=0.6,
                    max_tokens=min(120, settings_of(context).recipe.max_tokens),
                    seed=seed_for(context, f"list of {kind}"),
                    progress=context.counting(f"lists ({kind})"),
                )
            except ValueError as error:  # no item stays: a model that makes no list is no reason to end
                context.note(f"{kind}: {error}")
                items = []
            found[kind] = items if kind == "figure" else [item.lower() for item in items]
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")

    if not settings_of(context).ghost_attention.dialogues:
        context.once(LISTS_FILE, lambda path: path.write_text("{}"))
    found = json.loads(context.once(LISTS_FILE, write).read_text(encoding="utf-8"))
    return {kind: len(items) for kind, items in found.items()}


def pools_of(context: Context) -> tuple[Pools, Pools]:
    """Traits that training has, and those that it has not."""
    found = json.loads((context.of(LISTS) / LISTS_FILE).read_text(encoding="utf-8"))
    pools: Pools = {
        "figure": [figure(item) for item in found.get("figure", ())],
        "hobby": [hobby(item) for item in found.get("hobby", ())],
    }
    return split_pools(pools, _UNSEEN, seed=settings_of(context).recipe.seed)


def people_scenes(context: Context, model: ChatModel, seed: int) -> list[Scene]:
    """Dialogues of training; none where the model has made no list."""
    given, (seen, _) = settings_of(context).ghost_attention, pools_of(context)
    if not any(seen.values()):
        return []
    shape = shape_of(given)
    return draw_scenes(seen, filler_from(FILLERS), given.dialogues, seed=seed, shape=shape, mixture=MIXTURE)


def people_tests(context: Context) -> list[Scene]:
    """Dialogues of the test, with traits that training had and with others; none where the model has made no list."""
    given, found = settings_of(context).report, list[Scene]()
    for group, pools in zip(("seen", "unseen"), pools_of(context)):
        if any(pools.values()) and given.dialogues:
            found += draw_tests(
                pools,
                filler_from(FILLERS),
                given.dialogues,
                seed=seed_for(context, "retention"),
                last_turn=max(given.turns),
                mixture=MIXTURE,
                group=group,
            )
    return found
