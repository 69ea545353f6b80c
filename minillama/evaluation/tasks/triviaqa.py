"""TriviaQA: questions of quiz fans, answered without a text (Joshi et al., arXiv:1705.03551).

    triviaqa          the harness: "?" is added even behind one, generation ends at the first ".", "," or line end
    triviaqa@llama2   the papers: a header, lines of Q and A, the first line without a dot or comma at its end

The harness stops at the first dot, so that "Dr. Watson" and "U.S." can never be answered.

LLaMA's protocol (arXiv:2302.13971, appendix A and figure 3): "Answer these questions:" stands before all questions,
greedy, cut at "the first line break, final dot or comma", lower case, articles, punctuation and double spaces removed;
the filtered development set, and its Wikipedia part in LLaMA 2 (arXiv:2307.09288, table 22; table 3 has 5 shots).
Unconfirmed: which shots (drawn here); the length of answers; that a question keeps its own spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..common.task import Dataset, Document, Shots, Task
from ..scoring.filters import first_line, strip
from ..scoring.normalisation import exact_match, same_answer
from .building import writing
from .fields import text, texts

STOPS = ("\n", ".", ",")
HEADER = "Answer these questions:\n"  # of the LLaMA papers


def _aliases(document: Document) -> list[str]:
    return texts(document, "answer", "aliases")


def _prompt(document: Document) -> str:
    return f"Question: {text(document, 'question')}?\nAnswer:"


def _match(answer: str, accepted: Sequence[str]) -> float:
    return exact_match(answer, accepted, ignore_punctuation=True)


TRIVIAQA = writing(
    name="triviaqa",
    dataset=Dataset("triviaqa", "mandarjoshi/trivia_qa:rc.nocontext", "Apache-2.0"),
    split="validation",
    prompt=_prompt,
    target=_aliases,
    accepted=_aliases,
    match=_match,
    filters={"remove_whitespace": strip},
    shots=Shots(split="train", draws_one_more=True),
    until=STOPS,
    version="3.0",
    about="quiz questions, answered without a text",
)


def _llama_prompt(document: Document) -> str:
    return f"Q: {text(document, 'question')}\nA:"


def as_the_papers(prompt: Callable[[Document], str], accepted: Callable[[Document], list[str]], **fields: Any) -> Task:
    """A task of questions as the LLaMA papers ask them: a header, 5 lines of Q and A, the first line of the answer."""
    return writing(
        split="validation",
        prompt=prompt,
        target=accepted,
        accepted=accepted,
        match=same_answer,
        filters={"first_line": first_line},
        description=HEADER,
        shots=Shots(split="train", default=5, delimiter="\n"),
        until=("\n",),
        protocol="llama2",
        **fields,
    )


TRIVIAQA_LLAMA2 = as_the_papers(
    _llama_prompt,
    _aliases,
    name="triviaqa@llama2",
    dataset=Dataset("triviaqa", "mandarjoshi/trivia_qa:rc.wikipedia.nocontext", "Apache-2.0"),
    about="quiz questions as the LLaMA papers ask them, 5-shot",
)
TASKS = (TRIVIAQA, TRIVIAQA_LLAMA2)
