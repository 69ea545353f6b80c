"""Natural Questions, open: questions people typed into a search engine (Kwiatkowski et al. 2019; Lee et al. 2019).

    nq_open          the harness: header, "?" added, ends at the first ".", "," or line end
    nq_open@llama2   the papers: the first line without a dot or comma at its end

The harness removes "the ", "a ", "an " and their capitalised forms wherever a word begins with them, and stops at the
first dot or comma: in 316 of the 3610 documents every answer holds one of these, and only an answer that drops them can
be right.

LLaMA's protocol (arXiv:2302.13971, appendix A and figure 3) is that of triviaqa.py, on the same 3610 questions; LLaMA 2
shows 5 shots (arXiv:2307.09288, table 3). Unconfirmed: figure 3's question ends with "?", the data's do not, so one
is added where it is missing; which shots (drawn here); the length of answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..common.task import Dataset, Document, Shots
from ..scoring.filters import strip
from ..scoring.normalisation import exact_match
from .building import writing
from .fields import text, texts
from .triviaqa import STOPS, as_the_papers

ARTICLES = r"\b(?:The |the |An |A |The |a |an )"


def _answers(document: Document) -> list[str]:
    return texts(document, "answer")


def _prompt(document: Document) -> str:
    return f"Q: {text(document, 'question')}?\nA:"


def _match(answer: str, accepted: Sequence[str]) -> float:
    return exact_match(answer, accepted, ignored=(ARTICLES,), ignore_punctuation=True)


NQ_OPEN = writing(
    name="nq_open",
    dataset=Dataset("nq_open", "google-research-datasets/nq_open", "CC BY-SA 3.0"),
    split="validation",
    prompt=_prompt,
    target=_answers,
    accepted=_answers,
    match=_match,
    filters={"remove_whitespace": strip},
    description="Answer these questions:\n\n",
    shots=Shots(split="train", delimiter="\n", draws_one_more=True),
    until=STOPS,
    version="4.0",
    about="questions to a search engine, answered without a text",
)


def _llama_prompt(document: Document) -> str:
    return f"Q: {text(document, 'question').removesuffix('?')}?\nA:"


NQ_OPEN_LLAMA2 = as_the_papers(
    _llama_prompt,
    _answers,
    name="nq_open@llama2",
    dataset=NQ_OPEN.dataset,
    about="questions to a search engine as the LLaMA papers ask them, 5-shot",
)
TASKS = (NQ_OPEN, NQ_OPEN_LLAMA2)
