"""WinoGrande: whom a blank in a sentence stands for (Sakaguchi et al., arXiv:1907.10641), by partial evaluation.

The blank is filled with either name, and what follows it is scored: two contexts, one continuation. There is nothing
to normalise, since both continuations are the same. With a chat template the tail becomes the assistant's answer, which
loses the sense; the harness does so, and so does this.

The LLaMA papers report it without details of the prompt, so there is no other protocol to follow.
"""

from __future__ import annotations

from ..common.task import Dataset, Document, Shots
from .building import choosing
from .fields import MalformedDocument, place_of, shown, text

BLANK = "_"


def _around_blank(document: Document) -> tuple[str, str]:
    sentence = text(document, "sentence")
    before, blank, after = sentence.partition(BLANK)
    if not blank:
        raise MalformedDocument(f"sentence must hold the blank {BLANK!r} and is {shown(sentence)}")
    return before, after.strip()


def _contexts(document: Document) -> list[str]:
    before, _ = _around_blank(document)
    return [before + text(document, "option1"), before + text(document, "option2")]


def _prompt(document: Document) -> str:
    return _contexts(document)[_gold(document)]


def _gold(document: Document) -> int:
    return place_of(str(document.get("answer", "missing")), ["1", "2"], "answer")


def _tail(document: Document) -> str:
    _gold(document)  # an unreadable label is said now, not when the model has answered
    return _around_blank(document)[1]


WINOGRANDE = choosing(
    name="winogrande",
    dataset=Dataset("winogrande", "allenai/winogrande:winogrande_xl", "CC BY"),
    split="validation",
    prompt=_prompt,
    choices=_contexts,
    contexts=_contexts,
    gold=_gold,
    target=_tail,
    metrics=("acc",),
    shots=Shots(split="train", draws_one_more=True),
    version="1.0",
    about="whom a blank stands for: the same tail after either name",
)
TASKS = (WINOGRANDE,)
