"""PIQA: which of two ways of doing something works (Bisk et al., arXiv:1911.11641).

The harness names no split for its shots, and therefore draws one more than it shows. The LLaMA papers choose by
characters, which is `acc_norm` here; their prompt is not published.
"""

from __future__ import annotations

from ..common.task import Dataset, Document, Shots
from .building import choosing
from .fields import number_below, text


def _prompt(document: Document) -> str:
    return f"Question: {text(document, 'goal')}\nAnswer:"


def _choices(document: Document) -> list[str]:
    return [text(document, "sol1"), text(document, "sol2")]


def _gold(document: Document) -> int:
    return number_below(2, document, "label")


PIQA = choosing(
    name="piqa",
    dataset=Dataset("piqa", "baber/piqa", "AFL-3.0"),
    split="validation",
    prompt=_prompt,
    choices=_choices,
    gold=_gold,
    shots=Shots(split="train", draws_one_more=True),
    version="1.0",
    about="physical common sense: which of two solutions works",
)
TASKS = (PIQA,)
