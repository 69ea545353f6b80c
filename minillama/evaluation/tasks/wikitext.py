"""WikiText-2: how well a model predicts whole articles (Merity et al., arXiv:1609.07843).

    word_perplexity = exp(-sum log p / words)    byte_perplexity = exp(-sum log p / bytes)
    bits_per_byte = -sum log p / (bytes ln 2)

What is scored is the article without the marks of its tokenisation ("@-@", spaces before commas), as the harness
removes them; words and bytes are those of the article *with* them, and words count the empty ends. Perplexity per token
is left out, since it compares tokenizers. How long the model's windows are changes the result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..common.requests import Answer
from ..common.task import Dataset, Document, Metric, Shots, Task
from ..scoring.aggregation import bits_per_byte, weighted_perplexity
from .building import likelihoods
from .fields import text

SPACED = ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."))
PUNCTUATION = tuple((f" {mark} ", f"{mark} ") for mark in ":;.!?,")
BRACKETS = (
    (r"\(\s*([^\)]*?)\s*\)", r"(\1)"),
    (r"\[\s*([^\]]*?)\s*\]", r"[\1]"),
    (r"{\s*([^}]*?)\s*}", r"{\1}"),
    (r"\"\s*([^\"]*?)\s*\"", r'"\1"'),
    (r"'\s*([^']*?)\s*'", r"'\1'"),
)
HEADINGS = (("= = = =", "===="), ("= = =", "==="), ("= =", "=="))
REST = ((" ° ", "°"), (" \n", "\n"), ("\n ", "\n"), (" N ", " 1 "), (" 's", "'s"))


def detokenised(page: str) -> str:
    """An article as one would write it.

    The rules and their order are lm-evaluation-harness's (MIT, tasks/wikitext/preprocess_wikitext.py), its slips too:
    the second one was meant for years ('99) and, written between slashes, matches none.
    """
    page = page.replace("s '", "s'")
    page = re.sub(r"/' [0-9]/", r"/'[0-9]/", page)
    for old, new in SPACED + PUNCTUATION:
        page = page.replace(old, new)
    for pattern, new in BRACKETS:
        page = re.sub(pattern, new, page)
    for old, new in HEADINGS + REST:
        page = page.replace(old, new)
    return page


def _page(document: Document) -> str:
    return text(document, "page")


def _text(document: Document) -> str:
    return detokenised(_page(document))


def _score(document: Document, answers: Sequence[Answer]) -> dict[str, tuple[float, int]]:
    page = _page(document)
    (logprob,) = likelihoods(answers)
    words, n_bytes = len(re.split(r"\s+", page)), len(page.encode("utf-8"))
    return {
        "word_perplexity,none": (logprob, words),
        "byte_perplexity,none": (logprob, n_bytes),
        "bits_per_byte,none": (logprob, n_bytes),
    }


WIKITEXT = Task(
    name="wikitext",
    kind="rolling",
    dataset=Dataset("wikitext", "EleutherAI/wikitext_document_level:wikitext-2-raw-v1", "CC BY-SA 3.0"),
    split="test",
    prompt=lambda document: "",
    target=_text,
    score=_score,
    metrics=(
        Metric("word_perplexity", weighted_perplexity, higher_is_better=False),
        Metric("byte_perplexity", weighted_perplexity, higher_is_better=False),
        Metric("bits_per_byte", bits_per_byte, higher_is_better=False),
    ),
    shots=Shots(rule="given"),
    version="2.0",
    about="perplexity of whole Wikipedia articles, per word and per byte",
)
TASKS = (WIKITEXT,)
