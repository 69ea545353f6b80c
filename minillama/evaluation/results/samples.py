"""Items with their answers as lines of `samples_TASK_TIME.jsonl`, in lm-evaluation-harness's schema.

What the harness has: doc_id, doc, target, arguments, resps, filtered_resps, filter, metrics, the three hashes, and a
key for each metric. Numbers of answers are texts, since the harness writes them so. A task with several filters has a
line for each item and filter.

What minillama adds: `problem`, why an item has no metrics (they are null); `truncated`; and for items with options
`options`, the numbers on which the choice rests: log-probability, per character, per byte, tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ..common.requests import Answer, Generation, Likelihood, LogLikelihood, Request, Rolling, Written
from ..common.task import Scored, Task


def sample_lines(task: Task, items: Sequence[Scored]) -> Iterator[bytes]:
    """The lines of a task's file, in the harness's order: filter by filter, item by item."""
    for sample in samples_of(task, items):
        yield (json.dumps(sample, ensure_ascii=False, default=str) + "\n").encode("utf-8", "surrogatepass")


def samples_of(task: Task, items: Sequence[Scored]) -> Iterator[dict[str, Any]]:
    """The same as dictionaries."""
    for filter_ in filters_of(task):
        for one in items:
            yield _sample(task, one, filter_)


def filters_of(task: Task) -> list[str]:
    """The filters whose answers the metrics of a task are about."""
    return list(dict.fromkeys(metric.filter for metric in task.metrics))


def _sample(task: Task, one: Scored, filter_: str) -> dict[str, Any]:
    metrics = {m.name: one.metrics.get(m.key) for m in task.metrics if m.filter == filter_}
    item = one.item
    return {
        "doc_id": item.doc_id,
        "doc": item.document,
        "target": str(item.target),
        "arguments": {f"gen_args_{i}": _arguments(request) for i, request in enumerate(item.requests)},
        "resps": [[_answer(answer)] for answer in one.answers],
        "filtered_resps": [_filtered(task, answer, filter_) for answer in one.answers],
        "filter": filter_,
        "metrics": list(metrics),
        "doc_hash": item.doc_hash,
        "prompt_hash": item.prompt_hash,
        "target_hash": item.target_hash,
        **metrics,
        "problem": one.problem,
        "truncated": any(answer.truncated for answer in one.answers),
        **({"options": options_of(one, task.delimiter)} if task.kind == "choices" else {}),
    }


def _arguments(request: Request) -> dict[str, Any]:
    if isinstance(request, Rolling):
        return {"arg_0": request.text}
    if isinstance(request, Generation):
        settings = {"until": list(request.until), "max_gen_toks": request.max_tokens, "do_sample": False}
        return {"arg_0": request.context, "arg_1": settings}
    return {"arg_0": request.context, "arg_1": request.continuation}


def _answer(answer: Answer) -> Any:
    return [str(answer.logprob), str(answer.is_greedy)] if isinstance(answer, Likelihood) else answer.text


def _filtered(task: Task, answer: Answer, filter_: str) -> Any:
    if isinstance(answer, Written) and filter_ in task.filters:
        return task.filters[filter_](answer.text)
    return _answer(answer)


def options_of(one: Scored, delimiter: str = " ") -> list[dict[str, Any]]:
    """What each option's probability is, and what it is divided by; None where it cannot be scored.

    The harness normalises by the option's text, without the delimiter between question and answer.
    """
    found = []
    for request, answer in zip(one.item.requests, one.answers):
        if not isinstance(request, LogLikelihood) or not isinstance(answer, Likelihood):
            continue
        text = request.continuation if request.is_chat else request.continuation.removeprefix(delimiter)
        n_characters, n_bytes = len(text), len(text.encode("utf-8", "surrogatepass"))
        scored = answer.problem is None
        found.append(
            {
                "logprob": answer.logprob if scored else None,
                "per_character": answer.logprob / n_characters if scored and n_characters else None,
                "per_byte": answer.logprob / n_bytes if scored and n_bytes else None,
                "characters": n_characters,
                "bytes": n_bytes,
                "tokens": answer.n_tokens,
                "is_greedy": answer.is_greedy,
            }
        )
    return found
