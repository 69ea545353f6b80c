"""Prompts, continuations, hashes and metrics of lm-evaluation-harness 0.4.13, recorded from runs with a real model."""

import json
from dataclasses import replace

import pytest
from evaluation.harness_oracle import smollm2_template
from evaluation.odd_layouts import OddLayouts

from minillama.evaluation.common.requests import Generation, Likelihood, LogLikelihood, Rolling, Written
from minillama.evaluation.common.task import Asking
from minillama.evaluation.tasks.catalogue import TASKS
from minillama.evaluation.tasks.items import items_of, scored

FILES = [
    "arc_challenge",
    "arc_easy",
    "arc_easy_chat",
    "gsm8k",
    "gsm8k_cot",
    "mmlu",
    "mmlu_anatomy_0shot",
    "mmlu_cloze_anatomy",
    "mmlu_cloze_world_religions",
    "mmlu_high_school_us_history",
    "nq_open",
    "nq_open_0shot",
    "openbookqa",
    "openbookqa_mi",
    "piqa",
    "piqa_3shot",
    "piqa_chat_2shot",
    "triviaqa",
    "triviaqa_0shot",
    "triviaqa_chat_2shot",
    "truthfulqa_mc1",
    "truthfulqa_mc2",
    "wikitext_maxlen1024",
    "winogrande",
    "winogrande_5shot",
    "winogrande_chat",
]


def task_named(name):
    """The task of a recorded name, with the shots of the recorded run."""
    if name.startswith("mmlu_cloze_"):
        return TASKS[f"mmlu_{name.removeprefix('mmlu_cloze_')}_continuation"]
    task = TASKS[name]
    if name == "gsm8k":  # the run had no training split, and drew from the tested one
        return replace(task, shots=replace(task.shots, split="test", draws_one_more=True))
    return task


@pytest.fixture(scope="module")
def layouts(shared_data):
    return OddLayouts(shared_data)


@pytest.fixture
def recorded(shared_data, request):
    path = shared_data.parent / "evaluation" / f"{request.param}.jsonl"
    if not path.is_file():
        pytest.skip(f"recorded items of the harness not found at {path}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def items_like(recorded, layouts):
    """Our items of the recorded ones' task, by their places."""
    first = recorded[0]
    task = task_named(first["task"])
    documents = layouts.split(task.dataset, task.split)
    shots = layouts.split(task.dataset, task.shots.split) if first["n_shot"] and not task.shots.given else []
    asking = Asking(
        n_shots=first["n_shot"],
        limit=1 + max(item["doc_id"] for item in recorded),
        chat=first.get("chat_template", False),
    )
    return task, items_of(task, documents, shots, asking, smollm2_template)


@pytest.mark.parametrize("recorded", FILES, indirect=True, ids=FILES)
def test_items_are_the_harness_s(recorded, layouts):
    by_task = {}
    for item in recorded:
        by_task.setdefault(item["task"], []).append(item)
    for group in by_task.values():
        task, items = items_like(group, layouts)
        for item in group:
            check_requests(item, items[item["doc_id"]])
            check_metrics(item, scored(task, items[item["doc_id"]], answers_of(item)))


def check_requests(recorded, item):
    assert [item.doc_hash[:16], item.prompt_hash[:16], item.target_hash[:16]] == recorded["hashes"]
    if "text" in recorded:
        assert item.requests == (Rolling(recorded["text"]),)
        return
    is_chat = recorded.get("chat_template", False)
    if "until" in recorded:
        assert item.requests == (Generation(recorded["prompt"], tuple(recorded["until"]), 256, is_chat),)
    else:
        prompts = recorded.get("prompts") or [recorded["prompt"]] * len(recorded["continuations"])
        pairs = zip(prompts, recorded["continuations"], strict=True)
        assert item.requests == tuple(LogLikelihood(*pair, is_chat) for pair in pairs)
    assert item.target == recorded["target"]


def answers_of(recorded):
    if "until" in recorded:
        return [Written(recorded["generated"])]
    logprobs = recorded["ll"] if isinstance(recorded["ll"], list) else [recorded["ll"]]
    return [Likelihood(logprob, False, 1) for logprob in logprobs]


def check_metrics(recorded, result):
    flat = {}
    for name, value in recorded["metrics"].items():
        values = value if isinstance(value, dict) else {"none": value}
        # metrics of generated text are recorded by filter, the others by name
        for inner, number in values.items():
            flat[f"{inner},{name}" if isinstance(value, dict) else f"{name},{inner}"] = number
    for key, number in flat.items():
        assert result.metrics[key] == pytest.approx(tuple(number) if isinstance(number, list) else number, rel=1e-12)
    assert flat.keys() <= result.metrics.keys()
