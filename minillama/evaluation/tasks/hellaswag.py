"""HellaSwag: how a scene goes on (Zellers et al., arXiv:1905.07830).

The harness joins activity, first and second context, whose first letter alone stays upper case ("HE" becomes "He"),
and removes what WikiHow's mark-up left: " [title]" becomes a full stop, other brackets go, double spaces become single.
The LLaMA papers choose by characters, which is `acc_norm` here; their prompt is not published.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..common.task import Dataset, Document, Shots
from .building import choosing
from .fields import each, number_below, text, texts


def _clean(wikihow: str) -> str:
    stops = wikihow.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", stops).replace("  ", " ")


def _prepared(document: Document) -> Document:
    scene = text(document, "ctx_a") + " " + text(document, "ctx_b").capitalize()
    return {
        **document,
        "query": _clean(f"{text(document, 'activity_label')}: {scene}"),
        "choices": [_clean(ending) for ending in texts(document, "endings", at_least=2)],
        "gold": _gold(document),
    }


def _prepare(documents: Sequence[Document]) -> Sequence[Document]:
    return each(documents, _prepared)


def _prompt(document: Document) -> str:
    return text(document, "query")


def _choices(document: Document) -> list[str]:
    return texts(document, "choices", at_least=2)


def _gold(document: Document) -> int:
    return number_below(len(texts(document, "endings", at_least=2)), document, "label")


HELLASWAG = choosing(
    name="hellaswag",
    dataset=Dataset("hellaswag", "Rowan/hellaswag", "MIT"),
    split="validation",
    prompt=_prompt,
    choices=_choices,
    gold=_gold,
    prepare=_prepare,
    shots=Shots(split="train", draws_one_more=True),
    version="1.0",
    about="how a scene goes on, of four endings",
)
TASKS = (HELLASWAG,)
