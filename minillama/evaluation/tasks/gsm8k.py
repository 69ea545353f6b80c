"""GSM8K: grade-school word problems, answered by a worked solution (Cobbe et al., arXiv:2110.14168).

    gsm8k          5 shots drawn from the training split; the answer stands behind "####"
    gsm8k_cot      the 8 worked solutions of Wei et al.; the answer stands in "The answer is 7."
    gsm8k@llama2   the same 8, the papers' "8-shot, maj1@1": one greedy answer (arXiv:2307.09288, tables 3 and 25)

Two numbers are read out of an answer: strictly, where the shots put it, and flexibly, the last number of all.
Commas, dollar signs and a final dot make no difference. Generation ends where a next question begins.

Unconfirmed of the papers: that the shots are Wei et al.'s (the number is theirs), and how an answer is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..common.task import Dataset, Document, Shots
from ..scoring.filters import found
from ..scoring.normalisation import exact_match
from .building import writing
from .fields import text

IGNORED = (",", r"\$", r"(?s).*#### ", r"\.$")
LAST_NUMBER = found(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", which=-1)

# Wei et al., arXiv:2201.11903, table 20.
WORKED_SOLUTIONS: tuple[Document, ...] = (
    {
        "question": (
            "There are 15 trees in the grove. Grove workers will plant trees in the grove today. After they are "
            "done, there will be 21 trees. How many trees did the grove workers plant today?"
        ),
        "target": (
            "There are 15 trees originally. Then there were 21 trees after some more were planted. So there must "
            "have been 21 - 15 = 6. The answer is 6."
        ),
    },
    {
        "question": (
            "If there are 3 cars in the parking lot and 2 more cars arrive, how many cars are in the parking lot?"
        ),
        "target": "There are originally 3 cars. 2 more cars arrive. 3 + 2 = 5. The answer is 5.",
    },
    {
        "question": (
            "Leah had 32 chocolates and her sister had 42. If they ate 35, how many pieces do they have left in total?"
        ),
        "target": (
            "Originally, Leah had 32 chocolates. Her sister had 42. So in total they had 32 + 42 = 74. After "
            "eating 35, they had 74 - 35 = 39. The answer is 39."
        ),
    },
    {
        "question": (
            "Jason had 20 lollipops. He gave Denny some lollipops. Now Jason has 12 lollipops. How many lollipops "
            "did Jason give to Denny?"
        ),
        "target": (
            "Jason started with 20 lollipops. Then he had 12 after giving some to Denny. So he gave Denny 20 - 12 "
            "= 8. The answer is 8."
        ),
    },
    {
        "question": (
            "Shawn has five toys. For Christmas, he got two toys each from his mom and dad. How many toys does he "
            "have now?"
        ),
        "target": (
            "Shawn started with 5 toys. If he got 2 toys each from his mom and dad, then that is 4 more toys. 5 + "
            "4 = 9. The answer is 9."
        ),
    },
    {
        "question": (
            "There were nine computers in the server room. Five more computers were installed each day, from "
            "monday to thursday. How many computers are now in the server room?"
        ),
        "target": (
            "There were originally 9 computers. For each of 4 days, 5 more computers were added. So 5 * 4 = 20 "
            "computers were added. 9 + 20 is 29. The answer is 29."
        ),
    },
    {
        "question": (
            "Michael had 58 golf balls. On tuesday, he lost 23 golf balls. On wednesday, he lost 2 more. How many "
            "golf balls did he have at the end of wednesday?"
        ),
        "target": (
            "Michael started with 58 golf balls. After losing 23 on tuesday, he had 58 - 23 = 35. After losing 2 "
            "more, he had 35 - 2 = 33 golf balls. The answer is 33."
        ),
    },
    {
        "question": "Olivia has $23. She bought five bagels for $3 each. How much money does she have left?",
        "target": (
            "Olivia had 23 dollars. 5 bagels for 3 dollars each will be 5 x 3 = 15 dollars. So she has 23 - 15 "
            "dollars left. 23 - 15 is 8. The answer is 8."
        ),
    },
)


def _match(number: str, accepted: Sequence[str]) -> float:
    return exact_match(number, accepted, ignored=IGNORED)


def _prompt(document: Document) -> str:
    return f"Question: {text(document, 'question')}\nAnswer:"


def _solution(document: Document) -> str:
    return text(document, "answer")


GSM8K = writing(
    name="gsm8k",
    dataset=Dataset("gsm8k", "openai/gsm8k:main", "MIT"),
    split="test",
    prompt=_prompt,
    target=_solution,
    accepted=lambda document: [_solution(document)],
    match=_match,
    filters={"strict-match": found(r"#### (\-?[0-9\.\,]+)"), "flexible-extract": LAST_NUMBER},
    shots=Shots(split="train", default=5),
    until=("Question:", "</s>", "<|im_end|>"),
    version="3.0",
    about="word problems, 5 shots drawn",
)


def _cot_prompt(document: Document) -> str:
    return f"Q: {text(document, 'question')}\nA:"


def _cot_target(document: Document) -> str:
    """The number behind "####", or a worked solution."""
    if "answer" in document:
        return text(document, "answer").split("####")[-1].strip()
    return text(document, "target")


GSM8K_COT = writing(
    name="gsm8k_cot",
    dataset=GSM8K.dataset,
    split="test",
    prompt=_cot_prompt,
    target=_cot_target,
    accepted=lambda document: [_cot_target(document)],
    match=_match,
    filters={"strict-match": found(r"The answer is (\-?[0-9\.\,]+)."), "flexible-extract": LAST_NUMBER},
    shots=Shots(rule="first", default=len(WORKED_SOLUTIONS), given=WORKED_SOLUTIONS),
    until=("Q:", "</s>", "<|im_end|>"),
    version="3.0",
    about="word problems, 8 worked solutions before each",
)
GSM8K_LLAMA2 = replace(
    GSM8K_COT, name="gsm8k@llama2", protocol="llama2", version="1", about="word problems as the LLaMA papers: 8-shot"
)
TASKS = (GSM8K, GSM8K_COT, GSM8K_LLAMA2)
