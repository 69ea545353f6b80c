"""Evaluations without a model: hand-made documents of real tasks, answers from a generator with a fixed seed."""

from __future__ import annotations

import numpy as np

from minillama.evaluation.common.requests import Generation, Likelihood, LogLikelihood, Written
from minillama.evaluation.common.task import Asking
from minillama.evaluation.results.evaluation import Evaluation, groups_of
from minillama.evaluation.results.task_result import TaskResult, result_of
from minillama.evaluation.tasks.catalogue import TASKS
from minillama.evaluation.tasks.items import items_of, scored

MARKUP = "<script>alert('no')</script> | **bold** `code` & more"


def arc(n, labels="ABCD"):
    return [
        {
            "id": f"q{i}",
            "question": f"Which of these is number {i}? {MARKUP if i == 0 else ''}",
            "choices": {"text": [f"the number {i} {'x' * k}" for k in range(len(labels))], "label": list(labels)},
            "answerKey": labels[i % len(labels)],
        }
        for i in range(n)
    ]


def mmlu(n):
    return [{"question": f"{i}?", "subject": "s", "choices": list("wxyz"), "answer": i % 4} for i in range(n)]


def gsm8k(n):
    return [{"question": f"How much is {i} and 1?", "answer": f"We add.\n#### {i + 1}"} for i in range(n)]


def triviaqa(n):
    answers = {"aliases": ["nobody", "no one"], "value": "nobody"}
    return [{"question": f"Who was number {i}?", "answer": answers} for i in range(n)]


def nq_open(n):
    return [{"question": f"who was number {i}", "answer": ["nobody", "no one"]} for i in range(n)]


def wikitext(n):
    return [{"page": f" = Page {i} = \n\n Some words stand here {'again ' * i}.\n"} for i in range(n)]


def task_result(name, documents, seed=0, n_shots=0, spoil=()):
    """A task whose answers are drawn; items in `spoil` cannot be scored."""
    task = TASKS[name]
    rng = np.random.default_rng(seed)
    items = items_of(task, documents, [], Asking(n_shots=0))
    answered = []
    for item in items:
        answers = [answer(request, rng) for request in item.requests]
        if item.doc_id in spoil:
            answers[0] = Likelihood(float("-inf"), False, 0, problem="the continuation leaves no token of its own")
        answered.append(scored(task, item, answers))
    return result_of(task, answered, len(documents), n_shots)


def answer(request, rng):
    if isinstance(request, Generation):
        return Written(f"So the answer is {rng.integers(1, 4)}.", (5, 6, 7), 0.5, 20)
    if isinstance(request, LogLikelihood):
        return Likelihood(float(-rng.exponential(4)), False, 3, 17, truncated=bool(rng.random() < 0.1))
    return Likelihood(float(-rng.exponential(100)), False, 30)


def made_evaluation(**tasks: TaskResult) -> Evaluation:
    """An evaluation of several kinds of tasks, or of those given."""
    results = tasks or {
        "arc_easy": task_result("arc_easy", arc(30), spoil=(3,)),
        "gsm8k_cot": task_result("gsm8k_cot", gsm8k(12), n_shots=8),
        "wikitext": task_result("wikitext", wikitext(6)),
        "mmlu_anatomy": task_result("mmlu_anatomy", mmlu(20), n_shots=5),
        "mmlu_virology": task_result("mmlu_virology", mmlu(40), seed=1, n_shots=5),
    }
    settings = {
        "model": {"name": "made <up>", "sha256": "00"},
        "arithmetic": "none",
        "asking": {"limit": None, "seed": 1234, "chat": False, "system": None},
    }
    times = {"started": "2026-01-02T03:04:05.678", "ended": "2026-01-02T03:05:05.678", "seconds": 60.0}
    return Evaluation(results, groups_of(results), settings, times)
