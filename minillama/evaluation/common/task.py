"""A task is a value: where its documents are, how one becomes a prompt, which shots stand before it, what is right.

document   a row of a benchmark with the field names that the Hugging Face Hub has, prepared by the task
shot       a document with its answer, shown before the question
item       a document with the requests that it makes of a model
metrics    what the answers to an item are worth; `Metric.aggregate` makes one number of all items
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .requests import Answer, Request

Document = Mapping[str, Any]
Kind = Literal["choices", "rolling", "generation"]


@dataclass(frozen=True)
class Dataset:
    """Where documents come from.

    Attributes
    ----------
    name : str
        The folder of a local copy: DIR/name/SPLIT.jsonl (or .csv, .parquet).
    hub : str
        Its repository on the Hugging Face Hub, with the configuration after a colon if there is one:
        "allenai/ai2_arc:ARC-Easy".
    licence : str
    """

    name: str
    hub: str
    licence: str = ""


@dataclass(frozen=True)
class Shots:
    """Which examples stand before a question.

    Attributes
    ----------
    rule : "drawn", "first" or "given"
        Drawn anew for each item from `split`; the first of `split`, or of `given` where there are any; all of `given`,
        whatever number is asked for.
    split : str or None
        None where the task has no split to take examples from.
    default : int
        How many, when nobody says.
    delimiter : str
        Between examples, and before the question.
    given : tuple of Document
    draws_one_more : bool
        The harness draws one more than asked for and drops the item itself, when it takes `split` for the one that
        is tested; it does so too where neither is named.
    """

    rule: Literal["drawn", "first", "given"] = "drawn"
    split: str | None = None
    default: int = 0
    delimiter: str = "\n\n"
    given: tuple[Document, ...] = ()
    draws_one_more: bool = False


@dataclass(frozen=True)
class Metric:
    """A number that a task reports.

    Attributes
    ----------
    name : str
        "acc", "acc_norm", "exact_match", "word_perplexity" …
    filter : str
        What was done to the answer before: "none", "strict-match" …; the harness's key is "name,filter".
    aggregate : callable
        The values of all items to one number: `mean`, or those of scoring/aggregation.py.
    higher_is_better : bool
    """

    name: str
    aggregate: Callable[[Sequence[Any]], float]
    filter: str = "none"
    higher_is_better: bool = True

    @property
    def key(self) -> str:
        return f"{self.name},{self.filter}"


@dataclass(frozen=True)
class Task:
    """A benchmark as it is asked and scored.

    Attributes
    ----------
    name : str
        What `--tasks` takes: "arc_easy", "mmlu_anatomy", "triviaqa@llama2".
    kind : Kind
    dataset : Dataset
    split : str
        The one that is tested.
    prompt : callable
        A document's question as text, without shots.
    target : callable
        A shot's answer as text, or the gold answer's number among `choices`, or the accepted answers.
    choices : callable or None
        The answers to choose from; None unless `kind` is "choices".
    contexts : callable or None
        WinoGrande: one context a choice, and a single continuation.
    prior : str or None
        The context in which every choice is asked once more, after all choices in their question, to normalise by:
        "" is BOS alone, "Answer:" is GPT-3's; None where nothing is normalised so.
    score : callable
        (document, answers, one a request) -> {metric key: value}.
    metrics : tuple of Metric
    prepare : callable
        Documents of a split as the task reads them, in order: fields renamed, some left out.
    description : str
        Before the first shot.
    delimiter : str
        Between a question and its answer.
    until : tuple of str
        Where generation ends.
    max_tokens : int
    groups : tuple of str
        Whose mean it counts for: "mmlu_stem", "mmlu", "commonsense".
    protocol : str
        "lm-eval", or "llama2" where the papers do otherwise.
    version : str
        Changes when what is asked or how it is scored does.
    about : str
        One line for `eval list`.
    """

    name: str
    kind: Kind
    dataset: Dataset
    split: str
    prompt: Callable[[Document], str]
    target: Callable[[Document], Any]
    score: Callable[[Document, Sequence[Answer]], dict[str, Any]]
    metrics: tuple[Metric, ...]
    choices: Callable[[Document], list[str]] | None = None
    contexts: Callable[[Document], list[str]] | None = None
    prior: str | None = None
    prepare: Callable[[Sequence[Document]], Sequence[Document]] = lambda documents: documents
    shots: Shots = field(default_factory=Shots)
    description: str = ""
    delimiter: str = " "
    until: tuple[str, ...] = ()
    max_tokens: int = 256
    groups: tuple[str, ...] = ()
    protocol: str = "lm-eval"
    version: str = "1"
    about: str = ""


@dataclass(frozen=True)
class Item:
    """A document and what is asked about it.

    Attributes
    ----------
    task : str
    doc_id : int
        Its place in the split, from 0.
    document : Document
    target : Any
        As the harness logs it.
    requests : tuple of Request
    doc_hash, prompt_hash, target_hash : str
        sha256 as lm-evaluation-harness writes them: equal hashes prove equal prompts.
    """

    task: str
    doc_id: int
    document: Document
    target: Any
    requests: tuple[Request, ...]
    doc_hash: str = ""
    prompt_hash: str = ""
    target_hash: str = ""


@dataclass(frozen=True)
class Scored:
    """An item with what a model answered and what that is worth.

    Attributes
    ----------
    item : Item
    answers : tuple of Answer
        One a request.
    metrics : dict of str to value
        By `Metric.key`; missing where the item cannot be scored.
    """

    item: Item
    answers: tuple[Answer, ...]
    metrics: dict[str, Any]

    @property
    def problem(self) -> str | None:
        """Why it cannot be scored, if it cannot."""
        return next((answer.problem for answer in self.answers if answer.problem), None)


@dataclass(frozen=True)
class Asking:
    """How tasks are asked: the settings that change prompts.

    Attributes
    ----------
    n_shots : int or None
        Before every question; None is each task's own number.
    limit : int or None
        The first so many documents of every task.
    seed : int
        Of shots that are drawn; the harness's is 1234.
    chat : bool
        With the model's chat template, shots as turns.
    system : str or None
        The system message, with `chat`.
    """

    n_shots: int | None = None
    limit: int | None = None
    seed: int = 1234
    chat: bool = False
    system: str | None = None
