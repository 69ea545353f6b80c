"""When a generated text and an accepted answer count as the same.

Two rules, and they differ on purpose:

    exact_match   lm-evaluation-harness: patterns removed, lower case, punctuation deleted; articles, underscores and
                  white space stay as they are unless a pattern removes them
    same_answer   the LLaMA papers, after SQuAD's script: lower case, punctuation deleted, articles removed, white
                  space collapsed

Left out of the first: the harness lowers text in NumPy arrays of fixed width, which cuts the end off the longest
alias where lower case is longer than upper case (only in words with the Turkish capital dotted I).
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def exact_match(
    text: str,
    accepted: Sequence[str],
    *,
    ignored: Sequence[str] = (),
    ignore_punctuation: bool = False,
) -> float:
    """1.0 if the text equals one of the accepted answers after both were normalised, else 0.0.

    Parameters
    ----------
    text : str
    accepted : sequence of str
    ignored : sequence of str
        Patterns that are removed, one after the other, before anything else.
    ignore_punctuation : bool
        Delete the characters of `string.punctuation`, which holds ASCII alone.
    """

    def normalised(answer: str) -> str:
        for pattern in ignored:
            answer = re.sub(pattern, "", answer)
        answer = answer.lower()
        return answer.translate(_PUNCTUATION) if ignore_punctuation else answer

    return float(normalised(text) in {normalised(answer) for answer in accepted})


def same_answer(text: str, accepted: Sequence[str]) -> float:
    """1.0 if the text equals one of the accepted answers as the LLaMA papers compare them, else 0.0.

    Source: arXiv:2302.13971, appendix A ("we lowercase generated answers and remove articles, punctuation and
    duplicate whitespaces"); the order of the steps is that of SQuAD's evaluation script.
    """
    return float(without_articles(text) in {without_articles(answer) for answer in accepted})


def without_articles(text: str) -> str:
    """Lower case, without punctuation and articles, with single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())
