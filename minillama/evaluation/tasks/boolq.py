"""BoolQ: yes or no, after a passage (Clark et al., arXiv:1905.10044).

    boolq          by sum of " no" and " yes"
    boolq@llama2   by p(answer | passage and question) / p(answer | "Answer:")

The last is LLaMA's rule (arXiv:2302.13971, section 3: OpenBookQA and BoolQ are normalised as in GPT-3, which itself
does not do so for BoolQ). LLaMA 2 says no more than that it is 0-shot. Unconfirmed: that LLaMA 2 kept the rule, and
the wording of the prompt, which is the harness's here.
"""

from __future__ import annotations

from typing import Any

from ..common.task import Dataset, Document, Shots
from .building import LETTERS, choosing
from .fields import number_below, text


def _prompt(document: Document) -> str:
    return f"{text(document, 'passage')}\nQuestion: {text(document, 'question')}?\nAnswer:"


def _choices(document: Document) -> list[str]:
    return ["no", "yes"]


def _gold(document: Document) -> int:
    return number_below(2, document, "label")


_COMMON: dict[str, Any] = {
    "dataset": Dataset("boolq", "aps/super_glue:boolq", "CC BY-SA 3.0"),
    "split": "validation",
    "prompt": _prompt,
    "choices": _choices,
    "gold": _gold,
    "shots": Shots(split="train", draws_one_more=True),
}

BOOLQ = choosing(name="boolq", metrics=LETTERS, version="2.0", about="yes or no, after a passage", **_COMMON)
BOOLQ_LLAMA2 = choosing(
    name="boolq@llama2",
    metrics=("acc_mutual_info", "acc"),
    prior="Answer:",
    protocol="llama2",
    about='yes or no, against their probability after "Answer:"',
    **_COMMON,
)
TASKS = (BOOLQ, BOOLQ_LLAMA2)
