"""The two kinds of tasks that most benchmarks are: choosing an answer, and writing one.

A benchmark's file says what a document's question, choices and gold answer are; these functions add how answers to them
are scored, so that each rule stands in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..common.requests import Answer, Likelihood, Written
from ..common.task import Document, Metric, Task
from ..scoring.aggregation import mean
from ..scoring.choices import correctness

LETTERS = ("acc",)
CLOZE = ("acc", "acc_norm", "acc_bytes")


def choosing(
    *,
    choices: Callable[[Document], list[str]],
    gold: Callable[[Document], int],
    metrics: Sequence[str] = CLOZE,
    **fields: Any,
) -> Task:
    """A task whose answer is one of several: the most probable counts, as each of the metrics measures it.

    Parameters
    ----------
    choices, gold : callable
        A document's answers, and the right one's number among them.
    metrics : sequence of str
        Of `scoring.choices.correctness`.
    fields
        The other fields of `Task`; `target` is `gold` unless given.
    """

    def score(document: Document, answers: Sequence[Answer]) -> dict[str, float]:
        texts = choices(document)
        logprobs = likelihoods(answers)
        found = correctness(metrics, texts, gold(document), logprobs[: len(texts)], logprobs[len(texts) :])
        return {f"{name},none": value for name, value in found.items()}

    return Task(
        kind="choices",
        choices=choices,
        score=score,
        metrics=tuple(Metric(name, mean) for name in metrics),
        **{"target": gold} | fields,
    )


def writing(
    *,
    accepted: Callable[[Document], Sequence[str]],
    match: Callable[[str, Sequence[str]], float],
    filters: Mapping[str, Callable[[str], str]],
    **fields: Any,
) -> Task:
    """A task whose answer is written and compared with the accepted ones.

    Parameters
    ----------
    accepted : callable
        A document's accepted answers.
    match : callable
        (text, accepted answers) -> 1.0 or 0.0.
    filters : mapping of str to callable
        What is cut out of the text before; one metric each.
    fields
        The other fields of `Task`.
    """

    def score(document: Document, answers: Sequence[Answer]) -> dict[str, float]:
        (text,) = written(answers)
        right = accepted(document)
        return {f"exact_match,{name}": match(cut(text), right) for name, cut in filters.items()}

    return Task(
        kind="generation",
        score=score,
        metrics=tuple(Metric("exact_match", mean, name) for name in filters),
        filters=filters,
        **fields,
    )


def likelihoods(answers: Sequence[Answer]) -> list[float]:
    """The log-likelihoods of answers of that kind."""
    return [answer.logprob for answer in answers if isinstance(answer, Likelihood)]


def written(answers: Sequence[Answer]) -> list[str]:
    """The texts of answers of that kind."""
    return [answer.text for answer in answers if isinstance(answer, Written)]
