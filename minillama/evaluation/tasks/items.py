"""Documents and settings to items: the requests that a task makes of a model, word for word those of the harness.

A prompt is turns, as in a conversation: the system's (what the reader asks for, then the task's description), a user's
and an assistant's for every shot, and the user's question. As text they are joined with the task's delimiters; with a
chat template they are rendered as messages, the choices follow without a delimiter, and delimiters are not used.

    text    {description}{question}{ }{answer}{\\n\\n}{question}   then   "{ }{choice}"
    chat    system: {description}   user: {question}   assistant: {answer}   user: {question}   then   "{choice}"

Left out of lm-evaluation-harness 0.4.13: shots as one user turn, prefixes of the answer, images, several samples of an
answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..common.requests import Answer, Generation, LogLikelihood, Request, Rolling
from ..common.task import Asking, Document, Item, Scored, Task
from .fields import MalformedDocument
from .shots import ShotSource

Render = Callable[[list[dict[str, str]]], str]


class Turn(NamedTuple):
    """A part of a prompt; the delimiter follows it where prompts are text."""

    role: str
    content: str
    delimiter: str = ""


def items_of(
    task: Task,
    documents: Sequence[Document],
    shots: Sequence[Document],
    asking: Asking,
    render: Render | None = None,
) -> list[Item]:
    """What a task asks about documents.

    Parameters
    ----------
    task : Task
    documents : sequence of Document
        The split that is tested, in order.
    shots : sequence of Document
        The split that shots are taken from; may be empty where none are.
    asking : Asking
    render : callable, optional
        Messages to text by a model's chat template, ready for the assistant's answer; needed with `asking.chat`.

    Raises
    ------
    MalformedDocument
        A document lacks what the task reads; names the task, the split and the place in it.
    ValueError
        There are too few documents to take shots from, or no template.
    """
    if asking.chat and render is None:
        raise ValueError(f"{task.name} is to be asked as a chat, which needs the model's chat template: give render")
    if asking.limit is not None and asking.limit < 1:
        raise ValueError(f"the limit must be 1 or more documents, and is {asking.limit}")
    with naming(task, task.split):
        tested = list(task.prepare(documents))[: asking.limit]
    with naming(task, task.shots.split or task.split):
        pool = list(task.prepare(shots))
    source = ShotSource(task, pool, asking.n_shots, asking.seed)
    write = render if asking.chat else None
    items = []
    for number, document in enumerate(tested):
        with naming(task, task.split, number):
            target = task.target(document)
            beginning = first_turns(task, asking) + shot_turns(task, source.before(document))
            requests = requests_of(task, document, target, beginning, write)
            items.append(make_item(task, number, document, target, requests))
    return items


@contextmanager
def naming(task: Task, split: str, number: int = -1) -> Iterator[None]:
    """Errors about a document, with the place where to look for it."""
    try:
        yield
    except MalformedDocument as error:
        split, number = (error.split or split, error.number if error.number >= 0 else number)
        place = f"document {number} (from 0) of split {split!r}" if number >= 0 else f"a document of split {split!r}"
        raise MalformedDocument(f"{task.name}: {place} cannot be used: {error}", split, number) from None


def first_turns(task: Task, asking: Asking) -> list[Turn]:
    """The system's turn, if there is anything to say: the reader's message, then the task's description."""
    system, description = asking.system or "", task.description
    touches = not system or not description or system[-1].isspace() or description[0].isspace()
    content = system + ("" if touches else task.shots.delimiter) + description
    return [Turn("system", content)] if content else []


def shot_turns(task: Task, shots: Sequence[Document]) -> list[Turn]:
    """Question and answer of each shot; without an answer (a sentence that ends with the blank) the question alone."""
    turns = []
    for shot in shots:
        question, answer = task.prompt(shot), answer_text(task, shot)
        if answer:
            turns += [Turn("user", question, task.delimiter), Turn("assistant", answer, task.shots.delimiter)]
        else:
            turns += [Turn("user", question)]
    return turns


def answer_text(task: Task, shot: Document) -> str:
    """A shot's answer: the gold choice, or the first of the accepted answers."""
    target = task.target(shot)
    if isinstance(target, int):
        if task.choices is None:
            raise TypeError(f"the target of {task.name} is a number, and the task has no choices")
        return task.choices(shot)[target]
    return target[0] if isinstance(target, list) else target


def requests_of(
    task: Task, document: Document, target: Any, beginning: list[Turn], render: Render | None
) -> tuple[Request, ...]:
    """The requests about one document, in the order in which `Task.score` gets their answers."""
    if task.kind == "rolling":
        return (Rolling(target),)

    def context(question: str) -> str:
        turns = [*beginning, Turn("user", question)]
        if render is None:
            return "".join(turn.content + turn.delimiter for turn in turns)
        return render([{"role": turn.role, "content": turn.content} for turn in turns])

    is_chat = render is not None
    if task.kind == "generation":
        return (Generation(context(task.prompt(document)), task.until, task.max_tokens, is_chat),)
    delimiter = "" if is_chat else task.delimiter
    if task.contexts is not None:
        contexts = [context(question) for question in task.contexts(document)]
        return tuple(LogLikelihood(asked, delimiter + target, is_chat) for asked in contexts)
    if task.choices is None:
        raise TypeError(f"{task.name} is of kind 'choices' and has none")
    asked, choices = context(task.prompt(document)), task.choices(document)
    return tuple(LogLikelihood(asked, delimiter + choice, is_chat) for choice in choices) + priors(
        task, choices, delimiter
    )


def priors(task: Task, choices: Sequence[str], delimiter: str) -> tuple[Request, ...]:
    """Each choice without its question, where the task normalises by that."""
    if task.prior is None:
        return ()
    before = task.delimiter if task.prior else delimiter  # "Answer:" is text in a chat too
    return tuple(LogLikelihood(task.prior, before + choice) for choice in choices)


def make_item(task: Task, number: int, document: Document, target: Any, requests: tuple[Request, ...]) -> Item:
    """An item with the three hashes by which runs of the harness are compared."""
    first = requests[0]
    return Item(
        task=task.name,
        doc_id=number,
        document=document,
        target=target,
        requests=requests,
        doc_hash=sha256(json.dumps(document, indent=2, ensure_ascii=False, default=plain)),
        prompt_hash=sha256(first.text if isinstance(first, Rolling) else first.context),
        target_hash=sha256(str(target)),
    )


def sha256(text: str) -> str:
    """In hexadecimal; a lone surrogate of a damaged text counts as its escape."""
    return hashlib.sha256(text.encode("utf-8", errors="backslashreplace")).hexdigest()


def plain(value: Any) -> Any:
    """What JSON has no word for: other mappings as objects, the rest as text."""
    return dict(value) if isinstance(value, Mapping) else str(value)


def scored(task: Task, item: Item, answers: Sequence[Answer]) -> Scored:
    """An item with its answers and what they are worth: no metrics where an answer has a problem.

    Saved answers are scored anew by the same function: nothing but the document and the answers is read.
    """
    if len(answers) != len(item.requests):
        raise ValueError(
            f"{task.name}, document {item.doc_id}: {len(item.requests)} requests were made and {len(answers)} answers "
            "came; answers belong to another task, or another version of it"
        )
    has_problem = any(answer.problem for answer in answers)
    return Scored(item, tuple(answers), {} if has_problem else task.score(item.document, answers))
