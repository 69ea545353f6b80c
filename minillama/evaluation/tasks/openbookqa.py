"""OpenBookQA: elementary science that needs a fact and a step (Mihaylov et al., arXiv:1809.02789).

    openbookqa          by sum, by characters
    openbookqa_mi       also by log p(choice | question) - log p(choice | BOS), the harness's acc_mutual_info
    openbookqa@llama2   by p(choice | question) / p(choice | "Answer:")

The last is GPT-3's rule (arXiv:2005.14165, section 2.4, for ARC, OpenBookQA and RACE), which LLaMA takes over for
OpenBookQA and BoolQ alone (arXiv:2302.13971, section 3; issue 398 of meta-llama/llama says so of OpenBookQA). It makes
a large difference: LLaMA 7B has 57.2 in its paper, and 28.0 (acc) or 42.4 (acc_norm) in the harness. Unconfirmed: that
the question stands bare, as it does in the harness; that "Answer:" is followed by the space before the answer.
"""

from __future__ import annotations

from typing import Any

from ..common.task import Dataset, Document, Shots
from .building import choosing
from .fields import place_of, text, texts


def _prompt(document: Document) -> str:
    return text(document, "question_stem")


def _choices(document: Document) -> list[str]:
    return texts(document, "choices", "text", at_least=2)


def _gold(document: Document) -> int:
    labels = texts(document, "choices", "label", at_least=len(_choices(document)))
    return place_of(text(document, "answerKey").lstrip(), labels[: len(_choices(document))], "answerKey")


_COMMON: dict[str, Any] = {
    "dataset": Dataset("openbookqa", "allenai/openbookqa:main", "Apache-2.0"),
    "split": "test",
    "prompt": _prompt,
    "choices": _choices,
    "gold": _gold,
    "shots": Shots(split="train"),
    "version": "1.0",
}

OPENBOOKQA = choosing(name="openbookqa", about="elementary science, by sum and by characters", **_COMMON)
OPENBOOKQA_MI = choosing(
    name="openbookqa_mi",
    metrics=("acc", "acc_norm", "acc_bytes", "acc_mutual_info"),
    prior="",
    about="elementary science, also against each answer's probability after BOS",
    **_COMMON,
)
OPENBOOKQA_LLAMA2 = choosing(
    name="openbookqa@llama2",
    metrics=("acc_mutual_info", "acc", "acc_norm"),
    prior="Answer:",
    protocol="llama2",
    about='elementary science, against each answer\'s probability after "Answer:"',
    **_COMMON | {"version": "1"},
)
TASKS = (OPENBOOKQA, OPENBOOKQA_MI, OPENBOOKQA_LLAMA2)
