"""ARC: grade-school science questions with three to five answers (Clark et al., arXiv:1803.05457).

The LLaMA papers choose by characters, which is `acc_norm` here; their prompt is not published.
"""

from __future__ import annotations

from ..common.task import Dataset, Document, Shots, Task
from .building import choosing
from .fields import place_of, text, texts


def _prompt(document: Document) -> str:
    return f"Question: {text(document, 'question')}\nAnswer:"


def _choices(document: Document) -> list[str]:
    return texts(document, "choices", "text", at_least=2)


def _gold(document: Document) -> int:
    labels = texts(document, "choices", "label", at_least=len(_choices(document)))
    return place_of(text(document, "answerKey"), labels[: len(_choices(document))], "answerKey")


def _arc(name: str, subset: str, about: str) -> Task:
    return choosing(
        name=name,
        dataset=Dataset(name, f"allenai/ai2_arc:{subset}", "CC BY-SA 4.0"),
        split="test",
        prompt=_prompt,
        choices=_choices,
        gold=_gold,
        shots=Shots(split="train"),
        version="1.0",
        about=about,
    )


ARC_EASY = _arc("arc_easy", "ARC-Easy", "grade-school science, the easier questions")
ARC_CHALLENGE = _arc("arc_challenge", "ARC-Challenge", "grade-school science that word overlap does not solve")
TASKS = (ARC_EASY, ARC_CHALLENGE)
